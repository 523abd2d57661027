"""Verifying: from a stranger's bundle to what of it is self-reported, re-scored, reproduced or contradicted.

    keys        each training's and sample set's key is computed from its spec, and every number's columns are
                compared with that spec
    splits      where the data are here, the training images that a spec names are hashed again
    scores      where a sample set's images are stored and its data and extractor are here, they are scored again
    samples     with weights, and only where asked, images are drawn again and compared

Nothing in a bundle is executed: extractors are this installation's own, by name, and TorchScript files that a
bundle names are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from ltbench.errors import CheckpointError, DataCorrupt, DataMissing, LtbenchError, UsageError
from ltbench.runs.layout import SAMPLES, SPEC, folder_name, kept_steps, samples_name
from ltbench.runs.networks import copy_network, network_path
from ltbench.runs.samples import has_samples, load_samples
from ltbench.runs.score_columns import as_stored, run_columns
from ltbench.runs.score_rows import identity
from ltbench.runs.scores import find_scores, read_many, scored_requests
from ltbench.runs.spec_files import read_spec, spec_of, spec_of_samples
from ltbench.runs.variants import current_variant
from ltbench.specs import DataSpec, RunSpec, ScoreSpec, sample_key, train_key
from ltbench.temporary import scratch_folder

if TYPE_CHECKING:
    from ltbench.data import Dataset
    from ltbench.environment import Environment

SELF_REPORTED, RESCORED, REPRODUCED, CONTRADICTED = "self-reported", "re-scored", "reproduced", "contradicted"
TOLERANCE = 1e-3
"""Relative difference up to which a number counts as the same: machines differ by about 3e-4 in a Frechet distance."""


@dataclass
class Verification:
    """What a bundle's numbers are worth.

    Attributes
    ----------
    rows
        One row a number: run, samples, metric, extractor, scope, class_or_group, value, again, status, reason.
    problems
        Sentences about keys, splits or columns that are not what they claim; a bundle with one is contradicted.
    notes
        Sentences about what could not be checked here, and why.
    """

    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Numbers by status."""
        found = Counter(self.rows["status"]) if len(self.rows) else Counter()
        return {status: found[status] for status in (REPRODUCED, RESCORED, SELF_REPORTED, CONTRADICTED)}

    @property
    def holds(self) -> bool:
        """True where nothing is contradicted."""
        return not self.problems and not self.counts[CONTRADICTED]


