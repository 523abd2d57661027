"""The report before it is written: one tree of sections, texts, tables and figures, from results to what is told.

`build` makes the tree; `render` and `html` write it. What the first page holds and what is folded away is decided
here once, for every format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from ltbench.report.cell_results import CellResults
from ltbench.report.checklist import checklist_table
from ltbench.report.figures import bottleneck, compare, curves, pictures  # noqa: F401 - they register their figures
from ltbench.report.figures.base import KINDS, Scene, figures_of, method_styles
from ltbench.report.figures.model import Figure
from ltbench.report.findings import best_guidance_table, findings
from ltbench.report.names import known_methods_in_tree
from ltbench.report.protocols import long_tails, main_series
from ltbench.report.tables.contrasts import contrast_table, glance_table
from ltbench.report.tables.controls import controls_tables
from ltbench.report.tables.cost import cost_table, entanglement_table, stored_probes
from ltbench.report.tables.grid import Table
from ltbench.report.tables.scores import (
    groups_table,
    league_table,
    overall_table,
    per_class_tables,
    pooled_table,
    settings_table,
    tail_table,
)
from ltbench.report.tables.spread import rank_table, spread_table
from ltbench.runs.results import Results

# What no number of seeds on one split can say.
LIMITS = (
    "Seeds vary initialisation, order and noise on one split and class order: they can say how far another training of "
    "the same data would move a number, not whether a class is bad because it is rare or because it is hard, nor what "
    "other images of the class would have given. Other class orders and splits, where they were run, have tables of "
    "their own."
)


@dataclass(frozen=True)
class Text:
    """A paragraph; `items` make it a list; `small` prints it small."""

    text: str = ""
    items: Sequence[str] = ()
    small: bool = False


@dataclass(frozen=True)
class Plot:
    """A figure, drawn beside the report where `first`, else on the page and on request."""

    figure: Figure
    first: bool = False


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it.

    Attributes
    ----------
    title : the heading.
    nodes : sections, texts, tables and plots, in order.
    anchor : name for links.
    folded : details: closed on the page, and in details.md instead of report.md.
    cell : the data cell that it is about, for the filters.
    """

    title: str
    nodes: Sequence[object]
    anchor: str = ""
    folded: bool = False
    cell: CellResults | None = None

    def walk(self) -> Iterator[object]:
        """Yield every node below, depth first."""
        for node in self.nodes:
            yield node
            if isinstance(node, Section):
                yield from node.walk()


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes
    ----------
    title : the study's.
    results : what it is made of.
    top : the tree.
    league : the tables that the terminal prints.
    scenes : the data cells with all that belongs to them.
    """

    title: str
    results: Results
    top: Section
    league: list[Table]
    scenes: list[Scene] = field(default_factory=list)

    def tables(self) -> list[Table]:
        """Return every table, in print order, each once."""
        return list({node.name: node for node in self.top.walk() if isinstance(node, Table)}.values())

    def figures(self, first: bool = False) -> list[Figure]:
        """Return every figure, or those of the first page."""
        plots = [node for node in self.top.walk() if isinstance(node, Plot)]
        return list({p.figure.name: p.figure for p in plots if p.first or not first}.values())


def make_scenes(
    found: Sequence[CellResults],
    results: Results,
    frames: Mapping[str, pd.DataFrame],
    baseline: str,
) -> list[Scene]:
    """Gather what each data cell's figures are made of."""
    styles = method_styles(set(results.scores["method"].unique()), known_methods_in_tree())
    return [
        Scene(
            cell,
            found,
            results.runs,
            styles,
            stored_probes(main_series(cell), results.runs),
            frames[cell.label],
            baseline,
        )
        for cell in found
    ]


