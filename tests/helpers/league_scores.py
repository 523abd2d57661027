"""Hand-made scores of a league."""

import pandas as pd


def scores(values, **columns):
    """Rows of overall Frechet distances: method -> a value a training seed."""
    base = {
        "cell": "digits_lt, ratio 0.1",
        "settings": "{}",
        "metric": "frechet",
        "scope": "overall",
        "class_or_group": "",
    }
    base |= {
        "sampler": "ddim",
        "nfe": 20,
        "guidance": 0.0,
        "step": 100,
        "definition": "frechet/1",
        "extractor": "e",
    }
    base |= {
        "variant": "",
        "extractor_hash": "h",
        "reference": "r",
        "n_reference": 9,
        "n_generated": 9,
        "origin": "ours",
    }
    rows = [
        base
        | {
            "method": m,
            "series": m,
            "train_seed": seed,
            "sample_seed": 0,
            "value": v,
            "run": f"{m}-{seed}",
            "sample_key": f"{m}{seed}",
        }
        for m, vs in values.items()
        for seed, v in enumerate(vs)
    ]
    return pd.DataFrame([row | columns for row in rows])
