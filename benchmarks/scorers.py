"""Scoring: our whole default suite for 10 and 100 classes, against the released scorers' way.

Both are given features (2048 numbers an image, as Inception's; here a fixed random projection of random
images), so the network that makes them is not measured. Ours: every default metric overall, per class and per
group, with ten draws of the real-vs-real floor. Released: Frechet distance by their matrix square root and
their improved precision and recall with dense distances, overall and a class, no floor. A matrix square root
takes as long in every class, so theirs is timed overall and on a few classes, and those stand for the rest.
"""

import contextlib
import importlib
import inspect
import io
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from metrics import features
from pairs import alone, compare
from released import checkouts, stand_ins
from steps import met

FASTER = 20
SAMPLED = 1  # classes on which the released way is timed
SHAPE = (3, 32, 32)


def images_of(classes: int, per_class: int, seed: int):
    """Return random images with a pattern a class, and their labels."""
    stream = np.random.default_rng(seed)
    patterns = np.random.default_rng(1).integers(40, 200, (classes, *SHAPE))
    labels = np.repeat(np.arange(classes), per_class)
    noise = stream.integers(-40, 40, (len(labels), *SHAPE))
    return (patterns[labels] + noise).astype(np.uint8), labels


def extractor_file(folder: Path, dim: int) -> Path:
    """Write a TorchScript extractor: a fixed random projection, ReLU, and ten of its outputs as class scores."""
    import torch

    class Projection(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            size = int(np.prod(SHAPE))
            stream = torch.Generator().manual_seed(0)
            self.register_buffer("matrix", torch.randn(size, dim, generator=stream) / (128 * size**0.5))

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            features = torch.relu(images.float().flatten(1) @ self.matrix)
            return features, features[:, :10]

    path = folder / "projection.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # what will replace TorchScript has no archive yet
        torch.jit.script(Projection()).save(str(path))
    return path


def ours(classes: int, per_class: int, dim: int, again: bool):
    """Our suite on a sample set, the first of a study or a further one; for `pairs.compare`."""
    from ltbench.data import Dataset, ImageSet
    from ltbench.extractors.registry import cached_features, get_extractor
    from ltbench.scoring import score as scoring
    from ltbench.specs import DataSpec, ScoreSpec

    def build():
        temporary = tempfile.TemporaryDirectory(prefix="ltbench-scoring-")
        folder = Path(temporary.name)
        name = f"torchscript:{extractor_file(folder, dim)}"
        reference, heldout, train = (
            ImageSet(*images_of(classes, n, seed)) for seed, n in enumerate((per_class, per_class, 8))
        )
        cell = Dataset(
            DataSpec(dataset="folder_lt", imbalance_ratio=1),
            train,
            np.arange(len(train.labels)),
            reference,
            heldout,
            tuple(map(str, range(classes))),
            np.bincount(train.labels),
            tuple(range(classes)),
            {"head": (0,), "tail": (classes - 1,)},
            True,
            {},
        )
        images, labels = images_of(classes, per_class, 3)
        for pool in (reference.images, heldout.images, train.images, images):
            cached_features(get_extractor(name), pool, folder / "features")
        generated = ImageSet(images, labels)

        def one() -> None:
            if not again:  # what the first sample set leaves for the others
                shutil.rmtree(folder / "floors", ignore_errors=True)
                scoring._PREPARED.clear()
            scoring.score_pools(cell, generated, ScoreSpec(extractors=(name,)), folder)

        one.close = temporary.cleanup
        return one

    return build


def released(checkout: str, classes: int, per_class: int, dim: int):
    """The released scorers on features; for `pairs.compare`."""
    from scipy import linalg

    done = stand_ins("cpu")
    if "disp" not in inspect.signature(linalg.sqrtm).parameters:  # removed in SciPy 1.18
        plain = linalg.sqrtm
        linalg.sqrtm = lambda matrix, disp=True: plain(matrix) if disp else (plain(matrix), 0.0)
        done.append("sqrtm(disp=)")
    sys.path.insert(0, checkout)
    frechet = importlib.import_module("score.fid").calculate_frechet_distance
    manifold = importlib.import_module("score.improved_prd").IPR

    def build():
        real, fake = (features(classes * per_class, dim, seed) for seed in range(2))
        labels = np.repeat(np.arange(classes), per_class)

        def score(rows) -> float:
            start = time.perf_counter()
            x, y = real[rows], fake[rows]
            frechet(y.mean(0), np.cov(y, rowvar=False), x.mean(0), np.cov(x, rowvar=False))
            scorer = manifold(32, k=5, num_samples=len(x), model="features")
            scorer.compute_manifold_ref(None, feats=x)
            scorer.precision_and_recall(None, subject_feats=y)
            return time.perf_counter() - start

        def one() -> float:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                overall = score(slice(None))
                each = [score(labels == k) for k in range(SAMPLED)]
            return overall + classes * float(np.mean(each))

        one.note = "; ".join(done)
        return one

    return build


def measure(options) -> str:
    """Part ``scoring``: return the table as Markdown."""
    where = checkouts(options.released)["cbdm"]
    pairs, rows = max(1, options.pairs // 10), []
    for classes in (10, 100):
        given = {"classes": classes, "per_class": options.per_class, "dim": options.dim}
        found = compare(
            ("scorers:ours", {**given, "again": False}),
            ("scorers:released", {**given, "checkout": str(where)}),
            pairs=pairs,
            threads=options.threads,
            warmup=0,
        )
        further = alone(
            "scorers:ours", {**given, "again": True}, times=max(2, pairs), threads=options.threads
        )
        faster = 1 / found.ratio.median
        rows.append(
            f"| {classes} | {found.seconds['ours'].text()} | {further.text()} | {found.seconds['released'].text()} "
            f"| {faster:.1f} | {found.seconds['released'].median / further.median:.1f} | {FASTER} "
            f"| {met(FASTER, faster)} | {found.memory['ours']:.0f} | {found.memory['released']:.0f} |"
        )
        print(rows[-1], flush=True)
    return "\n".join(
        [
            f"{options.per_class} generated and {options.per_class} real images a class, {options.dim} features; "
            f"n = {pairs} pair(s), median (quartiles).",
            "",
            "| Classes | Ours, first sample set, s | Ours, further ones, s | Released way, s | times faster "
            "| further ones | Target | | Ours, MiB | Released, MiB |",
            "| --: | --: | --: | --: | --: | --: | --: | :-- | --: | --: |",
            *rows,
            "",
            "Ours is the whole default suite with floors (of which further sample sets of the study reuse the floors "
            "and what is made of the reference); the released way is Frechet distance, precision and recall alone, "
            f"its classes extrapolated from {SAMPLED} of them.",
        ]
    )
