"""A column of numbers: a measure at a place in a role, by series, with its floor and what is best in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ltbench.analysis.cell_results import CellResults, Numbers
from ltbench.analysis.names import ANY, OWN, Measure
from ltbench.analysis.protocols import protocol_of
from ltbench.analysis.series import Block, grouped, stated
from ltbench.stats import best_columns


@dataclass(frozen=True)
class Column:
    """What one column of a grid holds.

    Attributes
    ----------
    title : its header.
    measure : what is measured.
    scope, place : all images, or a class or group of them.
    role : "" for the score, ``at_floor_n`` for its value at the floor's sample size.
    """

    title: str
    measure: Measure
    scope: str = "overall"
    place: str = ""
    role: str = ""

    def means(self, cell: CellResults) -> dict[str, Numbers]:
        """Return its numbers by series."""
        return cell.means(self.scope, self.measure, self.place, self.role)

    def missing(self, cell: CellResults) -> str:
        """Say why it has no numbers, where that is on record."""
        why = cell.reasons.get((self.scope, self.place, self.measure.metric), "")
        return f"{self.title.rstrip(' ↓↑')}: {why}" if why else ""

    def generated(self, cell: CellResults) -> dict[str, float]:
        """Return how many generated images are behind each series' number."""
        return cell.generated(self.scope, self.measure, self.place, self.role)

    def companion(self, cell: CellResults) -> float | None:
        """Return the companion's value, which the measure is read against; None where it has none but a floor."""
        if (companion := self.measure.output.companion) is None:
            return None
        beside = self.measure.any_size._replace(metric=companion[0])
        return float(cell.points_of(self.scope, beside, self.place)["value"].mean())

    def at_another_n(self, cell: CellResults) -> bool:
        """Tell whether its floor is of another number of images than the score."""
        _, _, n = cell.floor(self.scope, self.measure, self.place)
        own = {self.measure.n_generated}
        if OWN in own:
            own = set(cell.points_of(self.scope, self.measure, self.place)["n_generated"])
        return n == n and not own & {n, ANY}

    def best(self, cell: CellResults, blocks: Sequence[Block]) -> set[str]:
        """Return the best series of each block, of one protocol and size, and what cannot be told from it."""
        wide, found = cell.by_seed(self.scope, self.measure, self.place, self.role), set[str]()
        table, at = wide.to_numpy(), {key: i for i, key in enumerate(wide)}
        sizes = self.generated(cell)
        for block in blocks:
            alike = grouped(block, lambda one: (protocol_of(one), stated(sizes.get(one.key, math.nan))))
            for rows in alike.values():
                keys = [one.key for one in rows if one.key in at]
                values = table[:, [at[key] for key in keys]]
                positive = self.measure.better == "lower" and not (values <= 0).any()
                best = best_columns(values, self.measure.better, ratios=positive)
                found |= {key for key, yes in zip(keys, best, strict=True) if yes}
        return found

    def at_floor(self, cell: CellResults) -> Column:
        """Return the column at its floor's size where that is another than its own, else itself."""
        other = replace(self, role="at_floor_n")
        return self if self.measure.output.companion is not None or not other.means(cell) else other