def build(
    scenes: Sequence[Scene],
    results: Results,
    title: str,
    *,
    papers: Sequence[Table] = (),
    missing: Sequence[str] = (),
) -> Document:
    """Arrange tables and figures into the report: first who is ahead, then each data cell, then details."""
    found = [scene.cell for scene in scenes]
    sections = [(scene.cell, scene.differences) for scene in scenes]
    baseline = scenes[0].baseline
    leading = long_tails(found)
    leagues = [t for c in leading if (t := league_table(c, results.runs, baseline)) is not None]
    overview: list[object] = [*(Text(note, small=True) for note in results.notes)]
    if (forest := compare.overall_forest(list(scenes))) is not None:
        overview.append(Plot(forest, True))
    overview += [*leagues[:1], Text(items=findings(sections, baseline)), Text(LIMITS, small=True)]
    checklist = checklist_table(scenes)
    nodes: list[object] = [Section("Overview", overview, "overview")]
    drawn = {scene.cell.label: figures_of(scene) for scene in scenes}
    nodes += [_cell_section(scene, drawn[scene.cell.label], leading, leagues) for scene in scenes]
    if controls := controls_tables(found):
        nodes.append(
            Section("Rare or hard: other class orders, splits and balanced data", controls, "controls", True)
        )
    if papers or missing:
        told = [Text("Missing:", list(missing), True)] if missing else []
        nodes.append(Section("The papers' tables", [*papers, *told], "papers", len(papers) > 2))
    glance = glance_table(sections, baseline)
    rest: list[object] = [*([glance] if glance else []), checklist]
    nodes.append(Section("All data cells, and the checklist", rest, "all-cells", True))
    if gaps := _gaps(drawn):
        nodes.append(Section("Not drawn", [Text(items=gaps)], "not-drawn", True))
    return Document(title, results, Section(title, nodes), leagues, list(scenes))


def _cell_section(
    scene: Scene, drawn: Mapping[str, list[Figure]], leading: Sequence[CellResults], leagues: Sequence[Table]
) -> Section:
    """Arrange one data cell: its own league and forest, classes, samples, curves, bottleneck, cost; details folded."""
    cell, runs = scene.cell, scene.runs
    lead = cell in leading

    def plots(*names: str, first: int = 0) -> list[Plot]:
        every = [f for name in names for f in drawn.get(name, [])]
        return [Plot(f, lead and i < first) for i, f in enumerate(every)]

    def some(*tables: Table | None) -> list[Table]:
        return [table for table in tables if table is not None]

    own = [t for t in leagues[1:] if t.name == f"league-{cell.slug}"]
    per_class = per_class_tables(cell)
    nodes: list[object] = [
        *plots("forest"),
        *(own or some(None if lead else overall_table(cell))),
        *plots("heat", first=1),
        *plots("class"),
        *plots("samples", first=1),
        *plots("guidance", first=2),  # one a kind of sampler
        *plots("budget", "nfe", "hyper", "counts", "tsne", "entanglement", "noise", "cost"),
    ]
    details: Sequence[object] = some(
        overall_table(cell) if lead else None,
        groups_table(cell),
        pooled_table(cell),
        tail_table(cell),
        contrast_table(cell, scene.differences),
        best_guidance_table(cell),
        entanglement_table(cell, scene.probes),
        cost_table(cell, runs),
        spread_table(cell),
        rank_table(cell),
    )
    anchor = f"cell-{cell.slug}"
    nodes.append(Section(f"Tables of {cell.label}", details, f"{anchor}-tables", True, cell))
    if per_class:
        nodes.append(Section(f"Per class, {cell.label}", per_class, f"{anchor}-classes", True, cell))
    if (settings := settings_table(cell)) is not None:
        nodes.append(Section(f"Every setting, {cell.label}", [settings], f"{anchor}-settings", True, cell))
    more: Sequence[Plot] = plots("confusion", "nearest", "training")
    if more:
        nodes.append(
            Section(f"Confusion, nearest images, training, {cell.label}", more, f"{anchor}-more", True, cell)
        )
    return Section(cell.label, nodes, anchor, cell=cell)


def _gaps(drawn: Mapping[str, Mapping[str, list[Figure]]]) -> list[str]:
    """Say which of the usual figures could not be drawn, where, and what each needs."""
    out = []
    for name, kind in KINDS.items():
        lacking = [label for label, names in drawn.items() if name not in names]
        if lacking:
            where = "nowhere" if len(lacking) == len(drawn) else f"not for {'; '.join(lacking)}"
            out.append(f"{kind.shows}: {where}; needs {kind.needs}.")
    return out
