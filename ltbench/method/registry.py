"""Finding methods by name, checking their hyper-parameters, and putting them together.

Methods are found in three places: the packages ``ltbench.methods`` and ``ltbench.baselines``, scanned, and
the entry-point group ``ltbench.methods`` of other people's packages. A name is ``coral`` or ``coral+t2h``.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ltbench.errors import UsageError
from ltbench.method import Method, Needs
from ltbench.method.composition import Composition, loss_terms
from ltbench.method.hyperparameters import checked, differing, hints, refused, stated, type_in_words
from ltbench.plugins import ExtensionPoint
from ltbench.specs import MethodSpec

__all__ = [
    "METHODS",
    "Composition",
    "HyperparameterInfo",
    "MethodInfo",
    "create",
    "create_method",
    "describe",
    "known_methods",
    "legal_pairs",
    "loss_terms",
    "resolve",
]

Hyperparameters = Mapping[str, Mapping[str, Any]]  # method's name -> its hyper-parameters


# -- discovery ------------------------------------------------------------------------------------------


def known_methods() -> dict[str, type[Method]]:
    """Return every method that can be loaded, by name; one that cannot is warned of once and left out."""
    return METHODS.all()


def _of_module(module: ModuleType) -> list[type[Method]]:
    """Return the methods that a module defines; those it imports are other modules' own."""
    defined = [item for item in vars(module).values() if getattr(item, "__module__", None) == module.__name__]
    return [item for item in defined if isinstance(item, type) and issubclass(item, Method) and item.name]


