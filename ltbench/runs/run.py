"""A run: from a training's folder to what is in it (spec, weights' steps, samples, scores, logs).

run = read_run(Path("runs/digits_lt-r0.05-coral-s0-d96f7096"))
run.spec, run.steps, run.samples(), run.scores(), run.train_log(), run.probes(), run.provenance
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ltbench.errors import CheckpointError, UsageError
from ltbench.runs.digests import check_digest, check_digests, recording
from ltbench.runs.layout import (
    IMAGES,
    PROBES,
    SAMPLES,
    SCORES,
    SPEC,
    TRAIN_LOG,
    files_below,
    kept_steps,
    training_folder,
)
from ltbench.runs.provenance import read_provenance
from ltbench.runs.samples import has_samples, load_samples, read_arrays
from ltbench.runs.scores import find_scores, read_scores, scored_requests
from ltbench.runs.spec_files import check_key, checked_spec_of_samples, read_spec, spec_of
from ltbench.runs.train_log import read_table
from ltbench.runs.variants import current_variant
from ltbench.specs import DataSpec, RunSpec, ScoreSpec, train_key
from ltbench.text import one_line


@dataclass(frozen=True)
class SampleSet:
    """One finished sample set of a run.

    Attributes
    ----------
    folder
        Where it lies.
    spec
        The run up to here: the training at the step that was sampled, and the sampling.
    claims
        Columns that images made elsewhere state of themselves, in place of a spec's; none for ours.
    """

    folder: Path
    spec: RunSpec
    claims: dict[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The output folder that the training's folder lies in."""
        return training_folder(self.folder).parent

    @property
    def scores_file(self) -> Path:
        """Where its scores are kept; the file need not exist."""
        return self.folder / SCORES

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return images (N,C,H,W) uint8, memory-mapped, and labels (N,); errors as `load_samples`."""
        return load_samples(self.folder)

    def scores(self) -> pd.DataFrame | None:
        """Return its scores, or None where it has none yet; errors as `read_scores`."""
        return read_scores(self.scores_file) if self.scores_file.exists() else None

    def stated(self) -> dict[str, Any]:
        """Return the columns that do not go by the spec: claims, and the stored variant of a method not installed here."""
        if self.claims or current_variant(self.spec.method) is not None:
            return self.claims
        stored = self.scores()
        variants = set() if stored is None else set(stored["variant"]) - {""}
        return {"variant": variants.pop()} if len(variants) == 1 else {}

    def requests(self) -> list[ScoreSpec]:
        """Return the requests whose numbers its scores hold."""
        return [ScoreSpec.model_validate(request) for request in scored_requests(self.folder).values()]


@dataclass(frozen=True)
class Run:
    """One training's folder, or a folder of scores made elsewhere.

    Attributes
    ----------
    name
        Path below the root it was found in.
    folder
        Where it is.
    spec
        What was trained, or None for scores that came from elsewhere.
    provenance
        The recorded provenance, empty where there is none.
    data
        The data cell that scores from elsewhere were made against, where it is recorded.
    """

    name: str
    folder: Path
    spec: RunSpec | None
    provenance: dict[str, Any] = field(default_factory=dict)
    data: DataSpec | None = None

    @property
    def user_names(self) -> tuple[str, tuple[str, ...]]:
        """What the user calls the images and their classes, in label order; blank where the source's names hold."""
        for stage in reversed(self.provenance.get("stages", [])):
            if isinstance(names := stage.get("class_names"), list):
                return one_line(str(stage.get("data_name", ""))), tuple(one_line(str(name)) for name in names)
        return "", ()

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps whose weights are kept, ascending."""
        return kept_steps(self.folder)

    def samples(self) -> list[SampleSet]:
        """Return the finished sample sets, in the order of their paths; of some only the scores are kept."""
        folders = [path.parent for path in sorted(self.folder.glob(f"{SAMPLES}/*/{SPEC}"))]
        return [_sample_set(f) for f in folders if has_samples(f) or (f / SCORES).is_file()]

    def scores(self) -> pd.DataFrame:
        """Return the scores of all sample sets in one table; empty where nothing is scored yet."""
        tables = [read_scores(path) for path in find_scores(self.folder)]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def train_log(self) -> pd.DataFrame | None:
        """Return ``train.csv`` (one row a logged step), or None where it is absent or empty."""
        table = read_table(self.folder / TRAIN_LOG, required=("step",))
        return None if table is None else table.drop_duplicates("step", keep="last", ignore_index=True)

    def probes(self) -> pd.DataFrame | None:
        """Return the bottleneck's figures, a row a (step, protocol, t, metric), or None where none are kept."""
        required = ("step", "protocol", "t", "metric", "value")
        paths = sorted((self.folder / PROBES).glob("*.csv"))
        for path in paths:
            check_digest(path, "delete it and run again")
        tables = [read_table(path, required) for path in paths]
        kept = [table for table in tables if table is not None]
        return pd.concat(kept, ignore_index=True) if kept else None

    def probe_features(self, step: float) -> dict[str, np.ndarray]:
        """Return ``labels`` (n,) and pooled features (n,d) named ``PROTOCOL_T`` at a step; {} where none."""
        if np.isnan(step):  # of an external set that states none
            return {}
        path = self.folder / PROBES / f"step-{int(step):08d}.npz"
        if not path.is_file():
            return {}
        return read_arrays(path, "delete it and run again")

    def embedding(self, step: float) -> dict[str, np.ndarray]:
        """Return ``labels`` (n,) and places (n,2) named ``PROTOCOL_T``: the t-SNE kept beside the probe; {} where none."""
        path = embedding_path(self.folder, step)
        if path is None or not path.is_file():
            return {}
        return read_arrays(path, "delete it and report again")


