"""Stored results: from folders of runs to one tidy table of scores and the runs behind it.

Every ``scores.csv`` below a root is read, however deep; how the scores were made does not matter here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ltbench.errors import CheckpointError, UsageError
from ltbench.files import read_text, require_utf8
from ltbench.runs.bundle import is_bundle
from ltbench.runs.layout import SCORES, training_folder
from ltbench.runs.places import places
from ltbench.runs.provenance import sampled_weights
from ltbench.runs.run import Run, read_run
from ltbench.runs.score_columns import NUMBERS
from ltbench.runs.score_rows import is_repeated, number_codes, row_codes
from ltbench.runs.scores import find_scores, read_many
from ltbench.runs.series import PROTOCOL, with_series
from ltbench.runs.spec_files import checked_spec_of_samples
from ltbench.specs import train_key
from ltbench.text import command, one_line


@dataclass(frozen=True)
class Results:
    """All that a report is made of.

    Attributes
    ----------
    scores
        The rows of every ``scores.csv`` (see `load_scores`), text as categories.
    runs
        Run name -> `Run`.
    notes
        Sentences about what was found on loading, for the report's reader.
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
    scores = load_results(root).scores
    return scores.astype({name: object for name in scores if scores[name].dtype == "category"})


def load_results(root: str | Path | Sequence[str | Path]) -> Results:
    """Return the scores below the roots together with the runs they came from; errors as `load_scores`."""
    roots = [Path(root)] if isinstance(root, str | Path) else [Path(r) for r in root]
    runs: dict[str, Run] = {}
    paths: list[Path] = []
    owners: list[Run] = []
    for base in roots:
        require_utf8(base)
    for base in _places(roots):
        for path in find_scores(base):
            training = training_folder(path.parent)
            name = _unique_name(training, base, runs)
            if name not in runs:
                runs[name] = read_run(training, name)
            paths.append(path)
            owners.append(runs[name])
    scores = read_many(paths) if paths else pd.DataFrame()
    if scores.empty:
        where = " and ".join(str(r) for r in roots)
        raise UsageError(
            f"no scores in {where}: run `ltbench run --out {roots[0]}` first, or give another folder"
        )
    scores = _with_runs(scores, paths, owners)
    repeated = is_repeated(scores)
    if repeated.any():
        _refuse_contradictions(scores)
    unique = scores[~repeated].reset_index(drop=True)
    notes: tuple[str, ...] = ()
    if len(unique) < len(scores):
        notes = (f"{len(scores) - len(unique)} numbers were found in more than one place and count once.",)
    notes += tuple(_trained_again(unique))
    return Results(unique, {name: runs[name] for name in unique["run"].unique()}, notes)


def study_title(root: Path) -> str:
    """Return the title of the study file beside the runs: of several, ``study.toml``'s; "" without one."""
    files = {path.name: path for place in places(root) for path in sorted(place.glob("*.toml"))}
    chosen = files.get("study.toml", next(iter(files.values())) if len(files) == 1 else None)
    if chosen is None:
        return ""
    try:
        title = tomllib.loads(read_text(chosen)).get("title")
    except (UsageError, ValueError, RecursionError):  # a broken file of others' names stops no report
        return ""
    return one_line(title) if isinstance(title, str) else ""


def _places(roots: Sequence[Path]) -> Iterator[Path]:
    """Yield the folders of runs that the roots stand for; a bundle may lie in its place."""
    for root in roots:
        if not root.is_dir() and not is_bundle(root):
            raise UsageError(
                f"no results folder at {root}: give the folder that `ltbench run --out` wrote, or a bundle"
            )
        yield from places(root)


