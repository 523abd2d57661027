"""Synthetic result folders for the report's tests: the layout on disk, without any training."""

import csv
from pathlib import Path

import numpy as np

from ltbench.diffusion.guidance import evaluations
from ltbench.files import write_json
from ltbench.runs.layout import folder_name
from ltbench.runs.score_columns import COLUMNS
from ltbench.specs import DataSpec, MethodSpec, RunSpec, SampleSpec, TrainSpec, sample_key, train_key

COUNTS = (120, 86, 62, 44, 32, 23, 16, 12, 8, 6)
PRIOR = np.array(COUNTS) / sum(COUNTS)
EFFECT = {"ddpm": 0.0, "cbdm": -0.15, "t2h": -0.1, "coral": -0.3, "coral+t2h": -0.35, "plug-in": -0.05}


def make_spec(
    method="ddpm",
    seed=0,
    *,
    ratio=0.05,
    dataset="digits_lt",
    hyper=None,
    train=None,
    order="identity",
    **sample,
):
    sample["seed"] = sample.pop("sample_seed", 0)
    sample = {"sampler": "dpmsolver++", "steps": 20, "per_class": 30, **sample}
    return RunSpec(
        data=DataSpec(dataset=dataset, imbalance_ratio=ratio, class_order=order),
        method=MethodSpec(name=method, hyperparameters=hyper or {}),
        train=TrainSpec(steps=2000, **(train or {})),
        train_seed=seed,
        sample=SampleSpec(**sample),
    )


def score_rows(spec, *, counts=COUNTS, extractor="digits_cnn", seed_noise=0.05, metrics=None):
    """Rows as scoring writes them: overall, per class and per group, with floors, made up but orderly."""
    rng = np.random.default_rng([spec.train_seed, spec.sample.seed, len(spec.method.name)])
    base = {
        "dataset": spec.data.dataset,
        "imbalance_ratio": spec.data.imbalance_ratio,
        "class_order": spec.data.class_order,
        "split_seed": spec.data.split_seed,
        "method": spec.method.name,
        "variant": "published" if "coral" in spec.method.name else "",
        "train_seed": spec.train_seed,
        "step": spec.train.steps,
        "sampler": spec.sample.sampler,
        "nfe": evaluations(spec.sample, PRIOR).nfe,
        "guidance": spec.sample.guidance,
        "rule": spec.sample.rule_label,
        "sample_seed": spec.sample.seed,
        "extractor": extractor,
        "reference": spec.data.dataset,
        "origin": "ours",
        "train_key": train_key(spec),
        "sample_key": sample_key(spec),
    }
    k = len(counts)
    per_class = spec.sample.per_class
    effect = EFFECT.get(spec.method.name, 0.0) + 0.1 * spec.sample.guidance
    frechet = np.array([2 + (1 + effect) * 12 / np.sqrt(n) for n in counts])
    frechet += seed_noise * rng.standard_normal(k) + seed_noise * rng.standard_normal()
    recall = 0.8 - 0.05 * frechet
    wanted = metrics or ("frechet", "recall", "agreement")
    values = {"frechet": frechet, "recall": recall, "agreement": 1 - frechet / 50}
    definition = {"frechet": "frechet/1", "recall": "precision_recall/1", "agreement": "agreement/1"}
    rows = []

    def add(scope, place, n_train, metric, value, n):
        sizes = {"n_reference": 120 * n, "n_generated": per_class * n}
        rows.append(
            base
            | {"scope": scope, "class_or_group": place, "n_train": n_train, "metric": metric}
            | {"definition": definition[metric.split(".")[0]], "value": repr(float(value)), **sizes}
        )

    for metric in wanted:
        v = values[metric]
        add("overall", "", sum(counts), metric, v.mean() * (0.5 if metric == "frechet" else 1), k)
        for c in range(k):
            add("class", str(c), counts[c], metric, v[c], 1)
            if metric == "frechet":
                add("class", str(c), counts[c], "frechet.floor", 1.6 + 0.03 * c, 1)
                add("class", str(c), counts[c], "frechet.floor_sd", 0.12, 1)
                add("class", str(c), counts[c], "frechet.ci_low", v[c] - 0.4, 1)
                add("class", str(c), counts[c], "frechet.ci_high", v[c] + 0.4, 1)
        third = k // 3
        for name, part in (
            ("head", v[:third]),
            ("middle", v[third:-third]),
            ("tail", v[-third:]),
            ("macro", v),
        ):
            add("group", name, "", metric, part.mean(), 1)
        add("group", "worst", "", metric, v.max() if metric == "frechet" else v.min(), 1)
        if metric == "frechet":
            add("overall", "", sum(counts), "frechet.floor", 0.8, k)
            add("overall", "", sum(counts), "frechet.floor_sd", 0.05, k)
    return rows


def uneven(rows, counts=COUNTS):
    """Rows of as many generated images a class as it has training images, as of images from elsewhere."""
    return [
        row | ({"n_generated": counts[int(row["class_or_group"])]} if row["scope"] == "class" else {})
        if "." not in row["metric"]
        else row
        for row in rows
    ]


