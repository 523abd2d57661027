"""Flags that several commands share, each declared once, and the flags that say what a study is.

`with_study_flags` gives a command every flag of `STUDY` and hands them over in one mapping, so that `plan` takes
what `run` takes by construction.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ltbench.cli import complete
from ltbench.errors import UsageError

# Panels of `ltbench --help`, then those of a command's own help.
RUN, FOLLOW, READ = "Run and score", "Follow a sweep", "Read results"
EXCHANGE, OWN, LISTS = "Exchange and check", "Bring your own", "Look up"
WHAT, SAMPLING, WHERE, SPEED = "What to run", "How to sample", "Where to run", "Speed (in no key)"

Out = Annotated[Path, typer.Option("--out", help="Folder that holds the runs.", rich_help_panel=WHERE)]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root", help="Where data sets are; default $LTBENCH_DATA or ./data.", rich_help_panel=WHERE
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="KEY=VALUE[,VALUE...], any setting: train.steps=2000. `ltbench settings` lists them.",
        autocompletion=complete.setting,
        rich_help_panel=WHAT,
    ),
]
Trust = Annotated[
    list[Path] | None,
    typer.Option("--trust", help="TorchScript file, named by a spec or a result, that may run; it is code."),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="cpu, cuda, cuda:1, mps; default: a CUDA GPU where there is one.",
        rich_help_panel=WHERE,
    ),
]
PresetName = Annotated[
    str | None,
    typer.Argument(
        metavar="[PRESET]", help="As --preset: a name or a TOML file.", autocompletion=complete.preset
    ),
]
RunsOrStudy = Annotated[
    Path | None,
    typer.Argument(
        metavar="[RUNS|STUDY]",
        help="As --out; or a TOML file or preset, whose stages below --out are meant.",
        autocompletion=complete.run_folders,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        help="A preset's name (`ltbench presets`) or a TOML file.",
        autocompletion=complete.preset,
        rich_help_panel=WHAT,
    ),
]
Workers = Annotated[
    str,
    typer.Option("--workers", help="auto (one a GPU, or one a core), or a number.", rich_help_panel=WHERE),
]
Metrics = Annotated[
    str,
    typer.Option(
        "--metrics",
        help="Comma-separated, `all`, or `default`; see `ltbench metrics`.",
        autocompletion=complete.metrics,
    ),
]
Groups = Annotated[
    str,
    typer.Option(
        "--groups",
        help="Groupings of classes, comma-separated: auto, thirds, shots, cm, ccua, utlo, none.",
        autocompletion=complete.groups,
    ),
]
Reference = Annotated[
    str,
    typer.Option(
        "--reference",
        help="Real images compared with: balanced, heldout or longtail.",
        autocompletion=complete.references,
    ),
]
Resize = Annotated[
    str,
    typer.Option(
        "--resize",
        help="Before Inception: legacy (the papers' FID) or clean (FID (clean)); own: as the extractor's name says.",
        autocompletion=complete.resizings,
    ),
]
Extractors = Annotated[
    str,
    typer.Option(
        "--extractors",
        help="Comma-separated; auto: the data set's own. `ltbench extractor list` lists them.",
        autocompletion=complete.extractors,
    ),
]
Bootstrap = Annotated[
    int | None,
    typer.Option(
        "--bootstrap", min=0, help="Replicates of the image bootstrap; default: 100 where cheap; 0: none."
    ),
]


def _text(*names: str, panel: str, help: str, values: complete.Completion | None = None) -> Any:
    option = typer.Option(*names, help=help, autocompletion=values, rich_help_panel=panel)
    return Annotated[str | None, option]


STUDY: dict[str, Any] = {
    "methods": _text(
        "--methods",
        "-m",
        panel=WHAT,
        help="Comma-separated; compositions as coral+t2h. Default: the preset's.",
        values=complete.methods,
    ),
    "dataset": _text(
        "--dataset",
        "-d",
        panel=WHAT,
        help="Comma-separated data sets; alone, it chooses the preset.",
        values=complete.datasets,
    ),
    "imbalance_ratio": _text(
        "--imbalance-ratio", "-r", panel=WHAT, help="Comma-separated, in (0, 1]: rarest / commonest class."
    ),
    "seeds": _text("--seeds", "-s", panel=WHAT, help="Train seeds: 0,1,2 or 0..4."),
    "class_order": _text("--class-order", panel=WHAT, help="identity, reversed, permuted:SEED."),
    "split_seed": _text("--split-seed", panel=WHAT, help="Seeds of the subset's selection."),
    "guidance": _text("--guidance", panel=SAMPLING, help="Guidance scales omega: 0,0.5,1."),
    "sampler": _text(
        "--sampler",
        panel=SAMPLING,
        help="ancestral, ddim (at 20 steps too smooth by 12 %), dpmsolver++, sde-dpmsolver++; `ltbench samplers`.",
        values=complete.choices("sample.sampler"),
    ),
    "sample_seed": _text("--sample-seed", panel=SAMPLING, help="Sampling seeds."),
}


def one_of(study: str | None, preset: str | None) -> str | None:
    """Return the preset that was named as an argument or by ``--preset``.

    Raises
    ------
    UsageError : it was named in both ways.
    """
    if study and preset:
        raise UsageError(f"a preset is given twice, {study} and --preset {preset}: leave one out")
    return study or preset


def with_study_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with every flag of `STUDY` in place of its parameter ``flags``."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in STUDY.items()
    ]
    others = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters if p.name != "flags"]

    @functools.wraps(command)
    def with_flags(**given: Any) -> None:
        command(flags={name: given.pop(name) for name in STUDY}, **given)

    with_flags.__signature__ = inspect.Signature([*flags, *others])  # type: ignore[attr-defined]
    with_flags.__annotations__ = {p.name: p.annotation for p in (*flags, *others)}
    del with_flags.__wrapped__
    return with_flags
