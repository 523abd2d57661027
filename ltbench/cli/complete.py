"""What the shell offers for a half-typed value: names of methods, data sets, presets, metrics, settings and runs.

A key press must not import torch, so names come from file names, entry points and folders alone.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from importlib import metadata, util
from pathlib import Path

from ltbench.cli.light import lightly

Completion = Callable[[str], list[str]]


def _listed(names: Callable[[], Iterable[str]]) -> Completion:
    """Return a completion of the last item of a comma-separated value."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        given = set(before.split(","))
        return [
            f"{before}{comma}{name}"
            for name in sorted(names())
            if name.startswith(last) and name not in given
        ]

    return complete


def _single(names: Callable[[], Iterable[str]]) -> Completion:
    return lambda incomplete: [name for name in sorted(names()) if name.startswith(incomplete)]


def _names(packages: Iterable[str], group: str) -> list[str]:
    """Return the modules of some packages and other packages' entry points of a group, by name; nothing is imported."""
    names = {entry.name for entry in metadata.entry_points(group=group)}
    for package in packages:
        spec = util.find_spec(package)
        places = spec.submodule_search_locations if spec else None
        names |= {module.name for module in pkgutil.iter_modules(places)} if places else set()
    return sorted(names)


def method_names() -> list[str]:
    """Return the names of methods."""
    return _names(("ltbench.methods", "ltbench.baselines"), "ltbench.methods")


def dataset_names() -> list[str]:
    """Return the names of data sets."""
    from ltbench.data import SOURCES

    return list(SOURCES.all())


def preset_names() -> list[str]:
    """Return the names of presets."""
    from ltbench.study.presets import load_all

    return list(load_all())


def setting_names() -> list[str]:
    """Return the keys of ``--set``, each with the sign of equality that must follow it."""
    from ltbench.cli.settings import settings

    return [f"{setting.key}=" for setting in settings()]


def _setting_completion(incomplete: str) -> list[str]:
    """Complete a key, and after its ``=`` the words it may be."""
    key, equals, value = incomplete.partition("=")
    if not equals:
        return _single(setting_names)(incomplete)
    return [f"{key}={choice}" for choice in choices(key)(value)]


def choices(key: str) -> Completion:
    """Return a completion of the words that a setting may be, comma-separated."""

    def names() -> Iterable[str]:
        from ltbench.cli.settings import settings

        return next((setting.choices for setting in settings() if setting.key == key), ())

    return _listed(names)


def metric_names() -> list[str]:
    """Return the names of metrics as a study may ask for them."""
    entries = {entry.name for entry in metadata.entry_points(group="ltbench.metrics")}

    def registry() -> list[str]:
        from ltbench.metrics.registry import REGISTRY

        return list(REGISTRY)

    return ["all", "default", *lightly(registry), *entries]


def extractor_names() -> list[str]:
    """Return the names of extractors, those that this user has trained too."""

    def registry() -> list[str]:
        from ltbench.extractors.registry import EXTRACTORS

        return list(EXTRACTORS.all())

    return ["auto", "torchscript:", *lightly(registry)]


def grouping_names() -> list[str]:
    """Return the names of groupings of classes."""
    from ltbench.data.groupings import NAMES

    return list(NAMES)


def card_names() -> list[str]:
    """Return the cards that `ltbench plan --on` knows."""
    from ltbench.study.cards import known_cards

    return list(known_cards())


def run_folders(incomplete: str) -> list[str]:
    """Return folders of runs that begin as typed: below ``runs/``, or beside what is typed."""
    from ltbench.runs.layout import SPEC

    typed = Path(incomplete)
    base = typed if incomplete.endswith("/") else typed.parent
    specs = [*base.glob(f"*/{SPEC}"), *(Path("runs").glob(f"*/{SPEC}") if not incomplete else ())]
    texts = (str(path.parent) for path in specs)
    return sorted({text for text in texts if text.startswith(incomplete.removeprefix("./"))})


methods, method = _listed(method_names), _single(method_names)
datasets, dataset = _listed(dataset_names), _single(dataset_names)
trackers = _listed(
    lambda: ("tensorboard", "wandb", "mlflow", "aim", "comet_ml", "clearml", "dvclive", "swanlab")
)
cards, setting_key = _single(card_names), _single(lambda: (name.rstrip("=") for name in setting_names()))
extractors, extractor, groups = _listed(extractor_names), _single(extractor_names), _listed(grouping_names)
references, resizings = choices("score.reference"), choices("score.resize")
preset, setting, metrics = _single(preset_names), _setting_completion, _listed(metric_names)
metric, sampler, rule = _single(metric_names), choices("sample.sampler"), choices("sample.rule")
