"""The folder of a finished run, as the stages leave it, without doing them."""

import json

import numpy as np
import pandas as pd
from safetensors.numpy import save_file
from sweep_tools import runs_of

from ltbench.pipeline import stages
from ltbench.runs.layout import folder_name
from ltbench.runs.score_columns import run_columns
from ltbench.runs.scores import write_scores
from ltbench.specs import sample_key, train_key

SETS = ["train.steps=20", "guidance=0,1", "methods=coral", "coral.tau_sc=0.2", "train.snapshots=10"]


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def record(root, seed=0):
    """Write the folder of a finished run with two sample sets, as the stages leave it."""
    rng = np.random.default_rng(seed)
    runs = runs_of(SETS)
    folder = root / folder_name(runs[0])
    parts = {"data", "model", "method", "train", "train_seed"}
    write(
        folder / "spec.json",
        {"train_key": train_key(runs[0]), **runs[0].model_dump(mode="json", include=parts)},
    )
    stage = {"stage": "train", "device": "cpu", "threads": 2}
    libraries = {"torch": "2.9", "numpy": "2.0"}
    machine = {"processor": "A", "gpus": [], "libraries": libraries}
    write(folder / "provenance.json", {"machine": machine, "stages": [stage]})
    write(folder / "train.csv", "step,loss\n10,0.5\n20,0.25\n")
    (folder / "weights").mkdir()
    weights = {"ema.w": rng.normal(size=(3, 4)).astype(np.float32)}
    save_file(weights, folder / "weights" / "step-00000020.safetensors")
    for run in runs:
        sample = root / stages(run)[1].sample_folder
        content = {"sample_key": sample_key(run), "train_key": train_key(run), "step": 20}
        write(sample / "spec.json", {**content, "sample": run.sample.model_dump(mode="json")})
        done = {"stage": "sample", "device": "cpu", "threads": 2, "sample_batch": 50}
        write(sample / "provenance.json", {"machine": machine, "stages": [done]})
        np.save(sample / "images.npy", rng.integers(0, 256, (4, 1, 8, 8), np.uint8))
        write(sample / "scored.json", {"requests": {"key": run.score.model_dump(mode="json")}})
        rows = [
            {
                **run_columns(run, 20),
                "scope": scope,
                "class_or_group": place,
                "metric": "frechet",
                "value": value,
            }
            for scope, place, value in (("overall", "", 12.5), ("class", "0", 50.0))
        ]
        write_scores(sample / "scores.csv", pd.DataFrame(rows))
    return folder
