"""The concept pictures of the site: `python docs/pictures.py` writes docs/img/*.svg.

What can be computed is computed (class counts, the floor); the rest is a drawing. SVGs are the same bits each time.
"""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ltbench.diffusion.guidance import make_omega
from ltbench.diffusion.schedule import alpha_bar
from ltbench.specs import SampleSpec

OUT = Path(__file__).resolve().parent / "img"
INK, BLUE, ORANGE, GREY = "#333333", "#3f51b5", "#e65100", "#9e9e9e"
plt.rcParams |= {
    "svg.hashsalt": "ltbench",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def save(figure: plt.Figure, name: str) -> None:
    """Write a figure without the date, which would change its bits."""
    OUT.mkdir(exist_ok=True)
    figure.savefig(OUT / f"{name}.svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def data_cell() -> None:
    """Class counts of CIFAR-10 at three ratios, by the published rule."""
    from ltbench.data.longtail import class_sizes

    figure, axes = plt.subplots(1, 3, figsize=(7, 2), sharey=True)
    for axis, ratio in zip(axes, (1.0, 0.1, 0.01), strict=True):
        counts = class_sizes((5000,) * 10, ratio, "exponential")
        axis.bar(range(10), counts, color=[BLUE] * 3 + [GREY] * 4 + [ORANGE] * 3)
        axis.set_title(f"ratio {ratio:g}: {counts[0]:,} to {counts[-1]:,}", fontsize=9)
        axis.set_xlabel("class")
    axes[0].set_ylabel("training images")
    figure.text(0.5, -0.12, "head (blue), middle (grey), tail (orange)", ha="center", color=INK)
    save(figure, "data-cell")


def protocol() -> None:
    """The stages and what each adds to the key."""
    boxes = (
        ("data cell", "data set, ratio,\norder, split"),
        ("train", "network, method,\nsteps, seed"),
        ("sample", "sampler, guidance,\nseed"),
        ("score", "metric, extractor,\nreference"),
        ("report", "tables, figures,\nintervals"),
    )
    figure, axis = plt.subplots(figsize=(8, 1.7))
    for i, (name, key) in enumerate(boxes):
        colour = BLUE if 0 < i < 4 else GREY
        axis.add_patch(
            FancyBboxPatch((i * 2, 0), 1.5, 1, boxstyle="round,pad=0.06", fc="white", ec=colour, lw=1.6)
        )
        axis.text(i * 2 + 0.75, 0.74, name, ha="center", va="center", weight="bold", color=INK)
        axis.text(i * 2 + 0.75, 0.3, key, ha="center", va="center", fontsize=7.5, color=INK)
        if i:
            axis.add_patch(
                FancyArrowPatch(
                    (i * 2 - 0.4, 0.5), (i * 2 - 0.08, 0.5), arrowstyle="-|>", mutation_scale=10, color=INK
                )
            )
    axis.text(
        4.75,
        -0.42,
        "each stage is skipped where its result is there; its key holds all that decides it",
        ha="center",
        color=INK,
    )
    axis.set(xlim=(-0.2, 9.7), ylim=(-0.6, 1.2))
    axis.axis("off")
    save(figure, "protocol")


def floor() -> None:
    """Frechet distance between two disjoint sets of real digits, on the shipped extractor, by their size."""
    from ltbench.data import load_dataset
    from ltbench.extractors.registry import get_extractor
    from ltbench.metrics.frechet import frechet_distance
    from ltbench.specs import DataSpec

    images = load_dataset(DataSpec(dataset="digits_lt", imbalance_ratio=1.0), None).reference.images
    features = get_extractor("digits_cnn")(images).features
    sizes, draws = (20, 40, 80, 160, 320, 600), 10
    stream = np.random.default_rng(0)
    values = np.empty((len(sizes), draws))
    for i, size in enumerate(sizes):
        for j in range(draws):
            rows = stream.permutation(len(features))
            values[i, j] = frechet_distance(features[rows[:size]], features[rows[size : 2 * size]])
    figure, axis = plt.subplots(figsize=(4.6, 2.4))
    axis.errorbar(sizes, values.mean(1), values.std(1, ddof=1), color=BLUE, marker="o", ms=4, capsize=2)
    axis.set(xscale="log", yscale="log", xlabel="real images on each side", ylabel="Frechet distance")
    axis.set_title("real against real is not 0", fontsize=9)
    axis.set_xticks(sizes, map(str, sizes))
    axis.minorticks_off()
    save(figure, "floor")


def groups() -> None:
    """Two classes that have changed places: their own distances are large, the pooled one is 0."""
    stream = np.random.default_rng(1)
    a, b = stream.normal((-2, 0), 0.5, (60, 2)), stream.normal((2, 0), 0.5, (60, 2))
    figure, axes = plt.subplots(1, 2, figsize=(7, 2.1), sharex=True, sharey=True)
    for axis, title in zip(
        axes, ("group: mean of each class's distance", "pooled: one distance of all images"), strict=True
    ):
        axis.set_title(title, fontsize=9)
        axis.set(xticks=[], yticks=[], ylim=(-2.4, 2.4))
    axes[0].scatter(*a.T, s=9, color=BLUE, label="real class 8")
    axes[0].scatter(*b.T, s=9, color=ORANGE, label="real class 9")
    for points, colour in ((a, ORANGE), (b, BLUE)):
        axes[0].scatter(
            *(points + np.array((0.25, 0.15))).T, s=14, facecolors="none", edgecolors=colour, lw=0.8
        )
    axes[1].scatter(*np.vstack((a, b)).T, s=9, color=GREY)
    axes[1].scatter(
        *(np.vstack((a, b)) + np.array((0.25, 0.15))).T, s=14, facecolors="none", edgecolors=INK, lw=0.8
    )
    axes[0].text(0, -2.1, "filled: real, open: generated, coloured by class", ha="center", fontsize=8)
    axes[1].text(0, -2.1, "classes changed places: not seen", ha="center", fontsize=8)
    save(figure, "groups")


def series() -> None:
    """Paired differences: seeds move both methods together."""
    stream = np.random.default_rng(3)
    shift = stream.normal(0, 1.0, 5)
    first, second = 6 + shift, 5.2 + shift + stream.normal(0, 0.12, 5)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.2), width_ratios=(2, 1))
    for x, values, name, colour in ((0, first, "method A", GREY), (1, second, "method B", BLUE)):
        left.scatter([x] * 5, values, color=colour, zorder=3)
        left.text(x, 8.6, name, ha="center", color=colour, weight="bold")
    for one, other in zip(first, second, strict=True):
        left.plot((0, 1), (one, other), color=INK, lw=0.7)
    left.set(xlim=(-0.5, 1.5), ylim=(3.4, 9), xticks=[], ylabel="score of each seed")
    difference = second - first
    right.axhline(0, color=GREY, lw=0.8)
    right.scatter(np.zeros(5), difference, color=BLUE)
    right.errorbar(
        0.25, difference.mean(), 2.776 * difference.std(ddof=1) / 5**0.5, fmt="s", color=ORANGE, capsize=3
    )
    right.set(xlim=(-0.4, 0.7), xticks=[], ylabel="B - A, seed by seed")
    right.set_title("mean, 95 %", fontsize=9)
    figure.tight_layout()
    save(figure, "series")


