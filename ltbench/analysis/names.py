"""What measures, methods, classes and groups are called in print, from names in ``scores.csv`` to words."""

from __future__ import annotations

import functools
import importlib
import math
import pkgutil
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Literal, NamedTuple

from ltbench.data.registry import SOURCES
from ltbench.metrics.base import Output
from ltbench.metrics.registry import find_output

MISSING = "—"
NOT_FINITE = "not finite"
ANY = math.inf  # a sample size: whichever it is
OWN = -math.inf  # a sample size: each class has another
SHOT_GROUPS = ("head", "middle", "tail")
GROUP_ORDER = (*SHOT_GROUPS, "macro", "worst")
_GROUP_TITLES = {"": "overall", "macro": "macro mean", "worst": "worst class"}
# Suffixes of rows that belong to another row: floors, the score at the floor's n, bootstrap intervals.
SUFFIXES = ("floor", "floor_sd", "at_floor_n", "ci_low", "ci_high")
_ARROWS = {"lower": " ↓", "higher": " ↑", None: ""}
_ROOMS = ("ltbench.baselines", "ltbench.methods")  # baselines lead


# -- metrics ------------------------------------------------------------------------------------------------


def split_metric(name: str) -> tuple[str, str]:
    """Split ``frechet.floor`` into metric and role; the role of a plain score is ``""``."""
    base, dot, role = name.rpartition(".")
    return (base, role) if dot and role in SUFFIXES else (name, "")


@functools.cache
def output_of(metric: str) -> Output:
    """Return how a metric's number is shown; one that no metric here returns has no better direction."""
    return find_output(metric) or Output(metric, None)


def metric_title(metric: str, extractor: str, arrow: bool = True) -> str:
    """Name a metric for print: "FID" is Inception's Frechet distance alone, any other is "FD (extractor)"."""
    output = output_of(metric)
    title, ours = output.title, output.inception_title
    if ours is not None and extractor:
        special = {"inception": ours, "inception_clean": f"{ours} (clean)"}
        title = special.get(extractor, f"{title} ({extractor})")
    return title + (arrow_of(metric) if arrow else "")


def arrow_of(metric: str) -> str:
    """Return the sign of a metric's better direction, with a space before it."""
    return _ARROWS[output_of(metric).better]


Show = Callable[..., str]
"""Prints one attribute."""


class Measure(NamedTuple):
    """What a number measures: metric, its definition, extractor and reference, and the sample sizes behind it.

    A size is nan where none is stated, `OWN` where a series' classes differ in it, and `ANY` where numbers of any size
    are asked for.
    """

    metric: str
    definition: str
    extractor: str
    extractor_hash: str
    reference: str
    reference_hash: str
    n_reference: float
    n_generated: float

    @property
    def any_size(self) -> Measure:
        """The same at any sample sizes: a group's are its classes', so that another scope's measure says nothing of them."""
        return self._replace(n_reference=ANY, n_generated=ANY)

    @property
    def output(self) -> Output:
        """How its numbers are shown."""
        return output_of(self.metric)

    @property
    def decimals(self) -> int:
        """Digits after the point."""
        return self.output.decimals

    @property
    def better(self) -> Literal["higher", "lower"] | None:
        """Its better direction, if any."""
        return self.output.better

    @property
    def title(self) -> str:
        """Its name in print, with the arrow of its better direction."""
        return metric_title(self.metric, self.extractor)

    @property
    def plain(self) -> str:
        """Its name in print, without the arrow."""
        return metric_title(self.metric, self.extractor, arrow=False)


def metric_rank(metric: str) -> tuple[int, str]:
    """Sort key of a metric: the order in which papers print them, unknown ones last."""
    return output_of(metric).rank, metric


def distinguish(
    titles: list[str],
    things: Sequence[object],
    attributes: Iterable[tuple[str, Show]],
    join: Callable[[str, str], str],
) -> list[str]:
    """Tell equal titles apart by the first attributes of their things that differ."""
    for name, show in attributes:
        for title in {t for t in titles if titles.count(t) > 1}:
            at = [i for i, t in enumerate(titles) if t == title]
            values = [getattr(things[i], name) for i in at]
            if len(set(map(str, values))) > 1:
                for i, value in zip(at, values, strict=True):
                    titles[i] = join(title, show(value)) if value == value and value != "" else title
    return titles


# How a measure's title tells each attribute.
_MEASURES: tuple[tuple[str, Show], ...] = (
    ("extractor", str),
    ("definition", str),
    ("n_generated", lambda n: "n as the class has" if n == OWN else f"n={n:,.0f}"),
    ("reference", str),
    ("n_reference", lambda n: "as many real as the class has" if n == OWN else f"{n:,.0f} real"),
    ("extractor_hash", "extractor {:.8}".format),
    ("reference_hash", "reference {:.8}".format),
)


