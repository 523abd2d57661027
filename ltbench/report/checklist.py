"""What reviewers of this field ask of a benchmark, answered from the results: yes, no or not applicable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ltbench.report.figures.base import Scene
from ltbench.report.names import integer
from ltbench.report.protocols import long_tails, main_protocols
from ltbench.report.series import Series, joined
from ltbench.report.tables.grid import Table, marked
from ltbench.runs.provenance import training_cost

_Answer = tuple[str, str]  # yes, no, partly or not applicable; what and where
_RESAMPLING = {"class_balanced", "sqrt_sampling"}


def checklist_table(scenes: Sequence[Scene]) -> Table:
    """Build the checklist of a report: a row a question, answered for the leading data cells together."""
    leading = long_tails([scene.cell for scene in scenes])
    chosen = [scene for scene in scenes if scene.cell in leading]
    rows = []
    for question, answer in _QUESTIONS:
        answers = [answer(scene) for scene in chosen]
        verdicts = {verdict for verdict, _ in answers}
        verdict = verdicts.pop() if len(verdicts) == 1 else "partly"
        where = "; ".join(dict.fromkeys(where for _, where in answers if where))
        rows.append([question, marked(verdict, verdict == "no"), where])
    notes = [f"Over {', '.join(cell.label for cell in leading)}. Bold: what a reviewer will ask about."]
    return Table("checklist", "Checklist", ["Question", "Answer", "What, and where"], rows, 3, (), notes)


def _series(scene: Scene) -> list[Series]:
    return joined(main_protocols(scene.cell))


def _yes(is_so: bool, what: str, otherwise: str | None = None) -> _Answer:
    return ("yes", what) if is_so else ("no", what if otherwise is None else otherwise)


def _seeds(scene: Scene) -> _Answer:
    seeds = {len(one.train_seeds) for one in _series(scene)}
    few, most = min(seeds), max(seeds)
    what = f"{few} to {most} training seeds a row" if few < most else f"{few} training seeds"
    return _yes(few >= 3, f"{what} (column Seeds)")


def _spread(scene: Scene) -> _Answer:
    known = bool(scene.cell.summary["sd"].notna().any())
    return _yes(known, "± in every table, intervals in the forest plot", "one seed a row")


def _floors(scene: Scene) -> _Answer:
    measure = scene.cell.frechet("overall")
    if measure is None:
        return "not applicable", "no Frechet distance"
    mean, _, n = scene.cell.floor("overall", measure)
    what = f"real against real, n = {integer(n)}; league, per-class tables"
    return _yes(bool(np.isfinite(mean)), what, "no floor stored")


def _sampler(scene: Scene) -> _Answer:
    samplers = sorted({one.sampler for one in _series(scene)})
    kinds = sorted({one.kind for one in _series(scene)})
    return _yes(len(samplers) == 1, f"{', '.join(samplers)} ({', '.join(kinds)})")


def _guidance(scene: Scene) -> _Answer:
    every = joined(main_protocols(scene.cell, every=True))
    scales = sorted({one.guidance for one in every if one.guidance == one.guidance})
    what = "ω = " + ", ".join(f"{v:g}" for v in scales) if scales else "no scale stated"
    return _yes(len(scales) > 1, f"{what} (guidance curve, best-guidance table)")


def _memorisation(scene: Scene) -> _Answer:
    measured = scene.cell.leading("memorisation_rate", "group") is not None and "tail" in scene.cell.groups()
    where = "league and tail table, beside what is expected of real images"
    return _yes(measured, where, "--metrics memorisation")


def _groups(scene: Scene) -> _Answer:
    pooled = " and pooled" if scene.cell.groups("pooled") else ", not pooled"
    what = f"mean over classes{pooled}: groups table; labels in its notes"
    return _yes(bool(scene.cell.groups()), what, "no groups scored")


def _reference(scene: Scene) -> _Answer:
    measure = scene.cell.frechet("overall")
    if measure is None:
        return "not applicable", ""
    digest = measure.reference_hash[:8] or "not stored"
    return "yes", f"{measure.reference}, {integer(measure.n_reference)} images, hash {digest}"


def _extractor(scene: Scene) -> _Answer:
    names = sorted({m.extractor for m in scene.cell.measures("overall")} - {""})
    return _yes(bool(names), f"{', '.join(names)} (hash with every number in series and summary)")


def _baselines(scene: Scene) -> _Answer:
    methods = {one.method for one in _series(scene)}
    has = sorted(methods & _RESAMPLING)
    what = f", {', '.join(has)}" if has else "; class-balanced sampling is missing"
    return _yes(scene.baseline in methods and bool(has), f"{scene.baseline}{what}")


def _budget(scene: Scene) -> _Answer:
    steps = sorted({int(one.step) for one in _series(scene) if one.step == one.step})
    return _yes(len(steps) == 1, f"steps {', '.join(f'{s:,}' for s in steps)}")


def _cost(scene: Scene) -> _Answer:
    names = {name for one in _series(scene) for name in one.runs}
    known = any(np.isfinite(training_cost(scene.runs[name].provenance, 1)[1]) for name in names)
    return _yes(known, "FLOPs and time: league, cost table", "not on record")


def _splits(scene: Scene) -> _Answer:
    others = [c for c in scene.found if c.dataset == scene.cell.dataset and not c.published]
    return _yes(bool(others), f"{len(others)} other class orders or splits")


def _declared(scene: Scene) -> _Answer:
    frame = scene.differences
    declared = len(frame) > 0 and bool(frame["declared"].any())
    return _yes(declared, "[contrast] of the study file", "no [contrast] given (--study FILE)")


_QUESTIONS: tuple[tuple[str, Callable[[Scene], _Answer]], ...] = (
    ("Several training seeds (3 or more) for every row?", _seeds),
    ("Spread shown with every mean?", _spread),
    ("Floors (real against real) beside the distances?", _floors),
    ("One sampler for all methods?", _sampler),
    ("Guidance varied, each method at its best shown?", _guidance),
    ("One training budget for all methods?", _budget),
    ("Memorisation in the tail measured?", _memorisation),
    ("Groups defined, and said whether pooled or averaged?", _groups),
    ("Reference set named?", _reference),
    ("Feature extractor named?", _extractor),
    ("Baselines include class-balanced sampling?", _baselines),
    ("Cost reported?", _cost),
    ("Another class order or split?", _splits),
    ("Main comparison declared beforehand?", _declared),
)
