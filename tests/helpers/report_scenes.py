"""From runs on disk to the scenes and figures that a report makes of them."""

from ltbench.analysis.cells import cells
from ltbench.report.document import make_scenes
from ltbench.report.figures.base import figures_of
from ltbench.runs.results import load_results


def scenes_of(root, baseline="ddpm"):
    results = load_results(root)
    found = cells(results.scores)
    return make_scenes(found, results, baseline)


def drawn_of(root, kind):
    return [f for scene in scenes_of(root) for f in figures_of(scene, [kind]).get(kind, [])]
