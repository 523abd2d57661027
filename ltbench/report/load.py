"""Stored results -> one tidy table. Reads folders; knows nothing of how scores were made.

Layout: ``ROOT/<training>/{spec.json, provenance.json, train.csv, probes/, samples/<key>/{spec.json,
images.npy, labels.npy, scores.csv}}``. Every ``scores.csv`` below a root is read, however deep.
"""

import csv
import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from ltbench.errors import CheckpointError, UsageError
from ltbench.files import read_json
from ltbench.runs.scores import COLUMNS
from ltbench.spec import DataSpec, RunSpec

_HASHES = ["extractor_hash", "reference_hash", "manifest"]  # files of the first version lack them
_REQUIRED = [column for column in COLUMNS if column not in _HASHES]
_NUMERIC = str.split(
    "imbalance_ratio split_seed train_seed step nfe guidance sample_seed n_train "
    "n_reference n_generated value"
)
# One number is one combination of these; the same number found in two roots counts once.
_IDENTITY = str.split(
    "train_key sample_key step scope class_or_group metric definition extractor extractor_hash reference "
    "reference_hash n_reference n_generated origin method"
)
# Told by columns of their own, or no setting of the method: left out of the `settings` column.
_NOT_A_SETTING = {
    "method.name",
    "train.steps",
    "train.snapshots",
    "train.imported",
    "sample.sampler",
    "sample.steps",
    "sample.guidance",
    "sample.seed",
}


@dataclass(frozen=True)
class Run:
    """One training folder (or a folder of external scores).

    Attributes
    ----------
    name : path below the root it was found in.
    folder : where it is.
    spec : what was trained, or None for scores that came from elsewhere.
    provenance : the recorded provenance, empty where there is none.
    data : the data cell that scores from elsewhere were made against, where it is recorded.
    """

    name: str
    folder: Path
    spec: RunSpec | None
    provenance: dict[str, Any] = field(default_factory=dict)
    data: DataSpec | None = None

    def train_log(self) -> pd.DataFrame | None:
        """Return ``train.csv`` (one row a logged step), or None where it is absent or empty."""
        return _read_table(self.folder / "train.csv", required=("step",))

    def probes(self) -> pd.DataFrame | None:
        """Return the bottleneck's figures, a row a (step, protocol, t, metric), or None where none are kept."""
        required = ("step", "protocol", "t", "metric", "value")
        tables = [_read_table(path, required) for path in sorted((self.folder / "probes").glob("*.csv"))]
        found = [table for table in tables if table is not None]
        return pd.concat(found, ignore_index=True) if found else None

    def probe_features(self, step: float) -> dict[str, np.ndarray]:
        """Return ``labels`` (n,) and pooled features (n,d) named ``PROTOCOL_T`` at a step; {} where none."""
        if np.isnan(step):  # of an external set that states none
            return {}
        path = self.folder / "probes" / f"step-{int(step):08d}.npz"
        if not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path} cannot be read ({error}): delete it and run again") from error


@dataclass(frozen=True)
class Results:
    """All that a report is made of.

    Attributes
    ----------
    scores : the rows of every ``scores.csv`` (see `load_scores`).
    runs : run name -> `Run`.
    notes : sentences about what was found on loading, for the report's reader.
    """

    scores: pd.DataFrame
    runs: dict[str, Run]
    notes: tuple[str, ...] = ()