def verify(
    root: Path,
    *,
    data_root: Path | None = None,
    device: str = "cpu",
    score: bool = True,
    redraw: bool = False,
    tolerance: float = TOLERANCE,
    progress: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Check every run folder below `root`.

    Parameters
    ----------
    root
        A folder of runs, such as the unpacked copy of a bundle; it is read only.
    data_root
        Where the data sets are.
    device
        Where features are computed and samples drawn.
    score
        Score stored images again; False: keys, columns and splits only.
    redraw
        Draw the samples again where their weights are stored: minutes a set.
    tolerance
        Relative difference up to which two numbers are one.
    progress
        Told what is being checked.

    Raises
    ------
    UsageError
        There is no run below the folder.
    """
    folders = sorted(p.parent for p in root.glob(f"*/{SPEC}")) or ([root] if (root / SPEC).is_file() else [])
    if not folders:
        raise UsageError(f"no runs in {root}: give what `ltbench pack` or `ltbench run --out` wrote")
    tables = []
    with scratch_folder() as cache:  # of the real images, which all sets are held to
        check = _Check(Verification(), data_root, device, score, redraw, tolerance, cache)
        for folder in folders:
            progress(folder.name)
            try:
                tables += list(check.training(folder))
            except (CheckpointError, DataCorrupt, UsageError, ValidationError) as error:
                check.found.problems.append(f"{folder.name}: {str(error).splitlines()[0]}")
    if tables:
        check.found.rows = pd.concat(tables, ignore_index=True)
    check.found.notes = sorted(set(check.found.notes))
    return check.found


@dataclass
class _Check:
    found: Verification
    data_root: Path | None
    device: str
    score: bool
    redraw: bool
    tolerance: float
    cache: Path
    datasets: dict[DataSpec, Dataset | None] = field(default_factory=dict)

    def training(self, folder: Path) -> Iterator[pd.DataFrame]:
        """Check one training's folder; yield the rows of each of its sample sets."""
        content = read_spec(folder)
        external = content.get("origin") == "external"
        spec = None if external else spec_of(folder, content)
        if spec is not None:
            self._keys(folder, spec, content.get("train_key"))
        data = spec.data if spec is not None else DataSpec.model_validate(content.get("data"))
        cell = self._dataset(data)
        for path, table in _tables(folder):
            run = None if spec is None else self._sample_keys(path.parent, spec)
            if run is not None:
                self._columns(path.parent, table, run, cell)
            if cell is not None and len(table):
                self._split(folder, table, cell)
            yield self._scores(path.parent, table, run, cell)

    # -- keys and columns -------------------------------------------------------------------------------

    def _keys(self, folder: Path, spec: RunSpec, recorded: object) -> None:
        if train_key(spec) != recorded:
            self.found.problems.append(f"{folder.name}: its train key is not that of its spec")
        elif folder.name != folder_name(spec):
            self.found.problems.append(
                f"{folder.name}: the spec inside belongs in a folder {folder_name(spec)}"
            )

    def _sample_keys(self, folder: Path, training: RunSpec) -> RunSpec:
        run, recorded = spec_of_samples(folder, training), read_spec(folder)
        name = f"{folder.parents[1].name}/{SAMPLES}/{folder.name}"
        if recorded.get("sample_key") != sample_key(run) or recorded.get("train_key") != train_key(training):
            self.found.problems.append(f"{name}: its keys are not those of its spec")
        elif f"{SAMPLES}/{folder.name}" != samples_name(sample_key(run)):
            self.found.problems.append(
                f"{name}: the spec inside belongs in a folder {samples_name(sample_key(run))}"
            )
        return run

    def _columns(self, folder: Path, table: pd.DataFrame, run: RunSpec, cell: Dataset | None) -> None:
        """Compare what each row says of its run with the spec; the variant's name may have changed since."""
        from ltbench.diffusion.guidance import evaluations

        # A rule may go by the classes' sizes, which only the data tell.
        counted = cell is not None or run.sample.is_plain
        nfe = evaluations(run.sample, None if cell is None else cell.prior).nfe if counted else float("nan")
        for column, value in run_columns(run, nfe).items():
            if column == "variant" or column not in table or (column == "nfe" and not counted):
                continue
            wrong = table[column] != (float(value) if table[column].dtype.kind == "f" else str(value))
            if wrong.any():
                shown = table.loc[wrong, column].iloc[0]
                self.found.problems.append(
                    f"{folder.parents[1].name}/{SAMPLES}/{folder.name}: {column} is {shown} in {int(wrong.sum())} rows, "
                    f"{value} in its spec"
                )

    def _split(self, folder: Path, table: pd.DataFrame, cell: Dataset) -> None:
        stated = {str(m) for m in table["manifest"] if m} if "manifest" in table else set()
        if any(not cell.manifest_hash.startswith(m) for m in stated):
            self.found.problems.append(
                f"{folder.name}: it was trained on other images than its spec selects here"
            )

    # -- scores -------------------------------------------------------------------------------------------

    def _scores(
        self, folder: Path, table: pd.DataFrame, run: RunSpec | None, cell: Dataset | None
    ) -> pd.DataFrame:
        columns = [
            c for c in ("metric", "definition", "extractor", "scope", "class_or_group", "value") if c in table
        ]
        out = table[columns].assign(run=folder.parents[1].name, samples=folder.name, again=np.nan)
        out["status"], out["reason"] = SELF_REPORTED, self._why_not(folder, run, cell)
        if (out["reason"] != "").any() or run is None or cell is None:
            return out
        again, status = self._score_again(folder, run, cell)
        values = dict(zip(identity(again), again["value"], strict=True)) if len(again) else {}
        out["again"] = [values.get(key, np.nan) for key in identity(table)]
        stated = out["value"].notna()
        out.loc[~stated, "reason"] = "it states no number"
        known = out["again"].notna() & stated
        close = np.isclose(out["again"], out["value"], rtol=self.tolerance, atol=1e-9)
        out.loc[known, "status"] = np.where(close[known], status, CONTRADICTED)
        out.loc[stated & ~known, "reason"] = "no such number here: another definition, extractor or reference"
        return out

    def _why_not(self, folder: Path, run: RunSpec | None, cell: Dataset | None) -> str:
        if run is None:
            return "images made elsewhere"
        if not self.score:
            return "not scored again"
        if not has_samples(folder) and not self._can_redraw(folder, run):
            return "its images are not in the bundle"
        return "" if cell is not None else "its data are not here"

    def _score_again(self, folder: Path, run: RunSpec, cell: Dataset) -> tuple[pd.DataFrame, str]:
        """Return the numbers of the stored requests measured anew, and what equal ones are then called."""
        from ltbench.extractors.cache import images_hash
        from ltbench.scoring.score import score_samples

        status = RESCORED
        with scratch_folder() as scratch:
            if self._can_redraw(folder, run):
                images, labels = self._draw(folder, run, scratch)
                status = REPRODUCED
            else:
                images, labels = load_samples(folder)
            tables = []
            for request in scored_requests(folder).values():
                asked = self._own_extractors(folder, ScoreSpec.model_validate(request))
                if asked is None:
                    continue
                spec = run.model_copy(update={"score": asked})
                try:
                    tables.append(score_samples(cell, images, labels, spec, self.cache, self.device))
                except LtbenchError as error:
                    self.found.notes.append(f"not scored again: {str(error).splitlines()[0]}")
            for features in self.cache.glob(f"features/{images_hash(images)}-*"):
                features.unlink()  # of the samples, which nobody asks for again
        return (as_stored(pd.concat(tables, ignore_index=True)) if tables else pd.DataFrame()), status

    def _own_extractors(self, folder: Path, request: ScoreSpec) -> ScoreSpec | None:
        """Leave out extractors that are files: a bundle may not choose what runs here."""
        own = tuple(name for name in request.extractors if ":" not in name)
        if own != request.extractors:
            self.found.notes.append(
                f"not scored again: {folder.parents[1].name} names a TorchScript file as extractor, and a bundle's own "
                "names are not run"
            )
        return request.model_copy(update={"extractors": own}) if own else None

    # -- samples --------------------------------------------------------------------------------------------

    def _can_redraw(self, folder: Path, run: RunSpec) -> bool:
        """Tell whether the weights are here: the run's own, and those of the network it was guided away from."""
        kept, root = kept_steps(folder.parents[1]), folder.parents[2]
        digest, early = run.sample.other_network
        if not self.redraw or run.train.steps not in kept:
            return False
        lacking = digest is not None and not network_path(root, digest).exists()
        if lacking or (early is not None and early not in kept):
            self.found.notes.append(
                f"not drawn again: the weaker network that {folder.parents[1].name} is guided away from is not here"
            )
            return False
        if current_variant(run.method) is None:
            self.found.notes.append(f"not drawn again: the method {run.method.name} is not installed here")
            return False
        return True

    def _draw(self, folder: Path, run: RunSpec, scratch: Path) -> tuple[np.ndarray, np.ndarray]:
        """Draw the samples again from the stored weights, in a folder of our own."""
        import shutil

        from ltbench.pipeline import run_stage, stages

        root = scratch / "again"
        shutil.copytree(
            folder.parents[1], root / folder.parents[1].name, ignore=shutil.ignore_patterns(SAMPLES)
        )
        digest, _ = run.sample.other_network
        if digest is not None:
            copy_network(folder.parents[2], root, digest)
        drawing = next(stage for stage in stages(run) if stage.kind == "sample")
        run_stage(drawing, root, self._environment())
        return load_samples(root / drawing.sample_folder)

    def _environment(self) -> Environment:
        from ltbench.environment import Environment

        return Environment(device=self.device, data_root=self.data_root)

    def _dataset(self, data: DataSpec) -> Dataset | None:
        from ltbench.data import load_dataset

        if data not in self.datasets:
            try:
                self.datasets[data] = load_dataset(data, self.data_root)
            except (DataMissing, UsageError, DataCorrupt) as error:
                self.found.notes.append(f"splits and scores not checked: {str(error).splitlines()[0]}")
                self.datasets[data] = None
        return self.datasets[data]


def _tables(folder: Path) -> Iterator[tuple[Path, pd.DataFrame]]:
    """Yield each score file of a training with its rows, text as text: read together, which takes half the time."""
    paths = list(find_scores(folder))
    if not paths:
        return
    table = read_many(paths)
    text = {name: object for name in table if isinstance(table[name].dtype, pd.CategoricalDtype)}
    rows = table.groupby("file").indices
    table = table.drop(columns="file")
    for number, path in enumerate(paths):
        yield path, table.iloc[rows.get(number, [])].astype(text).reset_index(drop=True)


def summary(found: Verification) -> dict[str, Any]:
    """Return a verification as plain data: for JSON, and for a league page's column."""
    return {"holds": found.holds, "counts": found.counts, "problems": found.problems, "notes": found.notes}
