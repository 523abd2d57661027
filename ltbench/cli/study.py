"""What `ltbench run` and `plan` ask and print: from flags to a study, its plan and its end."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from ltbench.cli.console import hours, make_console, styled, waiting
from ltbench.cli.results import make_report
from ltbench.errors import Interrupted, UsageError
from ltbench.files import ensure_writable
from ltbench.specs import RULE_FIELDS, RunSpec
from ltbench.text import command

if TYPE_CHECKING:  # these import torch and diffusers: seconds, which a listing need not wait
    from ltbench.study.file import Study
    from ltbench.study.selection import Choice
    from ltbench.sweep.cost import Plan, RunCost
    from ltbench.sweep.slurm import SlurmOptions
    from ltbench.sweep.study_run import StudyOutcome, StudyRun

console = make_console()
LONG_HOURS = 24  # a longer plan asks first


def trust_named(words: Sequence[str], files: Sequence[Path] = ()) -> None:
    """Let the TorchScript files that this command line names run, and show the hash of each.

    Parameters
    ----------
    words
        What was typed after ``--set`` or ``--extractors``; only ``torchscript:PATH`` in it matters.
    files
        What was typed after ``--trust``.
    """
    named = [name for word in words for name in re.findall(r"torchscript:[^,\]]+", word)]
    if not named and not files:
        return
    from ltbench.extractors.torchscript import path_of, trust

    for name in dict.fromkeys([*named, *map(str, files)]):
        console.print(f"runs the code in {path_of(name)}, SHA-256 {trust(name)}", soft_wrap=True)


# -- run and plan -----------------------------------------------------------------------------------


def run_study(
    preset: str | None,
    sets: Sequence[str],
    flags: Mapping[str, Any],
    out: Path,
    data_root: Path | None,
    device: str | None,
    workers: str,
    yes: bool,
    slurm: str | None = None,
    init_from: Path | None = None,
    **speed: Any,
) -> None:
    """Plan, ask where the plan is long, run the grid here or on Slurm, end with a table and paths.

    A study that tunes (``[select]``) runs its trials, chooses, and then runs what is to be reported. With
    `init_from` every training starts from those weights, whose hash is in its key.
    Under torchrun all processes share each training; all but the first leave after the last one. `speed` are
    settings of workers that change no key: sample_batch, compile, channels_last.
    """
    with waiting("reading the study"):
        from ltbench.cli.sweep import submit_and_follow
        from ltbench.environment import Settings, usable_device
        from ltbench.extractors.torchscript import require_trust
        from ltbench.interop.checkpoints import start_from
        from ltbench.interop.networks import with_networks
        from ltbench.study.resolve import resolve_study
        from ltbench.sweep import torchrun
        from ltbench.sweep.status import Row, closing_lines
        from ltbench.sweep.study_run import StudyRun

        study = resolve_study(preset, sets, flags, data_root, _say)
        require_trust({name: None for run in study.runs for name in run.score.extractors})
        settings = Settings(data_root=data_root, device=usable_device(device), **speed)
    if init_from is not None:
        study = start_from(study, init_from, out)
    named, networks = with_networks(study.runs, out, data_root)
    study = dataclasses.replace(study, runs=named)
    job = StudyRun(study, out, settings, workers, networks)
    shared = torchrun.processes() > 1
    if shared and slurm is not None:
        raise UsageError("--slurm submits jobs by itself: call `ltbench run --slurm ...` without torchrun")
    if shared and not torchrun.leads():
        torchrun.train_together(job.first, out, settings)
        return
    ensure_writable(out)
    _plan_and_ask(job, yes)
    if shared and not torchrun.train_together(job.first, out, settings):
        raise Interrupted(
            "stopped before all trainings were done: what is done is kept; run the same command to go on"
        )

    def drive(runs: Sequence[RunSpec]) -> list[Row]:
        if slurm is None:
            rows = job.locally(console)(runs)
        else:
            rows = submit_and_follow(runs, out, settings, slurm, study.title)
        for line in closing_lines(rows, out):
            console.print(line, soft_wrap=True)
        return rows

    _finish(job.execute(drive, lambda choices, path: _show_choices(choices, study, path)), study, out)


def _finish(outcome: StudyOutcome, study: Study, out: Path) -> None:
    """Print curves and the report of what was scored; leave with the outcome's exit code."""
    if study.select is None:
        _show_curves(study.runs, out)
    if outcome.scored and outcome.stopped:  # who asked to stop waits for no figures
        console.print(f"{command('ltbench', 'report', out)} shows what is done so far", soft_wrap=True)
    elif outcome.scored:
        make_report([out], None, "ddpm", title=study.title)
    if outcome.code:
        sys.exit(outcome.code)


