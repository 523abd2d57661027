"""From settings by full key to a run's spec, every section, method and name checked; parts that runs share once."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ltbench.data.registry import get_source
from ltbench.errors import UsageError, nearest
from ltbench.specs import RULE_FIELDS, MethodSpec, RunSpec, SampleSpec, ScoreSpec
from ltbench.study.keys import SECTIONS, Layer, Value, is_sequence, registry
from ltbench.text import checked_name


class RunBuilder:
    """Builds run specs; parts that runs share are validated once."""

    def __init__(self) -> None:
        self._parts: dict[Any, Any] = {}

    def _cached(self, kind: str, settings: Mapping[str, Value], make: Callable[[], Any]) -> Any:
        key = (kind, tuple(sorted((name, repr(item.value)) for name, item in settings.items())))
        if key not in self._parts:
            self._parts[key] = make()
        return self._parts[key]

    def run(self, settings: Layer) -> RunSpec:
        """Return the spec that settings (full key -> value and where it stands) make.

        Raises
        ------
        UsageError
            One sentence: where it stands, which key, what is allowed and what was given.
        """
        settings = _with_own_profile(settings)
        groups: dict[str, Layer] = {name: {} for name in (*SECTIONS, "method")}
        own: Layer = {}
        for key, item in settings.items():
            section, _, name = key.partition(".")
            if section in SECTIONS:
                groups[section][name] = item
            elif section == "train_seed":
                own["train_seed"] = item
            else:
                groups["method"][key] = item
        parts = {
            name: self._cached(name, groups[name], lambda name=name: _section(name, groups[name]))  # type: ignore[misc]
            for name in SECTIONS
        }
        parts["method"] = self._cached("method", groups["method"], lambda: _method(groups["method"]))
        seed = own.get("train_seed", Value(0, ""))
        _refuse_bool(seed, "train_seed")
        result: RunSpec = _validated(RunSpec, {**parts, "train_seed": seed.value}, {"train_seed": seed.where})
        _check_bad_step(result, settings)
        return result


def _check_bad_step(run: RunSpec, settings: Layer) -> None:
    """Check that a network to be guided away from is an earlier one: sampling comes after days of training."""
    sample = run.sample
    if sample.bad_step is not None and sample.bad_weights is None and sample.bad_step >= run.train.steps:
        raise UsageError(
            f"{settings['sample.bad_step'].where}: sample.bad_step {sample.bad_step} must be an earlier step than "
            f"train.steps {run.train.steps}"
        )


def _with_own_profile(settings: Layer) -> Layer:
    """Add the data set's own profile where neither a profile nor a ratio is asked for, by whichever door it came."""
    named = settings.get("data.dataset")
    if named is None or {"data.profile", "data.imbalance_ratio"} & set(settings):
        return settings
    try:
        profile = get_source(str(named.value)).default_profile
    except UsageError as error:
        raise UsageError(f"{named.where}: {error}") from error
    return {**settings, "data.profile": Value(profile, named.where)}


def _section(name: str, settings: Layer) -> BaseModel:
    values = {key: item.value for key, item in settings.items()}
    for key, item in settings.items():
        if SECTIONS[name].model_fields[key].annotation is not bool:
            _refuse_bool(item, f"{name}.{key}")
        if isinstance(item.value, str) and is_sequence(f"{name}.{key}"):
            values[key] = [item.value]
    where = {key: item.where for key, item in settings.items()}
    for key in ("dataset",) if name == "data" else ():
        if key in values and isinstance(values[key], str):
            checked_name(values[key], "data set", where[key], UsageError)
    section: BaseModel = _validated(SECTIONS[name], values, where, f"{name}.")
    if isinstance(section, ScoreSpec) and {"metrics", "extractors", "groups"} & set(settings):
        _check_names(section, settings)
    if isinstance(section, SampleSpec):
        _check_sampler(section, settings)
    return section


