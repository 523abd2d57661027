"""Which published numbers nobody has run here, and the commands that would: from the papers' cells to sentences."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pandas as pd

from ltbench import text
from ltbench.analysis.cell_results import CellResults
from ltbench.analysis.names import known_methods_in_tree, method_title
from ltbench.analysis.papers import OURS, Paper, papers_of, published_title
from ltbench.data.registry import SOURCES
from ltbench.metrics.registry import METRICS
from ltbench.study.presets import load_all


def missing_runs(
    found: Sequence[CellResults], published: pd.DataFrame, runs: Path = Path("runs")
) -> list[str]:
    """Say which of the papers' numbers we have no counterpart to, with a command that makes them, if there is one."""
    out = []
    for paper in papers_of(found, published):
        missing = []
        if ours := [m for m in paper.absent if _installed(m)]:
            missing.append(f"{', '.join(map(method_title, ours))}; {_training(paper, ours)}")
        if alone := [m for m in paper.absent if m not in ours]:
            missing.append(f"{', '.join(map(method_title, alone))}; no method of that name is installed")
        metrics = paper.numbers["metric"].unique() if paper.cell is not None else ()
        lacking = [metric for metric in metrics if paper.column(metric) is None]
        missing += [f"{published_title(m).rstrip(' ↓↑')}; {_evaluation(m, runs)}" for m in lacking]
        out += [f"{paper.name('-r')}: {line}" for line in missing]
    return out


def _installed(method: str) -> bool:
    """Tell whether a method can be trained here; the tree's are known without loading them."""
    if method in known_methods_in_tree():
        return True
    if not metadata.entry_points(group="ltbench.methods"):
        return False
    from ltbench.method.registry import known_methods  # imports torch: only with other packages' methods

    return method in known_methods()


def _training(paper: Paper, methods: Sequence[str]) -> str:
    """Say with which command methods are trained on a published data cell."""
    if paper.dataset not in SOURCES:
        return f"no data set called {paper.dataset} is installed"
    preset = f"paper/{paper.name('-r')}"
    known = preset in load_all()
    chosen = ["--preset", preset] if known else ["--dataset", paper.dataset]
    ratio = [] if known or paper.ratio != paper.ratio else ["--imbalance-ratio", f"{paper.ratio:g}"]
    return f"`{text.command('ltbench', 'run', *chosen, '--methods', ','.join(methods), *ratio)}`"


def _evaluation(metric: str, runs: Path) -> str:
    """Say with which command a published metric is measured on runs that are there."""
    for name, extractor in OURS.get(metric, []):
        owner = next((m.name for m in METRICS.all().values() if name in {o.name for o in m.outputs}), None)
        if owner is not None:
            command = ["ltbench", "evaluate", str(runs), "--metrics", owner, "--extractors", extractor]
            return f"`{text.command(*command)}`"
    return "no metric of that name is installed"
