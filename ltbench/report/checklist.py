"""What reviewers of this field ask of a benchmark, answered from the results: yes, no or not applicable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from ltbench.diffusion.registry import kind
from ltbench.report.cells import long_tails, main_protocols
from ltbench.report.figures.base import Scene
from ltbench.report.names import integer
from ltbench.report.tables.grid import Entry, Table
from ltbench.runs.provenance import training_cost

_Answer = tuple[str, str]  # yes, no, partly or not applicable; what and where
_RESAMPLING = {"class_balanced", "sqrt_sampling"}


def checklist_table(scenes: Sequence[Scene]) -> Table:
    """Build the checklist of a report: a row a question, answered for the leading data cells together."""
    leading = long_tails([scene.cell for scene in scenes])
    chosen = [scene for scene in scenes if scene.cell in leading]
    rows = []
    for question, answer in _QUESTIONS:
        said = [answer(scene) for scene in chosen]
        verdicts = {verdict for verdict, _ in said}
        verdict = verdicts.pop() if len(verdicts) == 1 else "partly"
        told = dict.fromkeys(where for _, where in said if where)
        rows.append([Entry(question), Entry(verdict, verdict == "no"), Entry("; ".join(told))])
    notes = [f"Over {', '.join(cell.label for cell in leading)}. Bold: what a reviewer will ask about."]
    return Table("checklist", "Checklist", ["Question", "Answer", "What, and where"], rows, 3, (), notes)


def _blocks(scene: Scene) -> pd.DataFrame:
    return pd.concat(main_protocols(scene.cell), ignore_index=True)


def _seeds(scene: Scene) -> _Answer:
    seeds = [len(s) for s in _blocks(scene)["train_seeds"]]
    told = (
        f"{min(seeds)} to {max(seeds)} training seeds a row"
        if min(seeds) < max(seeds)
        else f"{seeds[0]} training seeds"
    )
    return ("yes" if min(seeds) >= 3 else "no"), f"{told} (column Seeds)"


def _spread(scene: Scene) -> _Answer:
    sd = scene.cell.summary["sd"].notna().any()
    return ("yes", "± in every table, intervals in the forest plot") if sd else ("no", "one seed a row")


def _floors(scene: Scene) -> _Answer:
    cell = scene.cell
    measure = cell.frechet("overall")
    if measure is None:
        return "not applicable", "no Frechet distance"
    mean, _, n = cell.floor("overall", measure)
    if not np.isfinite(mean):
        return "no", "no floor stored"
    return "yes", f"real against real, n = {integer(n)}; league, per-class tables"


def _sampler(scene: Scene) -> _Answer:
    samplers = sorted(set(_blocks(scene)["sampler"]))
    kinds = {kind(s) for s in samplers}
    ok = len(samplers) == 1
    return ("yes" if ok else "no"), f"{', '.join(samplers)} ({', '.join(sorted(kinds))})"


def _guidance(scene: Scene) -> _Answer:
    blocks = main_protocols(scene.cell, every=True)
    scales = sorted({float(v) for block in blocks for v in block["guidance"].dropna()})
    told = "ω = " + ", ".join(f"{v:g}" for v in scales) if scales else "no scale stated"
    return ("yes" if len(scales) > 1 else "no"), f"{told} (guidance curve, best-guidance table)"


def _memorisation(scene: Scene) -> _Answer:
    measure = scene.cell.leading("memorisation_rate", "group")
    ok = measure is not None and "tail" in scene.cell.groups()
    return (
        ("yes", "league and tail table, beside what is expected of real images")
        if ok
        else ("no", "--metrics memorisation")
    )


def _groups(scene: Scene) -> _Answer:
    cell = scene.cell
    means, pooled = bool(cell.groups()), bool(cell.groups("pooled"))
    if not means:
        return "no", "no groups scored"
    return (
        "yes",
        f"mean over classes{' and pooled' if pooled else ', not pooled'}: groups table; labels in its notes",
    )


def _reference(scene: Scene) -> _Answer:
    measure = scene.cell.frechet("overall")
    if measure is None:
        return "not applicable", ""
    return (
        "yes",
        f"{measure['reference']}, {integer(measure['n_reference'])} images, "
        f"hash {measure['reference_hash'][:8] or 'not stored'}",
    )


def _extractor(scene: Scene) -> _Answer:
    measures = scene.cell.measures("overall")
    names = sorted(set(map(str, measures["extractor"])) - {""})
    return ("yes" if names else "no"), f"{', '.join(names)} (hash with every number in series and summary)"


def _baselines(scene: Scene) -> _Answer:
    methods = set(_blocks(scene)["method"])
    has = sorted(methods & _RESAMPLING)
    ok = scene.baseline in methods and bool(has)
    return (
        "yes" if ok else "no"
    ), f"{scene.baseline}{', ' + ', '.join(has) if has else '; class-balanced sampling is missing'}"


def _budget(scene: Scene) -> _Answer:
    steps = sorted({int(s) for s in _blocks(scene)["step"].dropna()})
    return ("yes" if len(steps) == 1 else "no"), f"steps {', '.join(f'{s:,}' for s in steps)}"


def _cost(scene: Scene) -> _Answer:
    runs = [scene.runs[n] for names in _blocks(scene)["runs"] for n in names]
    known = any(np.isfinite(training_cost(run.provenance, 1)[1]) for run in runs)
    return ("yes", "FLOPs and time: league, cost table") if known else ("no", "not on record")


def _splits(scene: Scene) -> _Answer:
    label = scene.cell.dataset
    others = [c for c in scene.found if c.dataset == label and not c.published]
    return ("yes" if others else "no"), f"{len(others)} other class orders or splits"


def _declared(scene: Scene) -> _Answer:
    frame = scene.differences
    ok = len(frame) > 0 and bool(frame["declared"].any())
    return ("yes", "[contrast] of the study file") if ok else ("no", "no [contrast] given (--study FILE)")


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
