"""The probe stage: how entangled the classes are in a trained network's bottleneck.

CORAL (NeurIPS 2025) explains tail failure by overlapping classes in the bottleneck and shows it as a t-SNE
picture. Here it is measured, on held-out real images, equally many a class, by two protocols:

    noised   x_t at stated noise levels with the null label: the network must find the class by itself
    clean    the clean image at t = 0 with its true label, as in the released code
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ltbench import rng
from ltbench.data import Dataset
from ltbench.data.images import balanced
from ltbench.diffusion.precision import precision
from ltbench.diffusion.schedule import add_noise, alpha_bar
from ltbench.diffusion.unet import Denoiser
from ltbench.environment import Environment
from ltbench.errors import UsageError
from ltbench.metrics.registry import METRICS, REGISTRY
from ltbench.runs.digests import recording
from ltbench.runs.run import write_embedding
from ltbench.scoring.embedding import embed
from ltbench.specs import RunSpec, train_key

log = logging.getLogger("ltbench")

NOISE_LEVELS = (0, 100, 250, 500, 750)  # time steps of the noised protocol
PER_CLASS = 100  # held-out images a class, or all there are
PROBE_SEED = 0

COLUMNS = (
    "dataset", "imbalance_ratio", "method", "train_seed", "step", "protocol", "t", "metric", "definition",
    "n_images", "value", "train_key",
)  # fmt: skip


def probe(denoiser: Denoiser, dataset: Dataset, spec: RunSpec, path: Path, env: Environment) -> None:
    """Measure every bottleneck metric under both protocols; write ``PATH.csv``, features ``PATH.npz`` and their t-SNE.

    A package's metric that fails is warned of once and left out where it did.

    Parameters
    ----------
    denoiser
        The trained network with averaged weights, on ``env.device``.
    dataset
        The run's data cell: its held-out images go through the network.
    spec
        The run, named in every row.
    path
        File name without ending.
    env
        Device, progress and guard of the stage.
    """
    images, labels = probe_images(dataset)
    rows: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {"labels": labels}
    failed: dict[str, list[str]] = {}  # metric's name -> what it said at each level
    plans = [("noised", t) for t in NOISE_LEVELS] + [("clean", 0)]
    for done, (protocol, t) in enumerate(plans):
        features = bottleneck(denoiser, images, labels, protocol, t, env)
        arrays[f"{protocol}_{t}"] = features.astype(np.float16)
        for metric in (m for m in REGISTRY.values() if m.needs == "bottleneck"):
            given = {"features": features, "labels": labels, "train_counts": dataset.counts}
            foreign = METRICS.foreign(metric.name)
            try:
                values = metric(**given, seed=PROBE_SEED)
                if foreign:
                    metric.check_finite(values)
            except UsageError as error:
                if not foreign:
                    raise
                failed.setdefault(metric.name, []).append(str(error))
                continue
            rows += [
                _row(spec, protocol, t, metric.definition, name, float(v), labels)
                for name, v in values.items()
            ]
        env.progress({"stage": "probe", "step": done + 1, "total": len(plans)})
    for said in failed.values():
        log.warning(
            "%s; %d of its %d measurements are left out: mend it, delete %s and run again",
            *(said[0], len(said), len(plans), path.parent),
        )
    with recording(path.with_suffix(".npz"), env.guard) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **arrays)  # type: ignore[arg-type]
    write_embedding(path.parent.parent, spec.train.steps, embed(arrays), env.guard)
    with recording(path.with_suffix(".csv"), env.guard) as temporary:
        pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(temporary, index=False)


def probe_images(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the held-out images (N,C,H,W) uint8 and labels that every network of this data set is probed on."""
    pool = balanced(dataset.heldout, "probe")
    stream = rng.numpy_generator(PROBE_SEED, "probe/images")
    chosen = np.concatenate([np.sort(stream.permutation(rows)[:PER_CLASS]) for rows in pool.rows.values()])
    return np.asarray(pool.images[chosen]), pool.labels[chosen]


@torch.no_grad()
def bottleneck(
    denoiser: Denoiser, images: np.ndarray, labels: np.ndarray, protocol: str, t: int, env: Environment
) -> np.ndarray:
    """Return average-pooled bottleneck features (N,Cb) float32.

    Image i's noise depends on its position alone, so networks are compared on equal inputs.
    """
    device = torch.device(env.device)
    denoiser.eval()
    abar = torch.as_tensor(alpha_bar(), dtype=torch.float32)[t]
    out: list[Tensor] = []
    for start in range(0, len(images), env.sample_batch):
        rows = range(start, min(start + env.sample_batch, len(images)))
        x0 = torch.from_numpy(images[rows.start : rows.stop]).float() / 127.5 - 1
        if protocol == "clean":
            x, label = x0, torch.from_numpy(labels[rows.start : rows.stop])
        else:
            noise = torch.stack(
                [torch.randn(x0.shape[1:], generator=rng.generator(PROBE_SEED, "probe", i)) for i in rows]
            )
            x, label = (
                add_noise(x0, noise, abar.expand(len(x0))),
                torch.full((len(x0),), denoiser.num_classes),
            )
        times = torch.full((len(x),), t, device=device)
        with precision("fp32", device):  # convolutions would use TF32 on a GPU
            features = denoiser(x.to(device), times, label.to(device)).bottleneck
        out.append(features.mean((2, 3)).cpu())
    return torch.cat(out).numpy()


def _row(
    spec: RunSpec, protocol: str, t: int, definition: str, name: str, value: float, labels: np.ndarray
) -> dict[str, Any]:
    return {
        "dataset": spec.data.dataset,
        "imbalance_ratio": spec.data.imbalance_ratio,
        "method": spec.method.name,
        "train_seed": spec.train_seed,
        "step": spec.train.steps,
        "protocol": protocol,
        "t": t,
        "metric": name,
        "definition": definition,
        "n_images": len(labels),
        "value": value,
        "train_key": train_key(spec),
    }
