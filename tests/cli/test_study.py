"""`plan`, `settings`, `presets` and the Slurm dry run as a person meets them."""

import sys
from types import SimpleNamespace

import pytest
import torch
from app_settings import SHORT
from rich.console import Console

from ltbench.cli import study
from ltbench.cli import study as commands
from ltbench.cli.study import print_plan
from ltbench.diffusion.unet import Denoiser
from ltbench.environment import Environment
from ltbench.errors import DataMissing, UsageError
from ltbench.runs.layout import folder_name, weights_name
from ltbench.study.file import load_study
from ltbench.sweep.cost import make_plan


def test_a_plan_says_which_files_are_missing_and_how_to_get_them(tmp_path, capsys):
    study = load_study("paper/celeba5", ["model.size=tiny", "data.image_size=8", "train.batch_size=4"])
    planned = make_plan(study.runs, tmp_path, tmp_path, "cpu", 1, need_files=False)
    assert sum(run.images for run in planned.runs) == 5 * 50_000
    print_plan(study, planned)
    shown = capsys.readouterr().out
    assert "(published)" in shown
    assert "(released)" in shown
    assert "the files of celeba5 are missing" in shown
    assert "ltbench data prepare celeba5" in shown
    with pytest.raises(DataMissing):
        make_plan(study.runs, tmp_path, tmp_path, "cpu", 1)