def write_scores(path: Path, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_run(root: Path, spec: RunSpec, rows=None, *, images=True, channels=1, size=8) -> Path:
    """Write one training folder with one sample set; returns the sample folder."""
    folder = root / folder_name(spec)
    write_json(
        folder / "spec.json",
        {"train_key": train_key(spec), **spec.model_dump(mode="json", exclude={"sample", "score"})},
    )
    wall = 100.0 + 10 * spec.train_seed + 80 * ("cbdm" in spec.method.name)
    train = {
        "stage": "train",
        "wall_seconds": wall,
        "steps": spec.train.steps,
        "flops": 1e9 * spec.train.steps,
    }
    machine = {"host": "box", "processor": "Some CPU", "cores": 2, "gpus": [], "libraries": {"torch": "2.9"}}
    code = {"ltbench": "0.1.0", "git_commit": "0123456789abcdef", "git_dirty": False}
    common = {
        "device": "cpu",
        "threads": 1,
        "cpu_seconds": 150.0,
        "finished": "2026-01-01T00:00:00Z",
        "code": code,
    }
    write_json(folder / "provenance.json", {"stages": [train | common], "machine": machine})
    rng = np.random.default_rng(spec.train_seed)
    with (folder / "train.csv").open("w") as handle:
        extra = "coral.supcon," if "coral" in spec.method.name else ""
        handle.write(f"step,loss,denoising,{extra}images_per_second\n")
        for step in range(20, spec.train.steps + 1, 20):
            loss = 0.05 + 0.6 * np.exp(-step / 300) + 0.01 * rng.standard_normal()
            term = f"{0.02 + 0.01 * np.exp(-step / 500):.5f}," if extra else ""
            handle.write(f"{step},{loss + 0.02:.5f},{loss:.5f},{term}{900 + rng.integers(50)}\n")
    samples = folder / "samples" / sample_key(spec)[:8]
    content = {"sample_key": sample_key(spec), "train_key": train_key(spec), "step": spec.train.steps}
    write_json(
        samples / "spec.json",
        content | {"sample": spec.sample.model_dump(mode="json"), "nfe": evaluations(spec.sample, PRIOR).nfe},
    )
    sampling = {
        "stage": "sample",
        "wall_seconds": 5.0 * evaluations(spec.sample, PRIOR).nfe / 20,
        "images": 300,
    }
    write_json(samples / "provenance.json", {"stages": [sampling | common], "machine": machine})
    rows = score_rows(spec) if rows is None else rows
    write_scores(samples / "scores.csv", rows)
    if images:
        k = len({r["class_or_group"] for r in rows if r["scope"] == "class"})
        labels = np.repeat(np.arange(k), 30)
        pixels = np.clip(
            rng.normal(25 * labels[:, None, None, None] % 255, 30, (len(labels), channels, size, size)),
            0,
            255,
        )
        np.save(samples / "images.npy", pixels.astype(np.uint8))
        np.save(samples / "labels.npy", labels)
    return samples


def write_probes(root: Path, spec: RunSpec, steps=(1000, 2000), levels=(0, 100, 500)) -> None:
    """Write probes as the probe stage does: a tidy CSV and the features of each protocol and level."""
    folder = root / folder_name(spec) / "probes"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(spec.train_seed)
    labels = np.repeat(np.arange(10), 20)
    spread = 1.0 - EFFECT.get(spec.method.name, 0.0)
    for step in steps:
        with (folder / f"step-{step:08d}.csv").open("w", newline="") as handle:
            columns = (
                "method",
                "train_seed",
                "step",
                "protocol",
                "t",
                "metric",
                "definition",
                "n_images",
                "value",
            )
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(columns)
            for protocol, t in [("noised", t) for t in levels] + [("clean", 0)]:
                for metric, scale in (
                    ("knn_accuracy", 0.7),
                    ("silhouette", 0.2),
                    ("head_tail_confusion", 0.1),
                ):
                    value = (
                        scale * spread * (0.5 + step / 4000) * np.exp(-t / 800) + 0.01 * rng.standard_normal()
                    )
                    row = (
                        spec.method.name,
                        spec.train_seed,
                        step,
                        protocol,
                        t,
                        metric,
                        "entanglement/1",
                        200,
                        value,
                    )
                    writer.writerow(row)
        centres = rng.standard_normal((10, 16)) * 2 * spread
        features = {f"noised_{t}": centres[labels] + rng.standard_normal((200, 16)) for t in levels}
        features["clean_0"] = centres[labels] * 2 + rng.standard_normal((200, 16))
        np.savez(
            folder / f"step-{step:08d}.npz",
            labels=labels,
            **{k: v.astype(np.float16) for k, v in features.items()},
        )


def write_pairs(samples: Path, size=8, pairs=3, classes=10) -> None:
    """Write a sample set's nearest pairs."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), pairs)
    training = rng.integers(0, 255, (len(labels), 1, size, size)).astype(np.uint8)
    generated = np.clip(training + rng.normal(0, 25, training.shape), 0, 255).astype(np.uint8)
    distance = rng.uniform(1, 5, len(labels))
    np.savez(
        samples / "nearest.npz", labels=labels, generated=generated, training=training, distance=distance
    )


def write_study(
    root: Path, methods=("ddpm", "coral"), seeds=(0, 1, 2), metrics=("frechet", "recall")
) -> Path:
    for method in methods:
        for seed in seeds:
            spec = make_spec(method, seed)
            write_run(root, spec, score_rows(spec, metrics=metrics), images=seed == 0)
    return root


def write_classes(root, frechet, counts=COUNTS, **spec):
    """Write a run whose classes have the given Frechet distances and training counts."""
    spec = make_spec(**spec)
    rows = [
        row | {"value": repr(float(frechet[int(row["class_or_group"])]))}
        if row["scope"] == "class" and row["metric"] == "frechet"
        else row
        for row in score_rows(spec, counts=counts)
    ]
    write_run(root, spec, rows, images=False)


def shifted(rows, shift, places=("9",)):
    """Return rows whose Frechet distances at some places are further by `shift`."""
    return [
        r | {"value": repr(float(r["value"]) + shift)}
        if r["class_or_group"] in places and r["metric"] == "frechet"
        else r
        for r in rows
    ]