def _refuse_bool(item: Value, key: str) -> None:
    """Refuse true and false, themselves or in a list: Python takes them for 1 and 0."""
    if any(
        isinstance(value, bool) for value in (item.value if isinstance(item.value, list) else [item.value])
    ):
        raise UsageError(f"{item.where}: {key} takes no true or false")


def _check_sampler(sample: SampleSpec, settings: Layer) -> None:
    """Check that sampler and rule exist and have what is asked of them: sampling comes after days of training."""
    from ltbench.diffusion.guidance import check_rule
    from ltbench.diffusion.registry import check_sampler

    read: tuple[str, ...] = ("sampler", "steps", "order")
    try:
        check_sampler(sample)
        read = RULE_FIELDS
        check_rule(sample)
    except UsageError as error:
        where = dict.fromkeys(v.where for k, v in settings.items() if k in read)
        raise UsageError(f"{'; '.join(where) or 'defaults'}: {error}") from error


def _check_names(score: ScoreSpec, settings: Layer) -> None:
    """Check the names of metrics, extractors and groupings now: scoring comes after days of training."""
    from ltbench.data.groupings import check_grouping
    from ltbench.extractors.registry import check_name  # imports torch
    from ltbench.metrics.registry import get_metric

    checks: tuple[tuple[str, Callable[[str], object], tuple[str, ...]], ...] = (
        ("metrics", get_metric, ("default", "all")),
        ("extractors", check_name, ("auto",)),
        ("groups", check_grouping, ()),
    )
    for key, check, special in checks:
        if not getattr(score, key) and key != "groups" and not score.probes:  # probes alone need no metric
            raise UsageError(f"{settings[key].where}: score.{key} is an empty list; give at least one value")
        for name in getattr(score, key):
            try:
                if name not in special:
                    check(name)
            except UsageError as error:
                raise UsageError(f"{settings[key].where}: {error}") from error


def _method(settings: Layer) -> MethodSpec:
    name = settings.get("method.name", Value("ddpm", "default"))
    hyperparameters: dict[str, dict[str, Any]] = {}
    for key, item in settings.items():
        part, _, field_name = key.partition(".")
        if key != "method.name":
            hyperparameters.setdefault(part, {})[field_name] = item.value
    try:
        result: MethodSpec = registry().resolve(name.value, hyperparameters)
        return result
    except UsageError as error:
        keys = [item.where for key, item in settings.items() if key != "method.name"]
        raise UsageError(f"{', '.join([name.where, *keys])}: {error}") from error


def _validated(model: type[Any], values: dict[str, Any], where: Mapping[str, str], prefix: str = "") -> Any:
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        at = where.get(key) or "; ".join(dict.fromkeys(w for w in where.values() if w)) or "defaults"
        raise UsageError(_sentence(first, at, prefix + key if key else "")) from error


def _sentence(error: Any, where: str, key: str) -> str:
    """Turn one of pydantic's errors into: where, which key, what is allowed, what was given."""
    message, given, context = error["msg"], error.get("input"), error.get("ctx", {})
    message = message.removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("a valid ")
    if error["type"] == "literal_error":
        names = re.findall(r"'([^']*)'", context["expected"])
        hint = nearest(str(given), names)
        allowed = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
        hint = hint if hint.startswith("; did you mean") else ""
        return f"{where}: {key} must be {allowed}, not {given!r}{hint}"
    if error["type"] == "value_error":
        return f"{where}: {message}"
    if error["type"] == "string_pattern_mismatch":
        return f"{where}: {key} must match {context['pattern'].strip('^$')}, not {given!r}"
    if error["type"] in ("int_parsing", "int_type", "int_from_float", "float_parsing", "float_type"):
        message = "a whole number" if error["type"].startswith("int") else "a number"
    if error["type"] == "tuple_type":
        message = "a list"
    if error["type"].startswith("bool"):
        message = "true or false"
    return f"{where}: {key} must be {message}, not {given!r}"
