"""What reviewers of this field ask of a benchmark, answered from the results: yes, no or not applicable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ltbench.analysis.names import integer
from ltbench.analysis.protocols import long_tails, main_protocols
from ltbench.analysis.series import Series, joined
from ltbench.report.figures.base import Scene
from ltbench.report.tables.grid import Table, marked
from ltbench.runs.provenance import training_cost

_Answer = tuple[str, bool | None, str]  # question; yes, no or not applicable; what and where
_VERDICTS = {True: "yes", False: "no", None: "not applicable"}
_RESAMPLING = {"class_balanced", "sqrt_sampling"}


def checklist_table(scenes: Sequence[Scene]) -> Table:
    """Build the checklist of a report: a row a question, answered for the leading data cells together."""
    leading = long_tails([scene.cell for scene in scenes])
    answers = [[*_of_runs(scene), *_of_scores(scene)] for scene in scenes if scene.cell in leading]
    rows = []
    for each in zip(*answers, strict=True):
        verdicts = {_VERDICTS[is_so] for _, is_so, _ in each}
        verdict = verdicts.pop() if len(verdicts) == 1 else "partly"
        where = "; ".join(dict.fromkeys(where for *_, where in each if where))
        rows.append([each[0][0], marked(verdict, verdict == "no"), where])
    notes = [f"Over {', '.join(cell.label for cell in leading)}. Bold: what a reviewer will ask about."]
    return Table("checklist", "Checklist", ["Question", "Answer", "What, and where"], rows, 3, (), notes)


def _distinct(series: Sequence[Series], name: str) -> list[Any]:
    """Return the values of an attribute that are stated, rising."""
    return sorted({value for one in series if (value := getattr(one, name)) == value})


def _of_runs(scene: Scene) -> Iterator[_Answer]:
    """Answer what is asked of the trainings and their samples."""
    cell, series = scene.cell, joined(main_protocols(scene.cell))
    seeds = sorted({len(one.train_seeds) for one in series})
    many = (
        f"{seeds[0]} to {seeds[-1]} training seeds a row" if len(seeds) > 1 else f"{seeds[0]} training seeds"
    )
    yield "Several training seeds (3 or more) for every row?", seeds[0] >= 3, f"{many} (column Seeds)"
    spread = "± in every table, intervals in the forest plot" if seeds[-1] > 1 else "one seed a row"
    where = f"{spread}; none where a row has one seed" if seeds[0] == 1 < seeds[-1] else spread
    yield "Spread shown with every mean?", seeds[0] > 1, where
    measure = cell.frechet("overall")
    mean, _, n = cell.floor("overall", measure) if measure is not None else [np.nan] * 3
    floor = (
        f"real against real, n = {integer(n)}; league, per-class tables"
        if mean == mean
        else "no floor stored"
    )
    known = None if measure is None else mean == mean
    where = floor if measure is not None else "no Frechet distance"
    yield "Floors (real against real) beside the distances?", known, where
    samplers, kinds, steps = (_distinct(series, name) for name in ("sampler", "kind", "step"))
    yield "One sampler for all methods?", len(samplers) == 1, f"{', '.join(samplers)} ({', '.join(kinds)})"
    scales = _distinct(joined(main_protocols(cell, every=True)), "guidance")
    what = "ω = " + ", ".join(f"{v:g}" for v in scales) if scales else "no scale stated"
    where = f"{what} (guidance curve, best-guidance table)"
    yield "Guidance varied, each method at its best shown?", len(scales) > 1, where
    budgets = ", ".join(f"{step:,.0f}" for step in steps)
    yield "One training budget for all methods?", len(steps) == 1, f"steps {budgets}"


def _of_scores(scene: Scene) -> Iterator[_Answer]:
    """Answer what is asked of the measures, the comparisons and what is on record."""
    cell, series, groups = scene.cell, joined(main_protocols(scene.cell)), scene.cell.groups()
    copied = cell.leading("memorisation_rate", "group") is not None and "tail" in groups
    where = (
        "league and tail table, beside what is expected of real images"
        if copied
        else "--metrics memorisation"
    )
    yield "Memorisation in the tail measured?", copied, where
    pooled = " and pooled" if cell.groups("pooled") else ", not pooled"
    where = f"mean over classes{pooled}: groups table; labels in its notes" if groups else "no groups scored"
    yield "Groups defined, and said whether pooled or averaged?", bool(groups), where
    named, where = None, ""
    if (measure := cell.frechet("overall")) is not None:
        digest = measure.reference_hash[:8] or "not stored"
        named, where = True, f"{measure.reference}, {integer(measure.n_reference)} images, hash {digest}"
    yield "Reference set named?", named, where
    names = sorted({m.extractor for m in cell.measures("overall")} - {""})
    where = f"{', '.join(names)} (hash with every number in series and summary)"
    yield "Feature extractor named?", bool(names), where
    methods = {one.method for one in series}
    has = sorted(methods & _RESAMPLING)
    where = ", ".join([scene.baseline, *has]) + ("" if has else "; class-balanced sampling is missing")
    yield "Baselines include class-balanced sampling?", scene.baseline in methods and bool(has), where
    records = (scene.runs[name].provenance for one in series for name in one.runs)
    known = any(np.isfinite(training_cost(record, 1)[1]) for record in records)
    yield "Cost reported?", known, "FLOPs and time: league, cost table" if known else "not on record"
    others = [c for c in scene.found if c.dataset == cell.dataset and not c.published]
    yield "Another class order or split?", bool(others), f"{len(others)} other class orders or splits"
    declared = len(scene.differences) > 0 and bool(scene.differences["declared"].any())
    where = "[contrast] of the study file" if declared else "no [contrast] given (--study FILE)"
    yield "Main comparison declared beforehand?", declared, where
