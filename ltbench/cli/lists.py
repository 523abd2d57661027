"""What `ltbench datasets`, `methods`, `metrics` and `presets` print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, TypeVar

from rich.table import Column, Table

from ltbench.cli.console import make_console, styled
from ltbench.cli.light import lightly
from ltbench.errors import StorageError, UsageError, nearest
from ltbench.files import read_text, write_text
from ltbench.study.presets import load_all

if TYPE_CHECKING:
    from ltbench.method.registry import MethodInfo

console = make_console()
T = TypeVar("T")


def _only(name: str | None, kind: str, rows: Mapping[str, T]) -> list[T]:
    """Return all rows, or the one that is named."""
    if name is None:
        return list(rows.values())
    if name not in rows:
        raise UsageError(f"no {kind} is called {name!r}{nearest(name, rows)}")
    return [rows[name]]


def list_datasets(imbalance_ratio: str, data_root: Path | None, name: str | None = None) -> None:
    """Print data sets, or the one that is named: counts, and whether the files are there."""
    from ltbench.data import list_sources
    from ltbench.data.longtail import read_ratio

    read, words = read_ratio(imbalance_ratio)
    if words:
        console.print(words)
    try:
        ratio = float(str(read))
    except ValueError as error:
        raise UsageError(f"--imbalance-ratio {imbalance_ratio!r} is not a number in (0, 1]") from error
    if not 0 < ratio <= 1:
        raise UsageError(
            f"--imbalance-ratio {imbalance_ratio} is not in (0, 1]: it is tail count / head count"
        )
    rows = {row.source.name: row for row in list_sources(ratio, data_root)}
    for row in _only(name, "data set", rows):
        source = row.source
        console.print(styled((source.name, "bold"), f"  {source.title} ({source.licence})"), soft_wrap=True)
        console.print(f"  from {row.origin}", soft_wrap=True)
        sizes = f"{source.channels} x {source.default_size} x {source.default_size}"
        if row.counts:
            shown = " ".join(map(str, row.counts[:10])) + (" ..." if len(row.counts) > 10 else "")
            console.print(
                f"  {source.num_classes} classes, {sizes}; {sum(row.counts):,} images: {shown}",
                soft_wrap=True,
            )
        if row.note:
            console.print(f"  {row.note}", soft_wrap=True)
        for line in row.prepared:
            console.print(f"  prepared: {line}", soft_wrap=True)
        if row.found:
            console.print(f"  files: {row.at or 'inside scikit-learn'}", soft_wrap=True)
        else:
            console.print(
                f"  files: not found in {', '.join(map(str, row.looked))}; {row.advice}", soft_wrap=True
            )


def list_methods(name: str | None = None) -> None:
    """Print methods, or the one that is named: paper, hyper-parameters and variants."""

    def read() -> tuple[list[MethodInfo], list[str], dict[str, str]]:
        from ltbench.method.registry import METHODS, describe, legal_pairs

        return describe(), list(legal_pairs()), METHODS.broken()

    methods, pairs, _ = lightly(read, complete=lambda listing: not listing[2])
    for info in _only(name, "method", {info.name: info for info in methods}):
        console.print(styled((info.name, "bold"), f"  {info.paper}"), soft_wrap=True)
        for parameter in info.hyperparameters:
            console.print(
                f"  {info.name}.{parameter.name} = {parameter.default}  ({parameter.type}) {parameter.help}",
                soft_wrap=True,
            )
        for variant, settings in info.variants.items():
            mark = " (default)" if variant == info.default_variant else ""
            differs = ", ".join(f"{key}={value}" for key, value in settings.items())
            console.print(f"  variant {variant}{mark}: {differs or 'the defaults'}", soft_wrap=True)
        if len(info.variants) > 1:
            other = next(variant for variant in info.variants if variant != info.default_variant)
            console.print(f"  to choose one: --set {info.name}.variant={other}", soft_wrap=True)
    pairs = [pair for pair in pairs if name is None or name in pair.split("+")]
    console.print(f"legal pairs: {', '.join(pairs) or 'none'}", soft_wrap=True)


def list_metrics(name: str | None = None) -> None:
    """Print metrics, or the one that is named: definition and source."""

    def read() -> tuple[list[tuple[str, ...]], dict[str, str]]:
        from ltbench.metrics.registry import METRICS, REGISTRY

        rows: list[tuple[str, ...]] = [
            (
                *(metric.name, metric.definition, metric.needs, "yes" if metric.default else ""),
                ", ".join(output.name for output in metric.outputs),
                *(metric.description, metric.source, METRICS.origin(metric.name)),
            )
            for metric in REGISTRY.values()
        ]
        return rows, METRICS.broken()

    table = Table(
        *("metric", "definition", "needs", "default", "numbers", "what", "source", "from"),
        box=None,
        header_style="bold",
    )
    rows = {row[0]: row for row in lightly(read, complete=lambda listing: not listing[1])[0]}
    for row in _only(name, "metric", rows):
        table.add_row(*row)
    console.print(table)


def list_samplers(name: str | None = None) -> None:
    """Print samplers, or the one that is named: kind, orders and limits."""

    def read() -> tuple[list[tuple[str, ...]], dict[str, str]]:
        from ltbench.diffusion.registry import SAMPLERS

        rows: list[tuple[str, ...]] = [
            (
                *(sampler.name, sampler.kind, " ".join(map(str, sampler.orders)) or "-"),
                "1 to 1000" if sampler.steps is None else str(sampler.steps),
                ". ".join(filter(None, (sampler.title, sampler.limits))),
                SAMPLERS.origin(sampler.name),
            )
            for sampler in SAMPLERS.all().values()
        ]
        return rows, SAMPLERS.broken()

    table = Table(*("sampler", "kind", "orders", "steps", "what", "from"), box=None, header_style="bold")
    rows = {row[0]: row for row in lightly(read, complete=lambda listing: not listing[1])[0]}
    for row in _only(name, "sampler", rows):
        table.add_row(*row)
    console.print(table)
    console.print(
        "One guidance scale is not the same thing under both kinds: compare within a kind. What each setting makes "
        "of a known distribution: ltbench doctor --calibrate",
        soft_wrap=True,
    )


def list_guidance(name: str | None = None) -> None:
    """Print rules of guidance, or the one that is named: what it reads, and which network it guides away from."""

    def read() -> tuple[list[tuple[str, ...]], dict[str, str]]:
        from ltbench.diffusion.guidance import RULES

        rows: list[tuple[str, ...]] = [
            (
                rule.name,
                "\n".join(
                    (
                        *(f"sample.{name}" for name in rule.parameters),
                        *(f"sample.rule_values={name}={value:g}" for name, value in rule.values.items()),
                    )
                )
                or "-",
                "itself without a label" if rule.away_from == "unlabelled" else "a weaker network",
                rule.title,
                RULES.origin(rule.name),
            )
            for rule in RULES.all().values()
        ]
        return rows, RULES.broken()

    table = Table(
        "rule",
        Column("settings", no_wrap=True),  # names to copy
        "away from",
        "what",
        Column("from", overflow="fold"),
        box=None,
        header_style="bold",
    )
    rows = {row[0]: row for row in lightly(read, complete=lambda found: not found[1])[0]}
    for row in _only(name, "rule of guidance", rows):
        table.add_row(*row)
    console.print(table)
    console.print(
        "to choose one: --set sample.rule=interval --set sample.sigma_high=2.9; sample.guidance stays the scale, and the "
        "settings' bounds are in: ltbench settings sample",
        soft_wrap=True,
    )


def show_preset(name: str) -> None:
    """Print a preset's file as it is."""
    from ltbench.study.presets import find_preset

    console.print(read_text(find_preset(name)), end="", soft_wrap=True)