def load_scores(root: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Return every stored score below one root or several.

    Returns
    -------
    DataFrame with the columns of ``scores.csv`` and ``run`` (name of the training folder), ``folder`` (where
    the sample set lies), ``cell`` (data cell in words), ``settings`` (all other settings, JSON), ``series``
    (8 hex digits; equal where nothing but train seed and sampling seed differs).

    Raises
    ------
    UsageError
        A root is no folder or holds no scores.
    CheckpointError
        A ``scores.csv`` or ``spec.json`` is truncated or not what it should be.
    """
    return load_results(root).scores


def load_results(root: str | Path | Sequence[str | Path]) -> Results:
    """Return the scores below the roots together with the runs they came from; errors as `load_scores`."""
    roots = [Path(root)] if isinstance(root, str | Path) else [Path(r) for r in root]
    runs: dict[str, Run] = {}
    frames = []
    for base in roots:
        if not base.is_dir():
            raise UsageError(f"no results folder at {base}: give the folder that `ltbench run --out` wrote")
        for path in sorted(base.rglob("scores.csv")):
            folder = path.parent
            training = folder.parent.parent if folder.parent.name == "samples" else folder
            name = _unique_name(training, base, runs)
            if name not in runs:
                runs[name] = _read_run(name, training)
            frame = read_scores(path)
            if len(frame):
                frames.append(_describe(frame, runs[name], folder))
    if not frames:
        where = " and ".join(str(r) for r in roots)
        raise UsageError(
            f"no scores in {where}: run `ltbench run --out {roots[0]}` first, or give another folder"
        )
    scores = pd.concat(frames, ignore_index=True)
    unique = scores.drop_duplicates(_IDENTITY, ignore_index=True)
    notes: tuple[str, ...] = ()
    if len(unique) < len(scores):
        notes = (f"{len(scores) - len(unique)} numbers were found in more than one place and count once.",)
    notes += tuple(_trained_again(unique))
    return Results(unique, {name: runs[name] for name in unique["run"].unique()}, notes)


def _trained_again(scores: pd.DataFrame) -> Iterator[str]:
    """Say which sample sets of one training and step came from different weights: lost, and trained again."""
    sets = scores[["run", "step", "folder"]].drop_duplicates()
    for (run, step), folders in sets.groupby(["run", "step"])["folder"]:
        hashes = {digest for f in folders for digest in _sampled_weights(read_provenance(Path(f)))}
        if len(hashes) > 1:
            yield (
                f"The sample sets of {run} at step {step:g} come from {len(hashes)} trainings of one spec, which agree to "
                "rounding at best: delete all but one set and run again to have them from one."
            )


def _sampled_weights(provenance: dict[str, Any]) -> list[str]:
    """Return the hash of the weights that a sample set came from, last of those on record; [] without any."""
    return [s["weights"] for s in provenance.get("stages", []) if s.get("weights")][-1:]


def read_scores(path: Path) -> pd.DataFrame:
    """Read one ``scores.csv``, refusing a file that was cut off or has lost columns."""
    advice = "delete it and run `ltbench evaluate` on that run again"
    try:
        text = path.read_text(encoding="utf-8")
        rows = list(csv.reader(text.splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise CheckpointError(f"{path} is not a CSV file ({error}): {advice}") from error
    header = rows[0] if rows else []
    missing = [c for c in _REQUIRED if c not in header]
    if missing:
        raise CheckpointError(f"{path} lacks the column {missing[0]!r}: {advice}")
    bad = next((i for i, row in enumerate(rows, 1) if len(row) != len(header)), None)
    if bad is not None or not text.endswith("\n"):
        raise CheckpointError(f"{path} is cut off at line {bad or len(rows)}: {advice}")
    frame = pd.DataFrame(rows[1:], columns=header)
    frame = frame.assign(**{name: "" for name in _HASHES if name not in frame})[[*COLUMNS]]
    for column in _NUMERIC:
        try:
            frame[column] = np.array([float(v) if v else np.nan for v in frame[column]])
        except ValueError as error:
            raise CheckpointError(f"{path}: column {column!r} is not a number ({error}): {advice}") from error
    return frame


def _read_table(path: Path, required: Iterable[str] = ()) -> pd.DataFrame | None:
    """Read a log that may still be growing: a torn last line is left out, a missing file is None."""
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))
    if len(rows) < 2 or any(c not in rows[0] for c in required):
        return None
    rows = [row for row in rows if len(row) == len(rows[0])]
    frame = pd.DataFrame(rows[1:], columns=rows[0])
    for column in frame:
        numbers = pd.to_numeric(frame[column], errors="coerce")
        if not numbers.isna().all() or (frame[column] == "").all():
            frame[column] = numbers
    return frame


def _unique_name(training: Path, base: Path, runs: dict[str, Run]) -> str:
    """Name a run by its path below the root; two roots that hold the same path are told apart by root."""
    relative = training.relative_to(base)
    name = training.name if relative == Path(".") else str(relative)
    taken = runs.get(name)
    return name if taken is None or taken.folder == training else str(training)


def _read_run(name: str, folder: Path) -> Run:
    path = folder / "spec.json"
    content = read_json(path) if path.is_file() else {}
    spec = _run_spec(path, content) if "data" in content else None
    if spec is not None and content.get("origin") == "external":
        return Run(name, folder, None, read_provenance(folder), spec.data)
    return Run(name, folder, spec, read_provenance(folder))


def read_provenance(folder: Path) -> dict[str, Any]:
    """Return a training's or sample set's ``provenance.json``, empty where there is none."""
    path = folder / "provenance.json"
    content = read_json(path) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _run_spec(path: Path, content: dict[str, Any]) -> RunSpec:
    try:
        return RunSpec.model_validate({k: v for k, v in content.items() if k in RunSpec.model_fields})
    except ValidationError as error:
        first = error.errors()[0]
        field_name = ".".join(map(str, first["loc"]))
        raise CheckpointError(
            f"{path} is no run of this version of ltbench ({field_name}: {first['msg']}): "
            "report it with the version that wrote it"
        ) from error


def _spec_of_samples(run: Run, folder: Path) -> RunSpec | None:
    """Return the run's spec with the sampling settings that the sample folder records."""
    path = folder / "spec.json"
    if run.spec is None or folder == run.folder or not path.is_file():
        return run.spec
    content = read_json(path)
    return _run_spec(
        path, run.spec.model_dump(mode="json") | {k: v for k, v in content.items() if k == "sample"}
    )


def _describe(frame: pd.DataFrame, run: Run, folder: Path) -> pd.DataFrame:
    """Add run, folder, cell, settings and series to the rows of one sample set."""
    spec = _spec_of_samples(run, folder)
    data = spec.data if spec is not None else run.data or _data_of(frame.iloc[0])
    settings = json.dumps(_settings(spec), sort_keys=True) if spec is not None else "{}"
    protocol = frame[["method", "variant", "step", "sampler", "nfe", "guidance", "origin"]].map(str)
    keys = protocol.agg("|".join, axis=1) + f"|{cell_label(data)}|{settings}"
    digests = {key: hashlib.sha256(key.encode()).hexdigest()[:8] for key in keys.unique()}
    return frame.assign(
        run=run.name, folder=str(folder), cell=cell_label(data), settings=settings, series=keys.map(digests)
    )


def _data_of(row: pd.Series) -> DataSpec:
    ratio = row["imbalance_ratio"]
    return DataSpec.model_validate(
        {
            "dataset": row["dataset"],
            "imbalance_ratio": 1.0 if np.isnan(ratio) else ratio,
            "class_order": row["class_order"] or "identity",
            "split_seed": 0 if np.isnan(row["split_seed"]) else int(row["split_seed"]),
        }
    )


def cell_label(data: DataSpec) -> str:
    """Return a data cell in words: data set, ratio, and whatever is not the published split."""
    parts = [f"{data.dataset}, ratio {data.imbalance_ratio:g}"]
    for name, text in (
        ("profile", "{} profile"),
        ("class_order", "class order {}"),
        ("split_seed", "split seed {}"),
        ("head_count", "head count {}"),
        ("image_size", "{} px"),
    ):
        value = getattr(data, name)
        if value != DataSpec.model_fields[name].default:
            parts.append(text.format(value))
    if data.content:
        parts.append(f"content {data.content[:8]}")
    return ", ".join(parts)


def label_without(label: str, parts: str | tuple[str, ...]) -> str:
    """Return a data cell's label without the parts that begin so."""
    return ", ".join(part for part in label.split(", ") if not part.startswith(parts))


def _settings(spec: RunSpec) -> dict[str, Any]:
    """Flatten model, method, training and sampling settings, without what has a column of its own."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else key, inner)
        elif prefix not in _NOT_A_SETTING:
            flat[prefix.removeprefix("method.hyperparameters.")] = value

    walk("", spec.model_dump(mode="json", include={"model", "method", "train", "sample"}))
    return flat
