"""The report before it is written: one tree of sections, texts, tables and figures, from results to what is told.

`build` makes the tree; `render` and `html` write it. What the first page holds and what is folded away is decided
here once, for every format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.differences import differences
from ltbench.analysis.names import known_methods_in_tree
from ltbench.analysis.protocols import long_tails, main_series
from ltbench.analysis.records import stored_probes
from ltbench.report.checklist import checklist_table
from ltbench.report.figures import bottleneck, classes, curves, forest, pictures  # noqa: F401 - they register theirs
from ltbench.report.figures.base import KINDS, ORDER, Scene, figures_of, method_styles
from ltbench.report.figures.model import Figure
from ltbench.report.findings import findings
from ltbench.report.tables import contrasts, scores
from ltbench.report.tables.controls import controls_tables
from ltbench.report.tables.cost import cost_table, entanglement_table
from ltbench.report.tables.grid import Table
from ltbench.runs.results import Results

if TYPE_CHECKING:
    from ltbench.study.contrast import Contrast

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
    nodes : sections, texts, tables and plots, in order; what could not be made is None and left out.
    anchor : name for links.
    folded : details: closed on the page, and in details.md instead of report.md.
    cell : the data cell that it is about, for the filters.
    """

    title: str
    nodes: Sequence[object]
    anchor: str = ""
    folded: bool = False
    cell: CellResults | None = None

    def __post_init__(self) -> None:
        kept = [n for n in self.nodes if n is not None and not (isinstance(n, Section) and not n.nodes)]
        object.__setattr__(self, "nodes", kept)

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
    results : what it is made of.
    scenes : the data cells with all that belongs to them.
    top : the tree.
    league : the tables that lead.
    findings : the sentences that lead.
    """

    results: Results
    scenes: Sequence[Scene]
    top: Section
    league: Sequence[Table]
    findings: Sequence[str]

    def tables(self) -> list[Table]:
        """Return every table, in print order, each once."""
        return list({node.name: node for node in self.top.walk() if isinstance(node, Table)}.values())

    def figures(self, first: bool = False) -> list[Figure]:
        """Return every figure, or those of the first page."""
        plots = [node for node in self.top.walk() if isinstance(node, Plot)]
        return list({p.figure.name: p.figure for p in plots if p.first or not first}.values())


def make_scenes(
    found: Sequence[CellResults], results: Results, baseline: str, contrast: Contrast | None = None
) -> list[Scene]:
    """Gather what each data cell's tables and figures are made of."""
    runs, scenes = results.runs, []
    styles = method_styles(set(results.scores["method"].unique()), known_methods_in_tree())
    for cell in found:
        probes, frame = stored_probes(main_series(cell), runs), differences(cell, baseline, contrast)
        scenes.append(Scene(cell, found, runs, styles, probes, frame, baseline))
    return scenes


def build(
    scenes: Sequence[Scene],
    results: Results,
    title: str,
    *,
    papers: Sequence[Table] = (),
    missing: Sequence[str] = (),
) -> Document:
    """Arrange tables and figures into the report: first who is ahead, then each data cell, then details."""
    found, baseline = [scene.cell for scene in scenes], scenes[0].baseline
    sections = [(scene.cell, scene.differences) for scene in scenes]
    leading = long_tails(found)
    leagues = [t for c in leading if (t := scores.league_table(c, results.runs, baseline)) is not None]
    sentences = findings(sections, baseline)
    first = forest.overall_forest(scenes)
    overview = [
        *(Text(note, small=True) for note in results.notes),
        None if first is None else Plot(first, True),
        *leagues[:1],
        Text(items=sentences),
        Text(LIMITS, small=True),
    ]
    drawn = {scene.cell.label: figures_of(scene) for scene in scenes}
    lacking, gaps = Text("Missing:", missing, True) if missing else None, _gaps(drawn)
    summary = [contrasts.glance_table(sections, baseline), checklist_table(scenes)]
    cells = [
        _cell_section(scene, drawn[scene.cell.label], scene.cell in leading, leagues[1:]) for scene in scenes
    ]
    controls = "Rare or hard: other class orders, splits and balanced data"
    nodes = [
        Section("Overview", overview, "overview"),
        *cells,
        Section(controls, controls_tables(found), "controls", True),
        Section("The papers' tables", [*papers, lacking], "papers", len(papers) > 2),
        Section("All data cells, and the checklist", summary, "all-cells", True),
        Section("Not drawn", [Text(items=gaps)] if gaps else [], "not-drawn", True),
    ]
    return Document(results, scenes, Section(title, nodes), leagues, sentences)


def _cell_section(
    scene: Scene, drawn: Mapping[str, list[Figure]], lead: bool, leagues: Sequence[Table]
) -> Section:
    """Arrange one data cell: its own league and forest, classes, samples, curves, bottleneck, cost; details folded."""
    cell = scene.cell

    def plots(*names: str, first: int = 0) -> list[Plot]:
        every = [f for name in names for f in drawn.get(name, [])]
        return [Plot(f, lead and i < first) for i, f in enumerate(every)]

    def folded(title: str, name: str, nodes: Sequence[object]) -> Section:
        return Section(f"{title}{cell.label}", nodes, f"cell-{cell.slug}-{name}", True, cell)

    overall = scores.overall_table(cell)
    own: list[Table | None] = [t for t in leagues if t.name == f"league-{cell.slug}"]
    tables = [
        overall if lead else None,
        scores.groups_table(cell),
        scores.pooled_table(cell),
        scores.tail_table(cell),
        contrasts.contrast_table(cell, scene.differences),
        contrasts.best_guidance_table(cell),
        entanglement_table(cell, scene.probes),
        cost_table(cell, scene.runs),
        contrasts.spread_table(cell),
        contrasts.rank_table(cell),
    ]
    nodes: list[object] = [
        *plots("forest"),
        *(own or [None if lead else overall]),
        *plots("heat", first=1),
        *plots("class"),
        *plots("samples", first=1),
        *plots("guidance", first=2),  # one a kind of sampler
        *plots("budget", "nfe", "hyper", "counts", "tsne", "entanglement", "noise", "cost"),
        folded("Tables of ", "tables", tables),
        folded("Per class, ", "classes", scores.per_class_tables(cell)),
        folded("Every setting, ", "settings", [scores.settings_table(cell)]),
        folded("Confusion, nearest images, training, ", "more", plots("confusion", "nearest", "training")),
    ]
    return Section(cell.label, nodes, f"cell-{cell.slug}", cell=cell)


def _gaps(drawn: Mapping[str, Mapping[str, list[Figure]]]) -> list[str]:
    """Say which of the usual figures could not be drawn, where, and what each needs."""
    out = []
    for name in ORDER:
        kind = KINDS[name]
        lacking = [label for label, names in drawn.items() if name not in names]
        if lacking:
            where = "nowhere" if len(lacking) == len(drawn) else f"not for {'; '.join(lacking)}"
            out.append(f"{kind.shows}: {where}; needs {kind.needs}.")
    return out
