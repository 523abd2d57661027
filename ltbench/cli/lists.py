"""What `ltbench datasets`, `methods`, `metrics` and `presets` print."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from ltbench.errors import UsageError
from ltbench.study.presets import load_all
from ltbench.cli.console import make_console

console = make_console()


def list_datasets(imbalance_ratio: str, data_root: Path | None) -> None:
    """Print data sets, counts and whether the files are there."""
    from ltbench.data import list_sources

    try:
        ratio = float(imbalance_ratio)
    except ValueError as error:
        raise UsageError(f"--imbalance-ratio {imbalance_ratio!r} is not a number in (0, 1]") from error
    if not 0 < ratio <= 1:
        raise UsageError(
            f"--imbalance-ratio {imbalance_ratio} is not in (0, 1]: it is tail count / head count"
        )
    for row in list_sources(ratio, data_root):
        source = row.source
        console.print(f"[bold]{source.name}[/bold]  {source.title} ({source.licence})", soft_wrap=True)
        console.print(f"  from {row.origin}", soft_wrap=True, markup=False)
        sizes = f"{source.channels} x {source.default_size} x {source.default_size}"
        if row.counts:
            shown = " ".join(map(str, row.counts[:10])) + (" ..." if len(row.counts) > 10 else "")
            console.print(
                f"  {source.num_classes} classes, {sizes}; {sum(row.counts):,} images: {shown}",
                soft_wrap=True,
            )
        if row.note:
            console.print(f"  {row.note}", soft_wrap=True)
        if row.found:
            console.print(f"  files: {row.at or 'inside scikit-learn'}", soft_wrap=True)
        else:
            console.print(
                f"  files: not found in {', '.join(map(str, row.looked))}; {row.advice}", soft_wrap=True
            )


def list_methods() -> None:
    """Print methods, papers, hyper-parameters and variants."""
    from ltbench.method.registry import describe, legal_pairs

    for info in describe():
        console.print(f"[bold]{info.name}[/bold]  {info.paper}", soft_wrap=True)
        for parameter in info.hyperparameters:
            console.print(
                f"  {info.name}.{parameter.name} = {parameter.default}  ({parameter.type}) {parameter.help}",
                soft_wrap=True,
                markup=False,
            )
        for name, settings in info.variants.items():
            mark = " (default)" if name == info.default_variant else ""
            console.print(
                f"  variant {name}{mark}: {settings or 'the defaults'}", soft_wrap=True, markup=False
            )
    console.print(f"legal pairs: {', '.join(legal_pairs())}", soft_wrap=True)


def list_metrics() -> None:
    """Print metrics, definitions and sources."""
    from ltbench.metrics.registry import METRICS, REGISTRY

    table = Table(
        *("metric", "definition", "needs", "default", "numbers", "what", "source", "from"),
        box=None,
        header_style="bold",
    )
    for metric in REGISTRY.values():
        numbers = ", ".join(output.name for output in metric.outputs)
        default = "yes" if metric.default else ""
        table.add_row(
            *(metric.name, metric.definition, metric.needs, default, numbers, metric.description),
            *(metric.source, METRICS.origin(metric.name)),
        )
    console.print(table)


def list_presets() -> None:
    """Print presets."""
    for name, content in load_all().items():
        console.print(f"[bold]{name}[/bold]  {content.get('title', '')}", soft_wrap=True)
        if content.get("description"):
            console.print(f"  {content['description']}", soft_wrap=True)
