"""What a table says of its rows and columns: what rows have in common, how it was measured, what spread means."""

from __future__ import annotations

from collections.abc import Sequence

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.names import (
    MISSING,
    Measure,
    Show,
    evaluations_text,
    guidance_text,
    integer,
    measure_titles,
    seeds_text,
)
from ltbench.analysis.series import Series, grouped, several

# How a column tells each attribute of a series.
_SERIES: tuple[tuple[str, str, Show], ...] = (
    ("Guidance ω", "guidance", guidance_text),
    ("Variant", "variant", str),
    ("Settings", "differs", str),
    ("Step", "step", integer),
    ("Sampler", "sampler", str),
    ("NFE", "nfe", evaluations_text),
    ("Origin", "origin", str),
)


def protocol_columns(series: Sequence[Series]) -> tuple[list[tuple[str, list[str]]], str]:
    """Split what describes series into columns that differ and a sentence of what is alike."""
    columns: list[tuple[str, list[str]]] = []
    same = []
    for header, name, show in _SERIES:
        texts = [show(getattr(one, name)) for one in series]
        if name == "nfe" and len(set(texts)) > 1 and not several(series, "passes"):
            every = sorted(set(texts), key=lambda t: float(t.replace(",", "")))
            same.append(f"NFE {' or, with guidance, '.join(every)}")
        elif len(set(texts)) > 1:
            columns.append((header, texts))
        elif texts[0] and name != "differs" and texts[0] not in ("ours", MISSING):
            same.append(f"{header if header == 'NFE' else header[:1].lower() + header[1:]} {texts[0]}")
    kinds = {one.kind for one in series}
    if len(kinds) == 1 and "unknown" not in kinds:
        same.append(f"a scale of guidance under a {kinds.pop()} sampler")
    columns.append(("Seeds", [seeds_text(one.train_seeds) for one in series]))
    return columns, (f"All rows: {', '.join(same)}." if same else "")


def measured_as(cell: CellResults, measures: Sequence[Measure], scope: str) -> str:
    """Say what the numbers of some measures are: definition, extractor, images generated and real."""
    titles = dict(zip(measures, measure_titles(measures), strict=True))
    per = " a class" if scope in ("class", "group") else ""

    def how(measure: Measure) -> str:
        title = titles[measure].rstrip(" ↓↑")
        extractor = measure.extractor if f"({measure.extractor})" not in title else ""
        return f"{title} ({', '.join(filter(None, (extractor, measure.definition)))})"

    def sizes(measure: Measure) -> tuple[str, str, str]:
        return cell.images(measure, "n_generated"), cell.images(measure, "n_reference"), measure.reference

    what = (
        f"{made} generated against {real} real images of {reference}{per}: {'; '.join(map(how, each))}"
        for (made, real, reference), each in grouped(measures, sizes).items()
    )
    return f"{'. '.join(what)}."


def spread_notes(cell: CellResults, series: Sequence[Series]) -> list[str]:
    """Say what spread, bold and floor mean, and what these seeds cannot say."""
    notes = ["One training seed: no spread, and no row is marked as best."]
    if any(len(one.train_seeds) > 1 for one in series):
        notes = [
            "Mean ± standard deviation over training seeds at one sampling seed; bold, among the rows of one protocol: "
            "the best mean and all that cannot be told from it (paired t tests, of ratios where a measure is a "
            "distance, Holm's correction over all pairs of rows at 5 %), so that an equal row is left plain in one column "
            "of twenty."
        ]
    if (cell.points["role"] == "floor").any():
        notes.append(
            "Floor: held-out real images against the same reference, ± over repeated draws; n: its images, where "
            "they are fewer than the score's. Then the score at the floor's n is the one to read against it."
        )
    if again := [one for one in series if len(one.sample_seeds) > 1]:
        each = "; ".join(f"{one.label} {', '.join(map(str, one.sample_seeds))}" for one in again)
        notes.append(f"Sampled more than once ({each}): that spread is kept apart, in summary.csv.")
    return notes
