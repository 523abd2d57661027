"""Names in a run's folder: from a spec, a step or a key to the folders and files below the output root.

    DATASET-rRATIO-METHOD-sSEED-KEY8/            one training
        spec.json  provenance.json  train.csv  checkpoint.pt  weights/step-NNNNNNNN.safetensors
        samples/KEY8/                            one sample set
            spec.json  images.npy  labels.npy  sheet.png  scores.csv  nearest.npz  confusion.csv
            scored.json  provenance.json
        probes/step-NNNNNNNN.csv  .npz           the bottleneck's entanglement, and the features behind it
        digests.json, in each of these folders   SHA-256 of its large files and of scores.csv
    .init/SHA256.safetensors                     weights that trainings start from
    .networks/SHA256.safetensors  .json          other runs' networks that images are guided away from, and their specs
    .cache/                                      features and floors, which any run may use

A folder's eight digits only name it: opening compares the full key that `spec.json` holds.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ltbench.specs import RunSpec, sample_key, train_key

SPEC = "spec.json"
PROVENANCE = "provenance.json"
TRAIN_LOG = "train.csv"
CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights"
SAMPLES = "samples"
IMAGES = "images.npy"
LABELS = "labels.npy"
SHEET = "sheet.png"
SCORES = "scores.csv"
SCORED = "scored.json"
NEAREST = "nearest.npz"
CONFUSION = "confusion.csv"
PARTIAL = "partial"
PROBES = "probes"
INITIAL = ".init"
NETWORKS = ".networks"
CACHE = ".cache"

_TRAVELS = re.compile(
    r"((weights|probes|samples/[0-9a-f]{8})/)?(spec|provenance|digests)\.json"
    r"|train\.csv|weights/step-[0-9]+\.safetensors|probes/(step|tsne)-[0-9]+\.(csv|npz)"
    r"|samples/[0-9a-f]{8}/(images\.npy|labels\.npy|sheet\.png|scores\.csv|nearest\.npz|confusion\.csv|scored\.json)"
)


def travels(relative: Path) -> bool:
    """Tell whether a path below a training's folder is a file that ltbench keeps there, and no checkpoint or copy.

    What others leave there does not travel: a second copy of a synchronised folder, a spreadsheet's lock.
    """
    return _TRAVELS.fullmatch(relative.as_posix()) is not None


def travelling(folder: Path) -> list[Path]:
    """Return the files of a training's folder that travel, sorted; a link does not, for it may lead anywhere."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and travels(path.relative_to(folder))
    )


def folder_name(spec: RunSpec) -> str:
    """Return the training's folder name; its 8 digits only name it, opening compares the full key."""
    method = spec.method.name.replace("+", "_")
    ratio = f"{spec.data.imbalance_ratio:g}"
    return f"{spec.data.dataset}-r{ratio}-{method}-s{spec.train_seed}-{train_key(spec)[:8]}"


def sample_folder(spec: RunSpec) -> Path:
    """Return the sample set's folder, relative to the output root."""
    return Path(folder_name(spec)) / samples_name(sample_key(spec))


def samples_name(key: str) -> str:
    """Return where the sample set of a key lies, relative to the training's folder."""
    return f"{SAMPLES}/{key[:8]}"


def training_folder(sample_set: Path) -> Path:
    """Return the training's folder of a sample set; a folder of scores elsewhere stands for itself."""
    return sample_set.parent.parent if sample_set.parent.name == SAMPLES else sample_set


def weights_name(step: int) -> str:
    """Return where the weights of a step are kept, relative to the training's folder."""
    return f"{WEIGHTS}/step-{step:08d}.safetensors"


def weights_path(folder: Path, step: int) -> Path:
    """Return where the weights of a milestone are kept."""
    return folder / weights_name(step)


def kept_steps(folder: Path) -> tuple[int, ...]:
    """Return the steps whose weights a training's folder keeps, ascending."""
    return tuple(
        sorted(int(p.stem.removeprefix("step-")) for p in folder.glob(f"{WEIGHTS}/step-*.safetensors"))
    )


def probe_path(folder: Path, step: int) -> Path:
    """Return where a step's probes are kept: a table, whose ``.npz`` beside it holds the features."""
    return folder / PROBES / f"step-{step:08d}.csv"


def files_below(root: Path, name: str = "") -> list[Path]:
    """Return the files of a name, or all, at or below a folder, sorted; a folder may vanish while it is looked for.

    Hidden folders are left out: what a killed unpacking left there is half of a run.
    """
    out: list[Path] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [each for each in folders if not each.startswith(".")]
        out += [Path(folder, each) for each in files if each == name or not name]
    return sorted(out)
