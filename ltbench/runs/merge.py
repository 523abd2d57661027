"""Merging: from two laboratories' bundles to one, duplicates seen by key, conflicts named.

A training is its train key, a sample set its sample key, a number what `scores.identity` says. What only one side
has is taken; what both have counts once; two values of one number that differ by more than `TOLERANCE` are a
conflict, as are other images under one key, and none is settled without being told how. Numbers belong to images
and images to weights: of a sample set in conflict whose images are not known to be the same, and of its training,
all files are the chosen side's.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from ltbench.errors import CheckpointError, DataCorrupt, UsageError
from ltbench.files import sha256, storage_errors, write_json
from ltbench.runs.bundle import is_bundle
from ltbench.runs.digests import DIGESTS, recorded_digests
from ltbench.runs.layout import (
    IMAGES,
    PROVENANCE,
    SAMPLES,
    SCORED,
    SCORES,
    SPEC,
    TRAIN_LOG,
    files_below,
    travelling,
)
from ltbench.runs.pack import run_folders
from ltbench.runs.places import places
from ltbench.runs.provenance import join_provenances, read_provenance, write_provenance
from ltbench.runs.run import check_run
from ltbench.runs.score_rows import identity, in_order
from ltbench.runs.scores import read_scores, record_requests, scored_requests, write_scores
from ltbench.runs.spec_files import read_spec
from ltbench.runs.train_log import read_table

Keep = Literal["first", "second"]
TOLERANCE = 1e-6  # relative difference up to which two values are one


@dataclass
class Merge:
    """What merging found.

    Attributes
    ----------
    trainings, sample_sets, numbers
        How many the merged folder holds.
    duplicates
        Numbers that both sides have, equal within the tolerance.
    conflicts
        A sentence a number, or a sample set's images, that the sides disagree on.
    """

    trainings: int = 0
    sample_sets: int = 0
    numbers: int = 0
    duplicates: int = 0
    conflicts: list[str] = field(default_factory=list)


def merge_runs(sides: Sequence[Path], target: Path, *, keep: Keep | None = None) -> Merge:
    """Join the run folders of two roots in the new folder `target`.

    Parameters
    ----------
    sides
        Two folders of runs, run folders or bundles.
    target
        Where the joined run folders are written; it must not exist.
    keep
        Which side a conflict is settled for; None: conflicts are listed and the folder is not to be used.

    Raises
    ------
    UsageError
        The target exists, or a side holds no run.
    DataCorrupt
        Two trainings of different keys share a folder's name.
    CheckpointError
        A spec or file of a side was changed since it was written.
    StorageError, DiskFull
        The target cannot be written.
    """
    if target.exists():
        raise UsageError(f"{target} exists: give a new name")
    found, folders = Merge(), [_folders(side) for side in sides]
    target.mkdir(parents=True)
    for folder in itertools.chain(*(reversed(folders) if keep == "second" else folders)):
        check_run(folder)
        if (target / folder.name).exists():
            _join_training(folder, target / folder.name, found)
        else:
            for path in travelling(folder):
                _copy(path, target / folder.name / path.relative_to(folder))
    specs = [p for p in target.rglob(SPEC) if p.parent.parent != target]
    found.trainings, found.sample_sets = len(list(target.iterdir())), len(specs)
    found.numbers = sum(len(read_scores(path)) for path in sorted(target.rglob(SCORES)))
    return found


def _folders(side: Path) -> list[Path]:
    """Return a side's run folders, of the bundles that it is or holds too."""
    if not side.is_dir() and not is_bundle(side):
        raise UsageError(
            f"no folder or bundle at {side}: give what `ltbench run --out` or `ltbench pack` wrote"
        )
    folders = [folder for place in places(side) for folder in run_folders(place)]
    if not folders:
        raise UsageError(f"no runs in {side}: give what `ltbench run --out` or `ltbench pack` wrote")
    return folders


def _copy(path: Path, to: Path) -> None:
    with path.open("rb") as source, storage_errors(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)


