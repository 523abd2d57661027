"""Pages of the site that are made from the code: from registries, the command line and schemas to Markdown.

mkdocs calls `on_files`. A page here is a function that returns its text, so it is never older than what it describes.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    return files


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def line(cells: Iterable[object]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(header), line("---" for _ in header), *map(line, rows)])


def methods() -> str:
    """Every method: the head of its file, its hyper-parameters, and what its variants set."""
    from ltbench.method.registry import METHODS, describe, legal_pairs

    parts = [
        "# Methods",
        "Made from the files in `methods/` and `baselines/`. A variant is the paper's formula (`published`) or the "
        "released code's (`released`), wherever the two differ, with all constants of its source. "
        "Choose one with `--set METHOD.variant=NAME`.",
    ]
    for info in describe():
        module = sys.modules[METHODS[info.name].__module__]
        parts += [f"## {info.name}", f"*{info.paper}*", inspect.cleandoc(module.__doc__ or "")]
        if info.hyperparameters:
            rows = [
                (f"`{info.name}.{p.name}`", f"`{p.default}`", p.type, p.help) for p in info.hyperparameters
            ]
            parts.append(_table(("setting", "default", "type", "what it is"), rows))
        if info.variants:
            names = list(info.variants)
            keys = list(dict.fromkeys(key for settings in info.variants.values() for key in settings))
            defaults = {p.name: p.default for p in info.hyperparameters}
            table = [
                (f"`{key}`", *(f"`{info.variants[n].get(key, defaults.get(key))}`" for n in names))
                for key in keys
            ]
            head = [f"{name} (default)" if name == info.default_variant else name for name in names]
            parts += ["**Paper against code**", _table(("setting", *head), table)]
        else:
            parts.append("**Paper against code**: one form, the formula above; there are no variants.")
    parts += [
        "## Compositions",
        "Two methods may be joined by `+`: " + ", ".join(f"`{p}`" for p in legal_pairs()) + ".",
    ]
    return "\n\n".join(parts)


def metrics() -> str:
    """Every metric: definition, numbers, source, and the module's own words."""
    from ltbench.metrics.registry import REGISTRY

    parts = [
        "# Metrics",
        "Made from the registry. `default` metrics are measured by every run; the others by "
        "`ltbench evaluate runs/ --metrics NAME`. A number keeps its definition's version in `scores.csv`.",
        _table(
            ("metric", "definition", "default", "numbers (better)", "needs"),
            [
                (
                    f"[`{m.name}`](#{m.name})",
                    f"`{m.definition}`",
                    "yes" if m.default else "",
                    ", ".join(f"`{o.name}` ({o.better})" if o.better else f"`{o.name}`" for o in m.outputs),
                    m.needs,
                )
                for m in REGISTRY.values()
            ],
        ),
    ]
    for metric in REGISTRY.values():
        module = inspect.getmodule(inspect.unwrap(metric.function))
        words = inspect.cleandoc(inspect.getdoc(module) or "")
        parts += [f"## {metric.name}", f"{metric.description}. *{metric.source}*", words]
    return "\n\n".join(filter(None, parts))


def scores() -> str:
    """The columns of scores.csv, each with its meaning."""
    from ltbench.runs.score_columns import SCHEMA

    rows = [(f"`{c.name}`", c.kind, "yes" if c.identity else "", c.meaning, c.since) for c in SCHEMA]
    return "\n\n".join(
        [
            "# Columns of `scores.csv`",
            "One row a number. Rows that agree in all *identity* columns are one number. Later versions only add columns.",
            _table(("column", "kind", "identity", "meaning", "since version"), rows),
        ]
    )


def settings() -> str:
    """Every key of --set and of a study file."""
    from ltbench.cli.settings import settings as known

    parts = [
        "# Settings",
        "What `--set KEY=VALUE` and a study file can set; `ltbench settings KEY` says the same in a terminal. "
        "Values with commas make a grid. Methods' own settings are on [their page](methods.md).",
    ]
    sections: dict[str, list[tuple[str, ...]]] = {}
    for s in known():
        values = f"{s.type} {s.bounds}".strip()
        sections.setdefault(s.key.rpartition(".")[0], []).append(
            (f"`{s.key}`", f"`{s.default}`" if s.default else "", values, s.help)
        )
    for section, rows in sections.items():
        parts += [
            f"## {section or 'top level'}",
            _table(("setting", "default", "values", "what it is"), rows),
        ]
    return "\n\n".join(parts)


def command_line() -> str:
    """Every command with its arguments and flags."""
    import typer

    from ltbench.cli.tree import app

    parts = ["# Command line", "Made from the program; `ltbench COMMAND --help` says the same."]

    def add(command: Any, name: str) -> None:
        if hasattr(command, "commands"):
            for child, sub in command.commands.items():
                add(sub, f"{name} {child}")
            return
        rows = []
        for parameter in command.params:
            flags = ", ".join(f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts))
            shown = (
                f"`{(parameter.metavar or parameter.name).upper()}`"
                if parameter.param_type_name == "argument"
                else flags
            )
            default = (
                ""
                if parameter.default in (None, False, "", ()) or callable(parameter.default)
                else f"`{parameter.default}`"
            )
            rows.append((shown, default, getattr(parameter, "help", "") or ""))
        parts.extend(
            [
                f"## {name}",
                command.help or "",
                command.epilog or "",
                _table(("", "default", ""), rows) if rows else "",
            ]
        )

    add(typer.main.get_command(app), "ltbench")
    return "\n\n".join(filter(None, parts))


def datasets() -> str:
    """Every source of images."""
    from ltbench.data.registry import SOURCES

    rows = [
        (
            f"`{s.name}`",
            s.title,
            s.num_classes or "its own",
            f"{s.channels} x {s.default_size} x {s.default_size}",
            s.licence,
            s.how_to_get,
        )
        for s in SOURCES.all().values()
    ]
    return "\n\n".join(
        [
            "# Data sets",
            "`ltbench datasets -r 0.01` adds each class's count at a ratio, and whether the files are here.",
            _table(("name", "what", "classes", "image", "licence", "how to get it"), rows),
        ]
    )


def api() -> str:
    """The names that `import ltbench as lt` offers."""
    head = "# Python API\n\nThese names and their parameters follow semantic versioning; everything else is private.\n\n"
    names = _public()
    return head + "\n\n".join(f"::: {name}" for name in names) + "\n"


def _public() -> list[str]:
    import ltbench
    from ltbench import api

    return [
        f"ltbench.api.{name}" if name in api.__all__ else f"{getattr(ltbench, name).__module__}.{name}"
        for name in ltbench.__all__
    ]


def _included(name: str) -> Any:
    def read() -> str:
        text = (ROOT / name).read_text(encoding="utf-8")
        return text.replace(
            "(CODE_OF_CONDUCT.md)", "(https://github.com/ltbench/ltbench/blob/main/CODE_OF_CONDUCT.md)"
        )

    return read


PAGES = {
    "reference/api.md": api,
    "reference/cli.md": command_line,
    "reference/settings.md": settings,
    "reference/scores.md": scores,
    "reference/methods.md": methods,
    "reference/metrics.md": metrics,
    "reference/datasets.md": datasets,
    "changelog.md": _included("CHANGELOG.md"),
    "contributing.md": _included("CONTRIBUTING.md"),
}
