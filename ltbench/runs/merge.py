"""Merging: from two laboratories' bundles to one, duplicates seen by key, conflicts named.

A training is its train key, a sample set its sample key, a number what `scores.identity` says. What only one side
has is taken; what both have counts once; two values of one number that differ by more than `TOLERANCE` are a
conflict, which is never settled without being told how.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from ltbench.errors import DataCorrupt, UsageError
from ltbench.files import sha256, write_json
from ltbench.runs.digests import DIGESTS, recorded_digests
from ltbench.runs.layout import PROVENANCE, SCORED, SCORES, SPEC
from ltbench.runs.provenance import join_provenances, read_provenance, write_provenance
from ltbench.runs.run import check_run
from ltbench.runs.score_rows import identity
from ltbench.runs.scores import read_scores, record_requests, scored_requests, write_scores
from ltbench.runs.spec_files import read_spec

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
        A sentence a number that the sides disagree on.
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
        Two roots whose direct sub-folders are trainings.
    target
        Where the joined run folders are written; it must not exist.
    keep
        Which side's value a conflict takes; None: conflicts are listed and the folder is not to be used.

    Raises
    ------
    UsageError
        The target exists.
    DataCorrupt
        Two trainings of different keys share a folder's name.
    CheckpointError
        A spec or file of a side was changed since it was written.
    """
    if target.exists():
        raise UsageError(f"{target} exists: give a new name")
    found = Merge()
    target.mkdir(parents=True)
    first, second = ({p.name: p for p in sorted(side.iterdir()) if (p / SPEC).is_file()} for side in sides)
    for name in sorted({*first, *second}):
        here = [side[name] for side in (first, second) if name in side]
        for folder in here:
            check_run(folder)
        shutil.copytree(here[0], target / name)
        if len(here) == 2:
            _join_training(here[1], target / name, found, keep)
    specs = [p for p in target.rglob(SPEC) if p.parent.parent != target]
    found.trainings, found.sample_sets = len({*first, *second}), len(specs)
    found.numbers = sum(len(read_scores(path)) for path in sorted(target.rglob(SCORES)))
    return found


def _join_training(other: Path, target: Path, found: Merge, keep: Keep | None) -> None:
    """Add to a copied training what the other side's folder of the same name has."""
    keys = [read_spec(folder).get("train_key") for folder in (target, other)]
    if keys[0] != keys[1]:
        raise DataCorrupt(f"{other.name} is two trainings of one short name (keys {keys[0]} and {keys[1]})")
    for path in sorted(p for p in other.rglob("*") if p.is_file() and p.name != DIGESTS):
        mine = target / path.relative_to(other)
        if not mine.exists():
            mine.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, mine)
        elif path.name == SCORES:
            _join_scores(mine, path, found, keep)
        elif path.name == SCORED:
            record_requests(mine.parent, scored_requests(path.parent) | scored_requests(mine.parent))
        elif path.name == PROVENANCE:
            sides = (read_provenance(folder) for folder in (mine.parent, path.parent))
            write_provenance(mine.parent, join_provenances(*sides))
    for folder in {path.parent for path in target.rglob("*") if path.is_file()}:
        _join_digests(folder, other / folder.relative_to(target))


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


def _join_scores(mine: Path, theirs: Path, found: Merge, keep: Keep | None) -> None:
    tables = [read_scores(path) for path in (mine, theirs)]
    rows = [dict(zip(identity(table), table.index, strict=True)) for table in tables]
    shared = [name for name in rows[1] if name in rows[0]]
    for name in shared:
        at = [side[name] for side in rows]
        a, b = (float(table["value"].loc[row]) for table, row in zip(tables, at, strict=True))
        if math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-12) or (math.isnan(a) and math.isnan(b)):
            found.duplicates += 1
            continue
        row = tables[0].loc[at[0]]
        place = " ".join(str(row[c]) for c in ("scope", "class_or_group") if str(row[c]))
        found.conflicts.append(
            f"{mine.parent.parent.parent.name} {row['metric']} {place}: {a:.6g} and {b:.6g}"
        )
        if keep == "second":
            tables[0].loc[at[0]] = tables[1].loc[at[1]]
    new = tables[1].drop(index=[rows[1][name] for name in shared])
    if len(new) or keep == "second":
        write_scores(mine, pd.concat([tables[0], new], ignore_index=True))