def _say(sentence: str) -> None:
    console.print(sentence, soft_wrap=True)


def _show_curves(runs: Sequence[RunSpec], out: Path) -> None:
    """Print the score at each snapshot, and which step it would choose."""
    from ltbench.study.curve import snapshot_curves

    for curve in snapshot_curves(runs, out):
        points = ", ".join(
            f"{'*' if step == curve.best else ''}{step}: {value:.4g}" for step, value in curve.points
        )
        console.print(
            f"{curve.run} over training, Frechet distance of {curve.images} images:  {points}", soft_wrap=True
        )
        console.print(
            f"  best is step {curve.best}: a selection by the first half of the reference; report it with other images "
            f"(--set train.steps={curve.best} --set sample.seed=1 --set score.reference_half=second)",
            soft_wrap=True,
        )


def _show_choices(choices: Sequence[Choice], study: Study, path: Path) -> None:
    """Print each method's curve with the chosen value marked."""
    assert study.select is not None
    console.print(
        styled(
            (f"{study.select.key} by {study.select.metric}", "bold"), " on the first half of the reference"
        )
    )
    for choice in choices:
        curve = ", ".join(
            f"{'*' if value == choice.chosen else ''}{'none' if value is None else value}: {sum(scores) / len(scores):.4g}"
            for value, scores in choice.scores.items()
        )
        first = choice.runs[0]
        console.print(f"  {first.data.dataset} {first.method.name}  {curve}", soft_wrap=True)
    console.print(
        f"curves: {path}; now the chosen values (*) with fresh seeds and the second half", soft_wrap=True
    )


def _plan_and_ask(job: StudyRun, yes: bool) -> None:
    """Print what a study will take; a long one starts on a yes only."""
    with waiting(f"timing the network on this machine ({job.settings.device})"):
        planned = job.plan()
    print_plan(job.study, planned)
    if planned.seconds <= LONG_HOURS * 3600 or yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"the plan is estimated at {hours(planned.seconds)}: add --yes to start it")
    if not typer.confirm(f"This is estimated to take {hours(planned.seconds)}. Start?"):
        raise typer.Exit(1)


def show_plan(
    preset: str | None,
    sets: Sequence[str],
    flags: Mapping[str, Any],
    out: Path,
    data_root: Path | None,
    device: str | None,
    workers: str,
    on: str | None = None,
) -> None:
    """Print what a study would cost here and, with `on`, on a named card."""
    from ltbench.cli.cards import print_hours
    from ltbench.study.cards import get_card

    card = None if on is None else get_card(on)
    with waiting("reading the study"):
        from ltbench.environment import Settings, usable_device
        from ltbench.interop.networks import with_networks
        from ltbench.study.resolve import resolve_study
        from ltbench.sweep.study_run import StudyRun

        study = resolve_study(preset, sets, flags, data_root, _say)
        named, networks = with_networks(study.runs, out, data_root, keep=False)
        study = dataclasses.replace(study, runs=named)
        settings = Settings(data_root=data_root, device=usable_device(device))
        job = StudyRun(study, out, settings, workers, networks)
    with waiting(f"timing the network on this machine ({job.settings.device})"):
        planned = job.plan(need_files=False)
    print_plan(study, planned, every_run=True)
    if card is not None:
        varied = _varied([cost.spec for cost in planned.runs])
        print_hours(card, planned, [_name(cost.spec, varied) for cost in planned.runs])