@pytest.mark.parametrize("preset", ["controls/cifar10_lt-r0.01", "controls/fashion_mnist_lt-r0.01"])
def test_every_row_of_a_plan_names_another_run(preset, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(commands, "console", Console(highlight=False, width=200))  # each row one line
    small = ["model.size=tiny", "data.image_size=8", "train.batch_size=4"]
    study = load_study(preset, small)
    print_plan(study, make_plan(study.runs, tmp_path, tmp_path, "cpu", 1, need_files=False), every_run=True)
    rows = [line for line in capsys.readouterr().out.splitlines() if " ddpm seed " in line]
    assert len(rows) == len(set(rows)) == 9
    assert sum("data.head_count=" in row for row in rows) == 3


def test_a_plan_says_which_snapshots_come_too_late(tmp_path, capsys):
    """They were left out without a word: a training only goes forward."""
    study = load_study("demo", ["train.steps=40", "train.snapshots=10,30", "methods=ddpm"])
    (spec,) = study.runs
    assert make_plan(study.runs, tmp_path, None, "cpu", 1).passed == ()
    for step in (10, 40):
        path = tmp_path / folder_name(spec) / weights_name(step)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    planned = make_plan(study.runs, tmp_path, None, "cpu", 1)
    print_plan(study, planned)
    assert len(planned.passed) == 1
    assert "is trained past step 30 without keeping it" in " ".join(capsys.readouterr().out.split())
    path.unlink()  # under way, at step 35
    for name, content in (("checkpoint.pt", ""), ("train.csv", "step,loss\n35,1.0\n")):
        (tmp_path / folder_name(spec) / name).write_text(content)
    assert "past step 30 " in make_plan(study.runs, tmp_path, None, "cpu", 1).passed[0]


def test_a_plan_times_forward_and_backward_with_a_workers_threads(tmp_path, monkeypatch):
    """It timed the forward pass with every core, where a worker has one, and promised half the time."""
    seen = []
    forward = Denoiser.forward

    def watched(self, x, *rest):
        seen.append((torch.get_num_threads(), torch.is_grad_enabled()))
        return forward(self, x, *rest)

    monkeypatch.setattr(Denoiser, "forward", watched)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        planned = make_plan(load_study("demo", ["methods=ddpm"]).runs, tmp_path, None, "cpu", 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen[-6:]) == {(Environment().threads, False), (Environment().threads, True)}
    assert planned.runs[0].seconds > 0


def test_plan_reads_runs_flags(run_here):
    code, out = run_here("plan", "-m", "ddpm,coral", "--seeds", "0..1", "--guidance", "0,1", *SHORT)
    assert code == 0
    assert "8 runs, 40 training steps, 160 images" in out


def test_a_study_is_named_as_an_argument_or_as_a_preset_and_not_as_both(run_here):
    code, out = run_here("run", "demo", "--dry-run", "-m", "ddpm", *SHORT)
    assert code == 0
    assert "1 run, 10 training steps" in out
    for name in ("run", "plan"):
        code, out = run_here(name, "demo", "-p", "quick")
        assert code == 2
        assert "a preset is given twice, demo and --preset quick: leave one out" in out


def test_a_plan_names_a_rule_of_guidance_with_its_steps_and_evaluations(run_here, monkeypatch):
    monkeypatch.setattr(study.console, "width", 200)  # a row a line
    interval = ["--set", "sample.rule=interval", "--set", "sample.sigma_high=2.9", "--guidance", "0,1"]
    sampler = ["--set", "sample.sampler=dpmsolver++", "--set", "sample.steps=20"]
    code, out = run_here("plan", "-m", "ddpm", "--seeds", "0", *interval, *sampler, *SHORT)
    assert code == 0
    # No training left, 20 images, 20 + 12 evaluations.
    assert "guidance 1, interval (sigma_high 2.9), 20 steps 0 20 32" in out
    assert "guidance 0 10 20 20" in out  # by whatever rule: no guidance


def test_plan_on_a_card_gives_hours_beside_this_machines(run_here):
    code, out = run_here("plan", "-m", "ddpm", *SHORT, "--on", "h100")
    assert code == 0
    assert "on NVIDIA H100 SXM5: about 0 s with one card; here about" in out
    assert "Measured: benchmarks/GPU-NVIDIA-H100" in out
    assert "assumed" not in out
    code, out = run_here("plan", "-m", "ddpm", *SHORT, "--on", "a100")
    assert code == 0
    assert "peak stated in" in out.lower()
    assert "assumed" in out


def test_plan_says_a_wrong_card_before_it_measures(run_here, monkeypatch):
    monkeypatch.setattr("ltbench.sweep.cost.make_plan", None)
    code, out = run_here("plan", "--on", "h1000")
    assert code == 2
    assert "did you mean 'h100'" in out


def test_plan_names_weights_that_are_missing(run_here, monkeypatch, tmp_path):
    monkeypatch.setenv("LTBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, out = run_here("plan", "-m", "ddpm", *SHORT, "--set", "score.extractors=inception")
    assert code == 0
    assert "the weights of inception are missing" in out
    assert "curl -L" in out


def test_plan_names_a_network_of_the_users_that_is_not_there(run_here, tmp_path):
    code, out = run_here(
        "plan", "-m", "ddpm", *SHORT, "--set", f"score.extractors=torchscript:{tmp_path}/no.pt"
    )
    assert code == 0
    assert f"{tmp_path}/no.pt, which scoring needs, is no file" in out


def test_a_slurm_typo_is_told_before_anything_is_measured(run_here, monkeypatch):
    monkeypatch.setattr("ltbench.sweep.cost.make_plan", None)
    code, out = run_here("run", "--slurm", "parition=gpu")
    assert code == 2
    assert "did you mean 'partition'" in out
    assert "--slurm help" in out


@pytest.mark.parametrize(
    ("flag", "value", "instead"), [("--device", "cpu", "gpus_per_node=1"), ("--workers", "2", "tasks=2")]
)
def test_a_flag_that_slurm_decides_is_refused(flag, value, instead, run_here):
    """It was ignored without a word."""
    code, out = run_here("run", "--slurm", "partition=gpu", flag, value, "--dry-run", *SHORT)
    assert code == 2
    assert f"leave {flag} out" in " ".join(out.split())
    assert instead in out


def test_slurm_help_lists_the_keys(run_here):
    from ltbench.sweep.slurm import KEYS

    code, out = run_here("run", "--slurm", "help")
    assert code == 0
    assert all(key in out for key in KEYS)


def test_a_slurm_dry_run_prints_the_script_and_leaves_nothing(run_here, tmp_path):
    pytest.importorskip("submitit")
    code, out = run_here(
        *("run", "-m", "ddpm,coral", "--slurm", "partition=gpu,exclude=n1,n2,time=8h", "--dry-run"), *SHORT
    )
    assert code == 0
    for line in (
        "#!/bin/bash",
        "--partition=gpu",
        "--exclude=n1,n2",
        "--time=480",
        "--array=0-1%2",
        "--requeue",
    ):
        assert line in out, line
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_here_is_the_plan(run_here, tmp_path):
    code, out = run_here("run", "-m", "ddpm", "--dry-run", *SHORT)
    assert code == 0
    assert "1 run, 10 training steps" in out
    assert list(tmp_path.iterdir()) == []


def test_a_cards_hours_call_runs_as_the_plan_does(run_here, monkeypatch):
    """Two variants of one method stood there under one name."""
    monkeypatch.setattr("ltbench.cli.cards.console.width", 200)  # a row a line
    variants = ("--set", "coral.variant=published,released_formula", "--guidance", "0")
    code, out = run_here("plan", "-m", "coral", *SHORT, *variants, "--on", "h100")
    assert code == 0
    for variant in ("published", "released_formula"):
        assert f"coral ({variant}) seed 0 guidance 0 (fp32)" in out


def test_a_long_plan_without_standard_input_asks_for_yes(monkeypatch):
    """`ltbench run ... <&-` ended in an internal error."""
    planned = SimpleNamespace(seconds=1e6)
    job = SimpleNamespace(plan=lambda: planned, study=None, settings=SimpleNamespace(device="cpu"))
    monkeypatch.setattr(study, "print_plan", lambda *_: None)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="add --yes to start it"):
        study._plan_and_ask(job, yes=False)
