"""A series, one setting over its seeds, and what it is called beside its neighbours."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ltbench.analysis.names import distinguish, guidance_text, method_title
from ltbench.diffusion.registry import kind
from ltbench.runs.series import RULE_KEYS, is_hyperparameter, rule_of


@dataclass(frozen=True, eq=False)
class Series:
    """One setting over its seeds: everything equal but the two kinds of seed.

    Attributes
    ----------
    key : 8 hex digits.
    method, variant, step, sampler, nfe, guidance, origin : as the scores state them.
    settings : all other settings, JSON.
    train_seeds, sample_seeds, runs : what it is made of.
    label : the method and everything needed to tell it from its neighbours of the same method; see `labelled`.
    differs : settings that are not alike among its neighbours, in words.
    """

    key: str
    method: str
    variant: str
    step: float
    sampler: str
    nfe: float
    guidance: float
    origin: str
    settings: str
    train_seeds: tuple[int, ...] = ()
    sample_seeds: tuple[int, ...] = ()
    runs: tuple[str, ...] = ()
    label: str = ""
    differs: str = ""

    @property
    def flat(self) -> dict[str, Any]:
        """Its settings by name."""
        found: dict[str, Any] = _flat(self.settings)
        return found

    @property
    def passes(self) -> float:
        """Network evaluations an image without those of guidance, which needs a second one each.

        A rule that spares some is put beside plain guidance of as many evaluations in all, so half of its own.
        """
        guided = self.rule != "" or (self.guidance == self.guidance and self.guidance != 0)
        return self.nfe / 2 if guided else self.nfe

    @property
    def kind(self) -> str:
        """Of its sampler: a scale of guidance means one thing under a deterministic, another under a stochastic one."""
        return kind(self.sampler)

    @property
    def rule(self) -> str:
        """Its rule of guidance in words; blank where none but the plain scale is stated."""
        return rule_of(self.settings)

    @property
    def scale_text(self) -> str:
        """Its scale of guidance in print, with the rule that applies it where that is not the plain one."""
        return ", ".join(filter(None, (guidance_text(self.guidance), self.rule)))

    @property
    def common(self) -> str:
        """Its settings of model, training and sampling, as one text."""
        return _common(self.settings)

    @property
    def hyperparameters(self) -> list[str]:
        """Names of the methods' own settings that it states."""
        return [key for key in self.flat if is_hyperparameter(key)]

    @property
    def scale(self) -> str:
        """Its scale of guidance for a filter; blank where none is stated."""
        return f"{self.guidance:g}" if self.guidance == self.guidance else ""

    @property
    def pair(self) -> tuple[str, str]:
        """Method and variant."""
        return self.method, self.variant


Block = Sequence[Series]
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


_flat = functools.lru_cache(maxsize=4096)(json.loads)


@functools.lru_cache(maxsize=4096)
def _common(settings: str) -> str:
    rest = {k: v for k, v in _flat(settings).items() if not is_hyperparameter(k)}
    return json.dumps({k: v for k, v in rest.items() if k not in RULE_KEYS})


def by_key(series: Iterable[Series]) -> dict[str, Series]:
    """Return series by their key."""
    return {one.key: one for one in series}


def joined(blocks: Iterable[Block]) -> list[Series]:
    """Return the series of some blocks, in order."""
    return [one for block in blocks for one in block]


def several(series: Iterable[Series], name: str) -> bool:
    """Tell whether some series differ in an attribute, as text: nan is like nan."""
    return len({str(getattr(one, name)) for one in series}) > 1


def stated(*values: float) -> tuple[tuple[bool, float], ...]:
    """Return a key, to sort and to group by, of numbers that may not be stated (nan): those that are not come last."""
    return tuple((v != v, 0.0 if v != v else v) for v in values)


def agreeing(one: Series, other: Series, *names: str) -> int:
    """Count the attributes in which two series agree; nan is like nan."""
    pairs = ((getattr(one, name), getattr(other, name)) for name in names)
    return sum(a == b or (a != a and b != b) for a, b in pairs)


def agree(one: Series, other: Series, *names: str) -> bool:
    """Tell whether two series agree in all these attributes; nan is like nan."""
    return agreeing(one, other, *names) == len(names)


def grouped(things: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Return series, or curves of them, by a key of theirs, in order of first appearance."""
    out: dict[K, list[T]] = {}
    for one in things:
        out.setdefault(key(one), []).append(one)
    return out


# -- what they are called -------------------------------------------------------------------------------------

PARTS = {
    "variant": "{}",
    "settings": "{}",
    "rule": "{}",
    "sampler": "{}",
    "nfe": "{:g} NFE",
    "guidance": "ω={:g}",
    "step": "step {:,.0f}",
    "origin": "{}",
}
"""How a label states each attribute, in order."""


def labelled(series: Sequence[Series], without: Collection[str] = ()) -> list[Series]:
    """Name each series by what tells it from the others of its method.

    `without`: attributes and settings that a label does not tell, such as the x of a curve.
    """
    flat = [{k: v for k, v in one.flat.items() if k not in without and k not in RULE_KEYS} for one in series]
    rules = several(series, "rule")
    keys = sorted(set().union(*flat))
    stated = [settings for settings in flat if settings]
    varying = [k for k in keys if is_hyperparameter(k) or len({json.dumps(s.get(k)) for s in stated}) > 1]
    varying = [k for k in varying if not k.endswith(".variant")]
    elsewhere = [i for i, one in enumerate(series) if one.origin == "external"] * several(series, "origin")
    labels = [""] * len(series)
    for method, rows in grouped(range(len(series)), lambda i: series[i].method).items():
        differ = _telling_apart([series[i].variant for i in rows], [flat[i] for i in rows])
        parts: list[list[str]] = [[] for _ in rows]
        for name, template in PARTS.items():
            shown = differ if name == "settings" else [getattr(series[i], name) for i in rows]
            # NFE tells nothing new where guidance alone doubles it
            tell = [series[i].passes for i in rows] if name == "nfe" else shown
            if name not in without and len(set(map(str, tell))) > 1:
                for part, value in zip(parts, shown, strict=True):
                    part += [template.format(value)] if value == value and value != "" else []
        for i, part in zip(rows, parts, strict=True):
            title = method_title(method)
            part += ["external"] if i in elsewhere and "external" not in part else []
            labels[i] = f"{title} ({', '.join(part)})" if part else title
    return [
        replace(
            one,
            label=label,
            differs=", ".join(filter(None, (one.rule * rules, _in_words(settings, varying)))),
        )
        for one, settings, label in zip(series, flat, labels, strict=True)
    ]


def row_labels(series: Sequence[Series]) -> list[str]:
    """Name rows by their label, and by guidance and settings where labels repeat between blocks."""
    names = ("guidance", "rule", "sampler", "step", "differs", "key")
    shown = [(name, PARTS.get(name, "{}").format) for name in names]
    return distinguish([one.label for one in series], series, shown, "{}, {}".format)


def _telling_apart(variants: Sequence[str], flat: Sequence[dict[str, Any]]) -> list[str]:
    """Return for each row of one method the settings that its variant does not tell already."""
    differ = set()
    for variant in set(variants):
        alike = [settings for v, settings in zip(variants, flat, strict=True) if v == variant]
        keys = set().union(*alike)
        differ |= {key for key in keys if len({json.dumps(settings.get(key)) for settings in alike}) > 1}
    return [_in_words(settings, sorted(differ)) for settings in flat]


def _in_words(settings: dict[str, Any], keys: Iterable[str]) -> str:
    return ", ".join(f"{k}={_plain(settings[k])}" for k in keys if settings.get(k) is not None)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