def show_slurm_script(
    preset: str | None,
    sets: Sequence[str],
    flags: Mapping[str, Any],
    out: Path,
    data_root: Path | None,
    options: SlurmOptions,
) -> None:
    """Print the batch script of a study; nothing is measured, written or submitted."""
    from ltbench.study.resolve import resolve_study
    from ltbench.sweep.slurm import batch_script

    study = resolve_study(preset, sets, flags, data_root)
    print(batch_script(study.runs, out, options))


def print_plan(study: Study, planned: Plan, every_run: bool = False) -> None:
    """Print the grid and its totals, and what is legal but probably unwanted."""
    from ltbench.study.checks import warnings

    console.print(styled((study.title, "bold")))
    if study.description:
        console.print(study.description)
    shown = planned.runs if every_run or len(planned.runs) <= 12 else planned.runs[:10]
    table = Table("run", "steps", "images", "NFE", "PFLOP", "time", box=None, header_style="bold")
    varied = _varied([cost.spec for cost in planned.runs])
    for cost in shown:
        table.add_row(*_plan_row(cost, varied))
    console.print(table)
    if len(shown) < len(planned.runs):
        console.print(f"... and {len(planned.runs) - len(shown)} more runs")
    steps, images = sum(r.steps for r in planned.runs), sum(r.images for r in planned.runs)
    disk = sum(r.disk for r in planned.runs) / 1e9
    console.print(
        f"{len(planned.runs)} run{'s' * (len(planned.runs) != 1)}, {steps:,} training steps, {images:,} images to generate, "
        f"{planned.parameters:,} parameters, {disk:.2g} GB of disk; "
        f"about {hours(planned.seconds)} with {planned.workers} worker{'s' * (planned.workers > 1)}"
    )
    for line in dict.fromkeys(w for cost in planned.runs for w in warnings(cost.spec)):
        console.print(styled(("note:", "yellow"), f" {line}"))
    for line in (*planned.passed, *planned.missing):
        console.print(styled(("note:", "yellow"), f" {line}"), soft_wrap=True)


_SHOWN = {  # in every row
    "data.dataset",
    "data.imbalance_ratio",
    "sample.guidance",
    "sample.steps",
    "train.steps",
    "sample.per_class",
}


def _varied(specs: Sequence[RunSpec]) -> list[tuple[str, str]]:
    """Return the (section, field) pairs in which runs differ and that a row of the plan would not show."""
    varying = []
    for section in ("data", "model", "train", "sample"):
        for name in type(getattr(specs[0], section)).model_fields if specs else ():
            values = {repr(getattr(getattr(spec, section), name)) for spec in specs}
            if len(values) > 1 and f"{section}.{name}" not in _SHOWN | {
                f"sample.{rule}" for rule in RULE_FIELDS
            }:
                varying.append((section, name))
    return varying


def _name(spec: RunSpec, varied: Sequence[tuple[str, str]]) -> str:
    """Return what tells a run of a plan from the others."""
    from ltbench.method.registry import create

    variant = create(spec.method.name, spec.method.hyperparameters).variant
    name = (
        f"{spec.data.dataset} r={spec.data.imbalance_ratio:g} {spec.method.name}{f' ({variant})' if variant else ''} "
        f"seed {spec.train_seed} guidance {spec.sample.guidance:g}"
    )
    if spec.sample.rule_label:
        name += f", {spec.sample.rule_label}, {spec.sample.steps} steps"
    for section, field in varied:
        value = getattr(getattr(spec, section), field)
        if value is not None and value != ():
            name += f" {section}.{field}={value}"
    return name


def _plan_row(cost: RunCost, varied: Sequence[tuple[str, str]]) -> list[str]:
    time = hours(cost.seconds) if cost.steps or cost.images else ", ".join(cost.left) or "done"
    return [
        _name(cost.spec, varied),
        f"{cost.steps:,}",
        f"{cost.images:,}",
        f"{cost.nfe:g}",
        f"{cost.flops / 1e15:.3g}",
        time,
    ]