def check_method(method: Any) -> None:
    """Raise TypeError or ValueError, with a sentence, for what is no method that can be registered.

    Raises
    ------
    TypeError, ValueError
        What is wrong with it, in one sentence.
    """
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise TypeError(f"{method!r} is not a subclass of ltbench.method.Method")
    if not isinstance(method.name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", method.name):
        raise ValueError(f"the name {method.name!r} must be lower-case letters, digits and _")
    settings = method.Hyperparameters
    if not dataclasses.is_dataclass(settings) or not settings.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise TypeError(f"{method.name}'s Hyperparameters must be a frozen dataclass")
    fields = {f.name for f in dataclasses.fields(settings)}
    parts = method.PARTS
    if isinstance(parts, str) or not (
        isinstance(parts, Collection) and all(isinstance(p, str) for p in parts)
    ):
        raise TypeError(f"{method.name}'s PARTS must be names in a tuple, as in ('expert',), not {parts!r}")
    stating = method.VARIANTS
    if not isinstance(stating, Mapping) or not all(
        isinstance(values, Mapping) for values in stating.values()
    ):
        raise TypeError(
            f"{method.name}'s VARIANTS must be a dictionary of name -> dictionary of what it sets"
        )
    if method.VARIANTS and "variant" not in fields:
        raise TypeError(f"{method.name} has VARIANTS, so its Hyperparameters need a field 'variant'")
    for variant, values in stating.items():
        if unknown := set(values) - fields:
            raise TypeError(f"{method.name}'s variant {variant} sets unknown {sorted(map(str, unknown))}")
    variant = ""
    try:
        _check_needs(method())
        for variant in stating:
            stated(method, variant)
        for variant in stating:
            _check_needs(method(checked(method, {"variant": variant})))
    except UsageError as error:
        of = f"{method.name}'s variant {variant} cannot be built: " if variant else ""
        raise ValueError(f"{of}{error}") from error


def _check_needs(method: Method) -> None:
    """Raise UsageError for a built method whose needs no trainer can read."""
    if not isinstance(method.needs, Needs):
        raise UsageError(
            f"{method.name}'s needs must be a Needs, as in Needs(draw='balanced'), not {method.needs!r}"
        )


METHODS: ExtensionPoint[type[Method]] = ExtensionPoint(
    "method",
    group="ltbench.methods",
    name_of=lambda method: method.name,
    check=check_method,
    scan=("ltbench.methods", "ltbench.baselines"),
    pick=_of_module,
)


# -- hyper-parameters -----------------------------------------------------------------------------------


def create_method(name: str, **hyperparameters: Any) -> Method:
    """Return one method, its hyper-parameters concrete and checked.

    The class's defaults are those of its default variant; a given ``variant`` is applied to them, then what
    else is given. `hp.variant` afterwards names the variant whose formula the result is, ``custom`` where it
    is none of them.

    Raises
    ------
    UsageError
        Unknown name, hyper-parameter or variant; a value of the wrong type or out of range, or that the method refuses.
    """
    method = METHODS[name]
    settings = checked(method, hyperparameters)
    with refused(method):
        built = method(settings)
    _check_needs(built)
    return built


# -- compositions ---------------------------------------------------------------------------------------


def create(method: str | MethodSpec, hyperparameters: Hyperparameters | None = None) -> Composition:
    """Return the composition that a name (``coral+t2h``) or a `MethodSpec` stands for.

    Parameters
    ----------
    method
        One name, or several joined by ``+`` in any order; or a spec, which brings its hyper-parameters.
    hyperparameters
        Method's name -> its hyper-parameters.

    Raises
    ------
    UsageError
        As `create_method`; or methods that cannot be combined.
    """
    if isinstance(method, MethodSpec):
        return create(method.name, method.hyperparameters)
    names = [part.strip().lower() for part in method.split("+")]
    if not all(names):
        raise UsageError(f"{method!r} is no method name: join names by single +, as in 'coral+t2h'")
    given = dict(hyperparameters or {})
    for name in names:
        METHODS[name]
    if strangers := set(given) - set(names):
        raise UsageError(f"{method!r} takes no hyper-parameters of {', '.join(sorted(strangers))}")
    return Composition(create_method(name, **given.get(name, {})) for name in names)


def resolve(name: str, hyperparameters: Hyperparameters | None = None) -> MethodSpec:
    """Return the spec that keys hash: canonical name, and only what differs from the classes' defaults."""
    composition = create(name, hyperparameters)
    changed = {part: differing(method) for part, method in composition.parts}
    return MethodSpec(name=composition.name, hyperparameters={k: v for k, v in changed.items() if v})


def legal_pairs() -> list[str]:
    """Return the canonical name of every pair of known methods that can be combined at their defaults."""
    pairs = []
    for first, second in itertools.combinations(known_methods(), 2):
        try:
            pairs.append(create(f"{first}+{second}").name)
        except UsageError:
            continue
    return pairs


# -- listing --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HyperparameterInfo:
    """One hyper-parameter: its name, type in words, default and help."""

    name: str
    type: str
    default: Any
    help: str


@dataclass(frozen=True)
class MethodInfo:
    """What `ltbench methods` shows of one method; `origin` is the module or package that it comes from."""

    name: str
    paper: str
    origin: str
    needs: Needs
    hyperparameters: tuple[HyperparameterInfo, ...]
    variants: dict[str, dict[str, Any]]
    default_variant: str


def describe() -> list[MethodInfo]:
    """Return one row for each known method, in alphabetical order."""
    return [_describe(name, method) for name, method in known_methods().items()]


def _describe(name: str, method: type[Method]) -> MethodInfo:
    instance = create_method(name)
    rows = tuple(
        HyperparameterInfo(
            f.name,
            type_in_words(hints(method.Hyperparameters)[f.name]),
            getattr(instance.hp, f.name),
            str(f.metadata.get("help", "")),
        )
        for f in dataclasses.fields(method.Hyperparameters)
        if f.name != "variant"
    )
    return MethodInfo(
        name=name,
        paper=method.paper,
        origin=METHODS.origin(name),
        needs=instance.needs,
        hyperparameters=rows,
        variants={variant: dict(settings) for variant, settings in method.VARIANTS.items()},
        default_variant=instance.hp.variant if method.VARIANTS else "",
    )