def measure_titles(measures: Sequence[Measure]) -> list[str]:
    """Name measures; where two would print alike, what differs tells them apart."""

    def join(title: str, value: str) -> str:
        name, arrow = split_arrow(title)
        return f"{name} ({value}){arrow}"

    return distinguish([m.title for m in measures], measures, _MEASURES, join)


def split_arrow(title: str) -> tuple[str, str]:
    """Split a measure's title into its name and the arrow of its better direction."""
    return (title[:-2], title[-2:]) if title[-1] in "↓↑" else (title, "")


# -- methods, classes, groups -------------------------------------------------------------------------------


def method_title(method: str) -> str:
    """Print our short names as acronyms (CORAL+T2H), our longer ones as words, others as their authors wrote them."""
    ours = _in_tree_methods()
    return "+".join(
        (part.upper() if len(part) <= 5 else part.replace("_", " ")) if part in ours else part
        for part in method.split("+")
    )


def pair_title(pair: tuple[str, str], compared: Collection[tuple[str, str]]) -> str:
    """Name a method, and its variant where several of it are compared."""
    method, variant = pair
    alone = sum(other == method for other, _ in compared) == 1
    return method_title(method) if alone else f"{method_title(method)} ({variant})"


@functools.cache
def _in_tree_methods() -> dict[str, int]:
    """Return the names of the files in baselines/ and methods/, which are the methods' names, with their room's rank."""
    places = [importlib.import_module(room).__path__ for room in _ROOMS]
    return {module.name: i for i, place in enumerate(places) for module in pkgutil.iter_modules(place)}


def known_methods_in_tree() -> list[str]:
    """Return the names of the tree's methods, baselines first."""
    return sorted(_in_tree_methods(), key=method_rank)


def method_rank(method: str) -> tuple[bool, int, bool, str]:
    """Sort key: plain denoising, then single methods (baselines, methods under study, others), then compositions."""
    parts = method.split("+")
    room = [_in_tree_methods().get(part, len(_ROOMS)) for part in parts]
    return method != "ddpm", len(parts), max(room) > 0, method


@functools.cache
def class_title(dataset: str, label: str) -> str:
    """Name a class as its data set does; an unknown data set's classes keep their number."""
    names = SOURCES[dataset].class_names if dataset in SOURCES else ()
    return names[int(label)] if label.isdecimal() and int(label) < len(names) else label


def group_title(group: str) -> str:
    """Name a group of classes or an average over classes; the empty name is all images together."""
    return _GROUP_TITLES.get(group, group)


# -- numbers ------------------------------------------------------------------------------------------------


def number(value: float, decimals: int) -> str:
    """Print a number, or a dash where there is none; an infinite one is said to be that."""
    if value is None or math.isnan(value):
        return MISSING
    return f"{value:.{decimals}f}" if math.isfinite(value) else NOT_FINITE


def guidance_text(value: float) -> str:
    """Print a guidance scale without trailing zeros, or a dash where there is none."""
    return number(value, 2).rstrip("0").rstrip(".")


def mean_sd(mean: float, sd: float, decimals: int) -> str:
    """Print ``mean ± sd``, without the spread where one seed shows none."""
    text = number(mean, decimals)
    return text if not math.isfinite(mean) or not math.isfinite(sd) else f"{text} ± {sd:.{decimals}f}"


def integer(value: float) -> str:
    """Print a count, or a dash."""
    return MISSING if not math.isfinite(value) else f"{int(value):,}"


def range_text(counts: Iterable[float]) -> str:
    """Print counts: one where all are alike, else from the fewest to the most; a dash where there are none."""
    texts = [integer(count) for count in sorted(set(counts))]
    return " to ".join(dict.fromkeys((texts[0], texts[-1]))) if texts else MISSING


def evaluations_text(value: float) -> str:
    """Print network evaluations an image: a count, or a mean to two places where a rule spares some images a pass."""
    return integer(value) if not math.isfinite(value) or value == int(value) else f"{value:,.2f}"


def seeds_text(seeds: tuple[int, ...]) -> str:
    """Print training seeds: how many and which (``0-2 (n=3)``)."""
    if not seeds:
        return MISSING
    dense = seeds == tuple(range(seeds[0], seeds[-1] + 1)) and len(seeds) > 2
    return (f"{seeds[0]}-{seeds[-1]}" if dense else ",".join(map(str, seeds))) + f" (n={len(seeds)})"