def embedding_path(folder: Path, step: float) -> Path | None:
    """Return where the t-SNE of a step's probe is kept; None for an external set that states no step."""
    return None if np.isnan(step) else folder / PROBES / f"tsne-{int(step):08d}.npz"


def write_embedding(
    folder: Path, step: float, places: Mapping[str, np.ndarray], guard: Callable[[], None] | None = None
) -> None:
    """Keep the t-SNE of a step's probe beside it: ``labels`` (n,) and places (n,2) by protocol and level."""
    path = embedding_path(folder, step)
    if path is not None and places:
        arrays = {k: v if k == "labels" else v.astype(np.float16) for k, v in places.items()}
        with recording(path, guard) as temporary, temporary.open("wb") as handle:
            np.savez_compressed(handle, **arrays)  # type: ignore[arg-type]


# -- reading ----------------------------------------------------------------------------------------------


def read_run(folder: Path, name: str | None = None) -> Run:
    """Return what is in a training's folder; one without a spec holds scores from elsewhere.

    Raises
    ------
    CheckpointError
        The spec or the provenance is truncated or of another version.
    """
    content = read_spec(folder)
    spec = spec_of(folder, content) if "data" in content else None
    if spec is not None and content.get("origin") != "external":
        check_key(folder, content, "train_key", train_key(spec))
    name, provenance = name or folder.name, read_provenance(folder)
    if spec is not None and content.get("origin") == "external":
        return Run(name, folder, None, provenance, spec.data)
    return Run(name, folder, spec, provenance)


def check_run(folder: Path) -> None:
    """Compare a training's folder with what was written: the keys of its specs, the digests of its files.

    Raises
    ------
    CheckpointError
        A spec or file was changed or damaged.
    """
    run = read_run(folder)
    if run.spec is not None:
        run.samples()
    check_digests(folder, "restore it, or delete it and run again")


def _sample_set(folder: Path) -> SampleSet:
    training = training_folder(folder)
    content = read_spec(training)
    if not content:
        raise CheckpointError(f"{training / SPEC} is missing: what {folder} was sampled from is not recorded")
    if content.get("origin") == "external":
        if not isinstance(content.get("columns"), dict):
            raise CheckpointError(f"{training / SPEC} does not say whose images these are: score them again")
        return SampleSet(folder, spec_of(training, {"data": content.get("data")}), content["columns"])
    trained = spec_of(training, content)
    check_key(training, content, "train_key", train_key(trained))
    return SampleSet(folder, checked_spec_of_samples(folder, trained))


def sample_sets(folder: Path) -> list[SampleSet]:
    """Return every sample set at or below a folder whose images are kept.

    Raises
    ------
    UsageError
        There is none.
    """
    found = [_sample_set(images.parent) for images in files_below(folder, IMAGES)]
    if not found:
        raise UsageError(f"no finished sample set in {folder}: give a run's folder, or the folder of runs")
    return found
