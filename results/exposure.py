"""The exposure figure: scores over how often a training image, and one of the rarest class, was shown.

With the natural draw a class k image is seen steps * batch / N times, whatever its class; a draw with class
probability q_k shows it steps * batch * q_k / n_k times. The papers' regime (150,000 steps of 128 on CIFAR10-LT's
12,406 images, 50 of the rarest class) is 1,548 by the natural draw and 38,400 for the rarest class by the balanced one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.ticker import FuncFormatter, StrMethodFormatter
from study import Study

import ltbench as lt
from ltbench.method.registry import create
from ltbench.report.figures.base import method_styles
from ltbench.training.batches import draw_prior

PAPERS = {"natural draw": 1548.0, "balanced draw": 38_400.0}
BATCH = 64  # images a step, in every study here
PANELS: Sequence[tuple[str, str, str]] = (
    ("frechet", "overall", "FD overall ↓"),
    ("frechet", "tail", "FD tail (mean of classes) ↓"),
    ("frechet", "pooled tail", "FD tail (pooled) ↓"),
    ("recall", "tail", "Recall tail ↑"),
    ("memorisation_rate", "tail", "Memorised in the tail ↓"),
    ("authpct", "tail", "AuthPct tail ↑"),
)
BUDGET = {
    "ddpm": "DDPM",
    "class_balanced": "class-balanced draw",
    "sqrt_sampling": "square-root draw",
    "coral": "CORAL",
    "cbdm": "CBDM",
    "t2h": "T2H",
    "ccua": "CCUA",
}


def presentations(method: str, counts: Sequence[int], images: int) -> float:
    """Return how often a training image of the rarest class was shown.

    Parameters
    ----------
    method
        Its draw decides, ``Needs.draw``.
    counts
        (K,) training images of each class.
    images
        steps times batch size.
    """
    n = torch.tensor(counts, dtype=torch.float64)
    rarest = int(n.argmin())
    q = draw_prior(n / n.sum(), create(method, {}).needs.draw)
    return images * float(q[rarest]) / float(n[rarest])


def shown(study: Study, method: str, step: int, **filters: object) -> str:
    """Return in words how often a training image of the rarest class was shown after `step` steps."""
    return f"{presentations(method, study.counts(**filters), step * BATCH):,.0f}"


def exposure(
    study: Study, methods: Mapping[str, str], counts: Sequence[int], batch: int, guidance: float
) -> pd.DataFrame:
    """Return one row a method, step and panel: showings of the rarest images, and the mean, lowest and highest seed.

    Raises
    ------
    LookupError
        A training lacks a panel's score.
    """
    rows = []
    for method, title in methods.items():
        for step in study.steps(method):
            seen = presentations(method.partition(":")[0], counts, step * batch)
            for metric, where, panel in PANELS:
                values = study.values(method, where, metric=metric, step=step, guidance=guidance)
                rows.append(
                    (
                        title,
                        method,
                        step,
                        seen,
                        panel,
                        values.mean(),
                        values.min(),
                        values.max(),
                        len(values),
                    )
                )
    columns = ["title", "method", "step", "rarest", "panel", "mean", "low", "high", "n"]
    return pd.DataFrame(rows, columns=columns)


def _few(value: float, _: int) -> str:
    """Label 2, 3 and 5 of a decade in plain digits."""
    text = f"{value:g}"
    return text if text.lstrip("0.")[:1] in ("2", "3", "5") else ""


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the panels over how often an image of the rarest class was shown, the papers' regime marked."""
    styles = method_styles(table["method"].unique())
    with plt.style.context(Path(lt.__file__).parent / "report" / "ltbench.mplstyle"):
        figure, panels = plt.subplots(
            2, len(PANELS) // 2, figsize=(8, 4.6), sharex=True, layout="constrained"
        )
        for axes, (_, _, panel) in zip(panels.flat, PANELS, strict=True):
            rows = table[table["panel"] == panel]
            for method, line in rows.groupby("method", sort=False):
                style = styles[method]
                axes.plot(
                    line["rarest"],
                    line["mean"],
                    marker=style.marker,
                    color=style.colour,
                    label=line["title"].iloc[0],
                )
                axes.fill_between(
                    line["rarest"], line["low"], line["high"], color=style.colour, alpha=0.15, lw=0
                )
            for value in PAPERS.values():
                axes.axvline(value, color="black", lw=0.7, ls=(0, (2, 2)))
            axes.set(xscale="log", title=panel)
            if panel.startswith("FD"):
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
                axes.yaxis.set_minor_formatter(FuncFormatter(_few))
        figure.supxlabel("times an image of the rarest class was shown", fontsize=7.5)
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        figure.savefig(path)
        plt.close(figure)


def draw_exposure(study: Study, path: Path) -> None:
    """Draw scores over how often an image of the rarest class was shown."""
    titles = {m: t for m, t in BUDGET.items() if m.partition(":")[0] in set(study.scores["method"])}
    draw(exposure(study, titles, study.counts(), BATCH, guidance=0.0), path)
