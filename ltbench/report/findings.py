"""Findings: from the frame of differences and the scores to a few short sentences.

A sentence has at most 25 words and no list of numbers: the forest plot and the tables beside it have those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from ltbench.analysis.best_guidance import best_guidances
from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.columns import Column
from ltbench.analysis.differences import PLACES, Difference, declared_rows, of_measure, shown_to_differ
from ltbench.analysis.names import group_title, method_title, number
from ltbench.analysis.protocols import fewer_methods, long_tails, main_protocols
from ltbench.analysis.series import Block, by_key, grouped

MOST_WORDS = 25
MOST_SENTENCES = 6
_NAMED = 3  # methods by name in a sentence

Sections = Sequence[tuple[CellResults, pd.DataFrame]]


def findings(sections: Sections, baseline: str) -> list[str]:
    """Return three to six sentences on who is ahead, where, how surely, and at what price."""
    frames = dict(sections)
    leading = long_tails([cell for cell, _ in sections])
    drafts: list[Iterator[str]] = [_declared(sections)]
    for cell in leading[:2]:
        most = 3 if len(leading) == 1 else 2  # guidances
        drafts += [_ahead(cell, frames[cell], baseline, most), _best(cell), _memorised(cell)]
    out: list[str] = []
    for draft in [*drafts, _sureness(leading)]:
        out += [s for s in draft if len(s.split()) <= MOST_WORDS and s not in out]
    last = out[-1:]  # how sure it all is stays
    return [*out[: MOST_SENTENCES - 1], *last] if len(out) > MOST_SENTENCES else out


def _ahead(cell: CellResults, frame: pd.DataFrame, baseline: str, most: int) -> Iterator[str]:
    """Say of each guidance which methods are shown to be better, which worse than the baseline, and of the tail."""
    measure = cell.frechet("overall")
    if measure is None or frame.empty:
        return
    for block in main_protocols(cell)[:most]:
        rows = [row for row in of_measure(frame, measure, block, PLACES) if row.n > 1]
        if not rows:  # one seed shows nothing, not even that nothing differs
            continue
        at = f"{_short(cell)}, ω={block[0].scale_text}"
        how = f"({_word(measure.plain)}, Holm over {len(rows)})"
        yield from _fitting(
            f"{at}: {_sides(rows, block, method_title(baseline), named)} {how}."
            for named in ((_NAMED, _NAMED), (_NAMED, 0), (1, 1), (1, 0), (0, 0))
        )
    if fewer := fewer_methods(cell):
        yield f"{_short(cell)}: {fewer}"


def _sides(rows: Sequence[Difference], block: Block, baseline: str, named: tuple[int, int]) -> str:
    """Say who is better and who worse, overall and in the tail; up to `named` methods by name, first and later."""
    shown, members = shown_to_differ(rows), by_key(block)
    parts: list[str] = []
    for place in dict.fromkeys(row.place for row in rows):
        sides = grouped(
            (row for row in rows if row.place == place and row in shown), lambda row: row.mean < 0
        )
        said: list[str] = []
        for better, one, more in ((True, "beats", "beat"), (False, "is worse", "are worse")):
            if better in sides:
                names = [members[row.series].label for row in sides[better]]
                verb = one if len(set(names)) == 1 else more
                than = "" if said else f" {baseline}" if better else f" than {baseline}"
                later = bool(parts or said)
                said.append(f"{_several(names, named[later], bare=later)} {verb}{than}")
        none = "no difference is shown" if place or parts else f"no method is shown to differ from {baseline}"
        parts.append(f"{'tail: ' if place else ''}{', '.join(said) or none}")
    return "; ".join(parts)


def _fitting(drafts: Iterable[str]) -> Iterator[str]:
    """Yield the first of the drafts, the longest first, that is short enough."""
    if (draft := next((d for d in drafts if len(d.split()) <= MOST_WORDS), None)) is not None:
        yield draft


def _word(title: str) -> str:
    """Return a measure's name without its extractor."""
    return title.partition(" (")[0]


def _several(names: Sequence[str], named: int, bare: bool) -> str:
    unique = list(dict.fromkeys(names))
    if len(unique) > named:
        return str(len(unique)) + f" method{'s' * (len(unique) > 1)}" * (not bare)
    return ", ".join(unique[:-1]) + (" and " if len(unique) > 1 else "") + unique[-1]


def _short(cell: CellResults) -> str:
    return ", ".join(cell.label.split(", ")[:2]).replace(", ratio", "")


def _best(cell: CellResults) -> Iterator[str]:
    """Say who leads where each method has its own best guidance."""
    measure = cell.frechet("overall")
    rows = best_guidances(cell)
    if measure is None or len(rows) < 2:
        return
    (first, best), (second, next_best) = rows[0], rows[1]
    how = "chosen on other seeds" if all(b.held_out for _, b in rows) else "choice flatters"
    lowest, next_lowest = (number(b.mean, measure.decimals) for b in (best, next_best))
    images = f" ({cell.images(measure, 'n_generated')} images)"  # the league's may be at its floor's
    yield from _fitting(
        f"{_short(cell)}, each at its best guidance: lowest FD{told} {lowest} by {first.label}, "
        f"then {next_lowest} by {second.label} ({best.n} seed{'s' * (best.n > 1)}, {how})."
        for told in (images, "")
    )


def _memorised(cell: CellResults) -> Iterator[str]:
    """Name the method that copies most in the tail, against what is expected of real images."""
    measure = cell.leading("memorisation_rate", "group")
    if measure is None or "tail" not in cell.groups():
        return
    means = cell.means("group", measure, "tail")
    found = {one.label: means[one.key].mean for one in main_protocols(cell)[0] if one.key in means}
    if not found:
        return
    expected = Column("", measure, "group", "tail").companion(cell)
    worst = max(found, key=lambda label: found[label])
    if expected is not None and found[worst] > 2 * expected:
        yield (
            f"{_short(cell)}: {worst} memorises most: {100 * found[worst]:.0f} % of its tail images lie nearer "
            f"to training images than real ones do (expected {_percent(expected)} %)."
        )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.2g}"


def _sureness(leading: Sequence[CellResults]) -> Iterator[str]:
    shown = [one for cell in leading for one in main_protocols(cell)[0]]
    ours = [one for one in shown if one.origin != "external"]  # images from elsewhere state no seeds
    seeds = sorted({len(one.train_seeds) for one in ours or shown})
    if seeds[-1] <= 1:
        yield "One training seed: these are measurements, and no ranking."
    else:
        count = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
        yield f"Intervals rest on {count} training seeds of one data split; they say nothing about other splits."


def _declared(sections: Sections) -> Iterator[str]:
    """Say what the contrast that the study file declared came to, at the main protocols of every data cell."""
    for cell, frame in sections:
        for row in declared_rows(cell, frame):
            title = _word(row.measure.plain)
            yield (
                f"Declared beforehand, {_short(cell)}: {row.label} - {row.baseline_label}, "
                f"{group_title(row.place)} {title} {row.text} ({row.p})."
            )
