"""Which series may stand side by side: from a data cell's series to blocks of one protocol, the main one first.

A *protocol* is training length, sampler, network evaluations, guidance and its rule, model and training. A *block* is
a list of series of one protocol, and a ranking is only ever made within one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.series import Block, Series, by_key, grouped, joined, labelled, stated

MOST_METHODS = 14  # side by side: a method is left out only beyond
_MOST_GUIDANCES = 3  # in tables and figures of methods side by side

Protocol = tuple[Any, ...]


def protocol_of(one: Series) -> Protocol:
    """Return what must be alike for series to stand side by side: the rest, then the scale of guidance and its rule.

    ``passes`` is NFE without guidance's second pass.
    """
    return (stated(one.step, one.passes), one.sampler, one.common), (stated(one.guidance), one.rule)


def main_protocol(series: Sequence[Series]) -> Protocol:
    """Return the protocol that most methods share, then the one with the most trainings, the longest training, the
    least guidance, the most network evaluations; of two kinds of sampler the stochastic, which is the papers'."""
    groups = grouped(series, protocol_of)

    def order(protocol: Protocol) -> tuple[Any, ...]:
        rows, one = groups[protocol], groups[protocol][0]
        numbers = stated(-one.step, one.guidance, -one.passes)
        names = one.kind != "stochastic", one.sampler, one.rule, one.common
        return -len({row.method for row in rows}), -_trainings(rows), numbers, names

    return min(groups, key=order)


def _trainings(block: Block) -> int:
    return sum(len(one.train_seeds) for one in block)


def one_a_method(series: Sequence[Series], limit: int) -> list[Series]:
    """Keep one series a method and variant, the one that sets the fewest hyper-parameters.

    They are named anew, by what tells them from those that are left out too.
    """
    order = sorted(range(len(series)), key=lambda i: len(series[i].hyperparameters))
    named = [i for i in order if "custom" not in series[i].variant]
    kept = {series[i].pair: i for i in reversed(named)}
    have = {series[i].method for i in named}
    kept |= {(series[i].method,): i for i in reversed(order) if series[i].method not in have}  # type: ignore[misc]
    anew = labelled(series)
    return [anew[i] for i in sorted(kept.values())[:limit]]


def block_title(block: Block) -> str:
    """Name a block by its guidance, its rule, and the kind of sampler that its scale is for."""
    scales = sorted({one.guidance for one in block if one.guidance == one.guidance})
    scale = (
        f"ω = {scales[0]:g}"
        if len(scales) == 1
        else "guidance as labelled"
        if scales
        else "no guidance stated"
    )
    kinds = " or ".join(sorted({one.kind for one in block} - {"unknown"})) or "sampler not known"
    rule = block[0].rule
    return f"{scale}{f', {rule}' if rule else ''}, {kinds}"


# -- of a data cell ---------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=256)
def main_series(cell: CellResults, limit: int = MOST_METHODS) -> list[Series]:
    """Choose the series a figure of methods side by side shows: one a method and variant, at the main protocol.

    A method that lacks that protocol is shown at its longest training instead; its label then says what differs. Of
    several hyper-parameters the fewest set are shown, the others in the curves.
    """
    main = main_protocol(cell.series)
    at_main = {one.method for one in cell.series if protocol_of(one) == main}
    longest = {one.method: one for one in sorted(cell.series, key=lambda one: stated(one.step))}
    only = {one for method, one in longest.items() if method not in at_main}
    chosen = [one for one in cell.series if protocol_of(one) == main or one in only]
    return one_a_method(chosen, limit)


@functools.lru_cache(maxsize=256)
def main_protocols(cell: CellResults, every: bool = False) -> list[list[Series]]:
    """Return `main_series`, then the same at other guidances that at least two methods share, rising.

    A ranking of methods can turn round with guidance, so no statement is made at one guidance alone; the sampler
    is the same in all, since a scale means another thing under another kind of sampler. Of many guidances (a
    curve) at most three are shown, unless `every` one is asked for: those scored by as many measures as the main
    one, with the most trainings, nearest to 1. Other rules of guidance follow in the same way.
    """
    first, main = main_series(cell), main_protocol(cell.series)
    others = [one for one in cell.series if (at := protocol_of(one)) != main and at[0] == main[0]]
    enough = min(2, len({one.method for one in first}))
    groups = [
        rows for rows in grouped(others, protocol_of).values() if len({one.method for one in rows}) >= enough
    ]
    blocks = sorted(groups, key=lambda rows: (rows[0].rule, stated(rows[0].guidance)))
    if not every:
        measured = [max(cell.measured[one.key] for one in rows) for rows in (first, *blocks)]

        def order(i: int) -> tuple[int, int, float]:
            return -measured[i + 1], -_trainings(blocks[i]), abs(blocks[i][0].guidance - 1)

        best = sorted(range(len(blocks)), key=order)
        full = [i for i in best if measured[i + 1] >= measured[0]] or best[:1]
        blocks = [blocks[i] for i in sorted(full[: _MOST_GUIDANCES - 1])]
    later = by_key(joined(blocks))  # where a method that lacks the main protocol stands among its like
    first = [one for one in first if one.key not in later]
    return [first, *(one_a_method(rows, MOST_METHODS) for rows in blocks)]


def fewer_methods(cell: CellResults) -> str:
    """Say how many methods, and other hyper-parameters of those shown, are not among `main_series`; blank: none."""
    every, shown, main = (
        len(main_series(cell, len(cell.series))),
        main_series(cell),
        main_protocol(cell.series),
    )
    fewer = every - len(shown)
    pairs = {one.pair for one in shown}
    tried = [one for one in cell.series if protocol_of(one) == main and one.pair in pairs]
    others = len(tried) - sum(protocol_of(one) == main for one in shown)
    parts = [
        f"{fewer} of {every} methods and variants are left out" if fewer else "",
        f"{others} more setting{'s' * (others > 1)} of these methods' own {'are' if others > 1 else 'is'} left out"
        if others
        else "",
    ]
    said = ", ".join(filter(None, parts))
    return f"{said}: see every setting." if said else ""


def at_main_protocol(cell: CellResults) -> list[Series]:
    """Return those of `main_series` that are at the main protocol: what may be ranked."""
    main = main_protocol(cell.series)
    return [one for one in main_series(cell) if protocol_of(one) == main]


def shown_blocks(cell: CellResults, series: Sequence[Series]) -> list[list[Series]]:
    """Split series into those of one protocol and origin, in print order."""

    def key(one: Series) -> tuple[Any, ...]:
        return *protocol_of(one), one.origin

    main = by_key(main_protocols(cell)[0])
    blocks = grouped(series, key).values()

    def order(block: Block) -> tuple[Any, ...]:
        one, shared = block[0], any(one.key in main for one in block)
        return not shared, stated(one.step), one.sampler, stated(one.passes, one.guidance)

    return sorted(blocks, key=order)


def long_tails(found: Iterable[CellResults]) -> list[CellResults]:
    """Return the cells that lead a report: the published split of each long tail, or all where there is none."""
    found = list(found)
    return [c for c in found if c.published and c.imbalance_ratio != 1] or found