def _join_training(other: Path, target: Path, found: Merge) -> None:
    """Add to a copied training what the other side's folder of the same name has."""
    keys = [read_spec(folder).get("train_key") for folder in (target, other)]
    if keys[0] != keys[1]:
        raise DataCorrupt(f"{other.name} is two trainings of one short name (keys {keys[0]} and {keys[1]})")
    left = {
        path.parent
        for path in files_below(other, SPEC)
        if path.parent.parent.name == SAMPLES and _compare(path.parent, target, found)
    }
    for path in (p for p in travelling(other) if p.name != DIGESTS):
        relative = path.relative_to(other)
        of_training = relative.parts[0] != SAMPLES and relative != Path(PROVENANCE)  # sittings are of both
        if path.parent in left or (left and of_training):
            continue
        mine = target / relative
        if not mine.exists():
            _copy(path, mine)
        elif path.name == TRAIN_LOG:
            if _last_step(path) > _last_step(mine):  # one place trained further
                _copy(path, mine)
        elif path.name == SCORES:
            _join_scores(mine, path)
        elif path.name == SCORED:
            record_requests(mine.parent, scored_requests(path.parent))
        elif path.name == PROVENANCE:
            sides = (read_provenance(folder) for folder in (mine.parent, path.parent))
            write_provenance(mine.parent, join_provenances(*sides))
    for folder in {path.parent for path in target.rglob("*") if path.is_file()}:
        _join_digests(folder, other / folder.relative_to(target))


def _last_step(log: Path) -> int:
    """Return the last step of a training's log; -1 of one that is empty or cannot be read."""
    with contextlib.suppress(CheckpointError):
        table = read_table(log, required=("step",))
        return -1 if table is None or table.empty else int(table["step"].max())
    return -1


def _join_digests(folder: Path, other: Path) -> None:
    """Keep, of both sides' digests of a joined folder, those of the files that it has."""
    sides = [recorded_digests(side) for side in (folder, other)]
    if not any(sides):
        return
    kept = {}
    for name in sorted({*sides[0], *sides[1]}):
        accepted = [digest for side in sides for digest in side.get(name, [])]
        if (folder / name).is_file() and (found := sha256(folder / name)) in accepted:
            kept[name] = [found]
    write_json(folder / DIGESTS, kept)


def _compare(other: Path, training: Path, found: Merge) -> bool:
    """Note what a sample set and the training's own of that key disagree on; tell whether their images may be others."""
    mine = training / SAMPLES / other.name
    images = [_images(folder) for folder in (mine, other)]
    conflicts = list(_conflicts(mine, other, found)) if mine.is_dir() else []
    if not conflicts and all(images) and not images[0] & images[1]:
        conflicts = [f"{training.name}/{SAMPLES}/{other.name}: its images"]
    found.conflicts += conflicts
    return bool(conflicts) and not images[0] & images[1]


def _images(folder: Path) -> set[str]:
    """Return the digests of a sample set's images; of some they are known though the images are elsewhere."""
    known = recorded_digests(folder).get(IMAGES, [])
    path = folder / IMAGES
    return set(known) or ({sha256(path)} if path.is_file() else set())


def _tables(mine: Path, theirs: Path) -> tuple[list[pd.DataFrame], list[dict[str, int]]]:
    """Return two tables of scores, and where in each a number is, by its identity."""
    tables = [read_scores(path) for path in (mine, theirs)]
    return tables, [dict(zip(identity(table), table.index, strict=True)) for table in tables]


def _conflicts(mine: Path, other: Path, found: Merge) -> Iterator[str]:
    """Yield a sentence a number that two sample sets disagree on; count those on which they agree."""
    if not ((mine / SCORES).is_file() and (other / SCORES).is_file()):
        return
    tables, rows = _tables(mine / SCORES, other / SCORES)
    for name in rows[1]:
        if name not in rows[0]:
            continue
        a, b = (float(table["value"].loc[side[name]]) for table, side in zip(tables, rows, strict=True))
        if math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-12) or (math.isnan(a) and math.isnan(b)):
            found.duplicates += 1
            continue
        row = tables[0].loc[rows[0][name]]
        place = " ".join(str(row[c]) for c in ("scope", "class_or_group") if str(row[c]))
        yield f"{mine.parent.parent.name} {row['metric']} {place}: {a:.6g} and {b:.6g}"


def _join_scores(mine: Path, theirs: Path) -> None:
    tables, rows = _tables(mine, theirs)
    new = tables[1].drop(index=[at for name, at in rows[1].items() if name in rows[0]])
    if len(new):
        write_scores(mine, in_order(pd.concat([tables[0], new], ignore_index=True)))