def guidance() -> None:
    """The scale that each rule applies: over the noise level, and over the classes of a long tail."""
    shares = np.array([0.01 ** (k / 9) for k in range(10)])
    shares /= shares.sum()
    sigma = ((1 - alpha_bar()) / alpha_bar()).sqrt().numpy()
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.3), width_ratios=(2, 1), sharey=True)
    for title, colour, settings in (
        ("cfg", GREY, {}),
        ("interval", BLUE, {"rule": "interval", "sigma_low": 0.28, "sigma_high": 2.9}),
        ("schedule: linear", ORANGE, {"rule": "schedule", "schedule": "linear"}),
    ):
        omega = make_omega(SampleSpec(guidance=1.0, **settings))
        label = torch.zeros(1, dtype=torch.long)
        scales = [float(torch.as_tensor(omega(t, label)).mean()) for t in range(1000)]
        left.plot(sigma, scales, color=colour, label=title)
    left.set(
        xscale="log", xlabel="noise-to-signal ratio $\\sigma$ (the image is at the left)", ylabel="scale ω"
    )
    left.legend(frameon=False, fontsize=8, loc="upper right")
    omega = make_omega(SampleSpec(guidance=1.0, rule="per_class", omega_power=-0.5), shares)
    right.bar(range(10), np.asarray(omega(500, torch.arange(10))), color=BLUE)
    right.set(xlabel="class, head to tail", xticks=[])
    right.set_title("per_class, power -0.5", fontsize=9)
    figure.tight_layout()
    save(figure, "guidance")


if __name__ == "__main__":
    for draw in (data_cell, protocol, floor, groups, series, guidance):
        draw()