def _with_runs(scores: pd.DataFrame, paths: Sequence[Path], owners: Sequence[Run]) -> pd.DataFrame:
    """Add what the columns do not say: run, folder, data cell, settings and series, from each file's run.

    The few protocols that a file states are described once, not its rows one by one.
    """
    _refuse_strangers(scores, paths, owners)
    codes = row_codes(scores, ["file", *PROTOCOL])
    _, first = np.unique(codes, return_index=True)
    stated = scores.iloc[first].astype({c: object for c in scores if c not in NUMBERS and c != "file"})
    parts = []
    for number, rows in stated.groupby("file"):
        path, run = paths[int(str(number))], owners[int(str(number))]
        folder, spec = path.parent, run.spec
        if spec is not None and folder != run.folder:
            spec = checked_spec_of_samples(folder, spec)
        part = with_series(rows.assign(run=run.name, folder=str(folder)), spec, run.data)
        parts.append(part.set_axis(rows.index))
    described = pd.concat(parts).reindex(stated.index)
    added = {}
    for name in ("sampler", "variant", "run", "folder", "cell", "settings", "series"):
        text = pd.Categorical(described[name].astype(str))
        added[name] = pd.Categorical.from_codes(text.codes[codes], dtype=text.dtype)
    return scores.drop(columns="file").assign(**added)


def _refuse_strangers(scores: pd.DataFrame, paths: Sequence[Path], owners: Sequence[Run]) -> None:
    """Refuse a file of scores that are another training's than its folder's spec states."""
    _, first = np.unique(row_codes(scores, ["file", "train_key"]), return_index=True)
    for row in scores.iloc[first][["file", "train_key"]].itertuples():
        path, run = paths[int(str(row.file))], owners[int(str(row.file))]
        if run.spec is not None and str(row.train_key) not in ("", train_key(run.spec)):
            raise CheckpointError(
                f"{path} holds scores of another training (key {str(row.train_key)[:8]}) than its folder's spec states "
                f"({train_key(run.spec)[:8]}): one of the two was changed or copied; restore it"
            )


def _refuse_contradictions(scores: pd.DataFrame) -> None:
    """Refuse a file that states one number twice and differently: no merge leaves that, a hand does."""
    place = pd.DataFrame(
        {
            "number": number_codes(scores),
            "folder": scores["folder"].to_numpy(),
            "value": scores["value"].to_numpy(),
        }
    )
    same = place.groupby(["number", "folder"], observed=True)["value"].agg(["nunique", "size", "count"])
    differ = same[(same["nunique"] > 1) | ((same["count"] < same["size"]) & (same["count"] > 0))]
    if len(differ):
        number, folder = differ.index[0]
        rows = scores[(place["number"] == number) & (place["folder"] == folder)]
        first = rows.iloc[0]
        where = " ".join(str(first[name]) for name in ("scope", "class_or_group") if first[name] != "")
        values = " and ".join(f"{value:g}" for value in rows["value"].unique()[:3])
        path = Path(str(folder)) / SCORES
        raise CheckpointError(
            f"{path} states {first['metric']} ({where}) as {values}: delete it and run "
            f"`{command('ltbench', 'evaluate', path.parent)}`"
        )


def _trained_again(scores: pd.DataFrame) -> Iterator[str]:
    """Say which sample sets of one training and step came from different weights: lost, and trained again."""
    sets = scores[["run", "step", "folder"]].drop_duplicates().astype({"run": object, "folder": object})
    for (run, step), folders in sets.groupby(["run", "step"])["folder"]:
        hashes = {sampled_weights(Path(folder)) for folder in folders} - {None}
        if len(hashes) > 1:
            yield (
                f"The sample sets of {run} at step {step:g} come from {len(hashes)} trainings of one spec, which agree to "
                "rounding at best: delete all but one set and run again to have them from one."
            )


def _unique_name(training: Path, base: Path, runs: dict[str, Run]) -> str:
    """Name a run by its path below the root; two roots that hold the same path are told apart by root."""
    relative = training.relative_to(base)
    name = training.name if relative == Path() else str(relative)
    taken = runs.get(name)
    return name if taken is None or taken.folder == training else str(training)