def copy_preset(name: str, target: Path) -> None:
    """Copy a preset's file to where it can be changed; an existing file stays."""
    from ltbench.study.presets import find_preset

    text = read_text(find_preset(name))
    if target.is_dir():
        target = target / f"{name.rpartition('/')[2]}.toml"
    if target.exists():
        raise UsageError(f"{target} is there already: give another name, or remove it")
    try:
        write_text(target, text, advice="choose another place with --copy")
    except OSError as error:  # what special file systems answer, as /proc does
        raise StorageError(f"cannot write {target}: {error.strerror}") from error
    console.print(f"{target}: change it, then ltbench run -p {quote(str(target))}", soft_wrap=True)


def list_presets() -> None:
    """Print presets."""
    for name, content in load_all().items():
        console.print(styled((name, "bold"), f"  {content.get('title', '')}"), soft_wrap=True)
        if content.get("description"):
            console.print(f"  {content['description']}", soft_wrap=True)


def list_plugins() -> None:
    """Print what installed packages add, by kind, and what of them could not be loaded."""
    from ltbench.api.extensions import extension_points

    for kind, point in extension_points().items():
        console.print(styled((kind, "bold"), f"  entry-point group {point.group}"), soft_wrap=True)
        added = [e for e in point.extensions().values() if e.foreign]
        for extension in added:
            console.print(f"  {extension.name}  from {extension.origin}", soft_wrap=True)
        for name, why in point.broken().items():
            console.print(styled("  ", ("left out", "red"), f" {name}: {why}"), soft_wrap=True)
        if not added and not point.broken():
            console.print("  none")
