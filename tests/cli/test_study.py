"""`plan`, `settings`, `presets` and the Slurm dry run as a person meets them."""

import tomllib

import pytest
from command_line import call_main

from ltbench.cli import settings, study
from ltbench.cli.app import app
from ltbench.cli.options import STUDY
from ltbench.specs import RunSpec
from ltbench.study.presets import load_all


@pytest.fixture
def ltbench(capfd, tmp_path, monkeypatch):
    """Call the command in an empty folder; return exit code and everything printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code, out, err = call_main(capfd, arguments)
        return code, " ".join((out + err).split())

    return call


SHORT = ("--set", "train.steps=10", "--set", "train.warmup_steps=0", "--set", "sample.per_class=2")


def test_plan_takes_every_flag_of_run_that_says_what_is_run():
    import typer

    commands = typer.main.get_command(app).commands
    flags = {name: {o for p in commands[name].params for o in p.opts} for name in ("run", "plan")}
    assert flags["run"] - flags["plan"] <= {
        *(
            "--slurm",
            "--dry-run",
            "--yes",
            "-y",
            "--init-from",
            "--track",
            "--sample-batch",
            "--compile",
            "--channels-last",
            "--recompute",
            "--cuda-graphs",
            "--trust",
        ),
    }
    assert {p.name for p in commands["plan"].params} >= set(STUDY)


def test_plan_reads_runs_flags(ltbench):
    code, out = ltbench("plan", "-m", "ddpm,coral", "--seeds", "0..1", "--guidance", "0,1", *SHORT)
    assert code == 0
    assert "8 runs, 40 training steps, 160 images" in out


def test_a_study_is_named_as_an_argument_or_as_a_preset_and_not_as_both(ltbench):
    code, out = ltbench("run", "demo", "--dry-run", "-m", "ddpm", *SHORT)
    assert code == 0
    assert "1 run, 10 training steps" in out
    for name in ("run", "plan"):
        code, out = ltbench(name, "demo", "-p", "quick")
        assert code == 2
        assert "a preset is given twice, demo and --preset quick: leave one out" in out


@pytest.mark.parametrize(
    ("listing", "name", "slip"),
    [
        ("methods", "coral", "corla"),
        ("metrics", "frechet", "freche"),
        ("samplers", "ddim", "ddmi"),
        ("guidance", "interval", "intervall"),
        ("datasets", "digits_lt", "digit_lt"),
    ],
)
def test_a_listing_shows_one_that_is_named(ltbench, listing, name, slip):
    code, whole = ltbench(listing)
    assert code == 0
    code, out = ltbench(listing, name)
    assert code == 0
    assert name in out
    assert len(out) < len(whole)
    code, out = ltbench(listing, slip)
    assert code == 2
    assert f"did you mean '{name}'?" in out


def test_a_plan_names_a_rule_of_guidance_with_its_steps_and_evaluations(ltbench, monkeypatch):
    monkeypatch.setattr(study.console, "width", 200)  # a row a line
    interval = ["--set", "sample.rule=interval", "--set", "sample.sigma_high=2.9", "--guidance", "0,1"]
    sampler = ["--set", "sample.sampler=dpmsolver++", "--set", "sample.steps=20"]
    code, out = ltbench("plan", "-m", "ddpm", "--seeds", "0", *interval, *sampler, *SHORT)
    assert code == 0
    # No training left, 20 images, 20 + 12 evaluations.
    assert "guidance 1, interval (sigma_high 2.9), 20 steps 0 20 32" in out
    assert "guidance 0 10 20 20" in out  # by whatever rule: no guidance


def test_rules_of_guidance_are_listed_with_their_settings(ltbench, monkeypatch):
    code, out = ltbench("guidance")
    assert code == 0
    for setting in ("sample.sigma_low", "sample.sigma_high", "sample.bad_weights", "sample.schedule_power"):
        assert setting in out  # whole, at the width of any terminal
    monkeypatch.setattr(settings.console, "width", 200)  # a row a line
    code, out = ltbench("settings", "sample.rule")
    assert code == 0
    assert "auto | cfg | interval |" in out


def test_plan_on_a_card_gives_hours_beside_this_machines(ltbench):
    code, out = ltbench("plan", "-m", "ddpm", *SHORT, "--on", "h100")
    assert code == 0
    assert "on NVIDIA H100 SXM5: about 0 s with one card; here about" in out
    assert "peak stated in" in out.lower()
    assert "assumed" in out


def test_plan_says_a_wrong_card_before_it_measures(ltbench, monkeypatch):
    monkeypatch.setattr("ltbench.sweep.cost.make_plan", None)
    code, out = ltbench("plan", "--on", "h1000")
    assert code == 2
    assert "did you mean 'h100'" in out


def test_plan_names_weights_that_are_missing(ltbench, monkeypatch, tmp_path):
    monkeypatch.setenv("LTBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, out = ltbench("plan", "-m", "ddpm", *SHORT, "--set", "score.extractors=inception")
    assert code == 0
    assert "the weights of inception are missing" in out
    assert "curl -L" in out


def test_plan_names_a_network_of_the_users_that_is_not_there(ltbench, tmp_path):
    code, out = ltbench(
        "plan", "-m", "ddpm", *SHORT, "--set", f"score.extractors=torchscript:{tmp_path}/no.pt"
    )
    assert code == 0
    assert f"{tmp_path}/no.pt, which scoring needs, is no file" in out


def test_a_slurm_typo_is_told_before_anything_is_measured(ltbench, monkeypatch):
    monkeypatch.setattr("ltbench.sweep.cost.make_plan", None)
    code, out = ltbench("run", "--slurm", "parition=gpu")
    assert code == 2
    assert "did you mean 'partition'" in out
    assert "--slurm help" in out


def test_slurm_help_lists_the_keys(ltbench):
    from ltbench.sweep.slurm import KEYS

    code, out = ltbench("run", "--slurm", "help")
    assert code == 0
    assert all(key in out for key in KEYS)


def test_a_slurm_dry_run_prints_the_script_and_leaves_nothing(ltbench, tmp_path):
    pytest.importorskip("submitit")
    code, out = ltbench(
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


def test_a_dry_run_here_is_the_plan(ltbench, tmp_path):
    code, out = ltbench("run", "-m", "ddpm", "--dry-run", *SHORT)
    assert code == 0
    assert "1 run, 10 training steps" in out
    assert list(tmp_path.iterdir()) == []


def test_settings_lists_every_field_with_default_and_bounds(ltbench):
    code, out = ltbench("settings")
    assert code == 0
    for section in ("data", "model", "train", "sample", "score"):
        for name in type(getattr(RunSpec(), section)).model_fields:
            hidden = f"{section}.{name}" in ("data.content", "train.init_weights", "train.imported")
            assert (f"{section}.{name} " in out) != hidden
    assert "train.steps 150000 int >= 1 optimiser steps" in out


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("train.steps", "train.steps 150000"),
        ("steps", "sample.steps 1000"),
        ("guidance", "sample.guidance 0"),
        ("precision", "train.precision fp32 fp32 | tf32 | bf16"),
        ("sample", "sample.per_class 5000"),
    ],
)
def test_settings_finds_a_key_by_its_end_its_section_or_its_short_name(ltbench, key, shown):
    code, out = ltbench("settings", key)
    assert code == 0
    assert shown in out
    assert "--set" in out


def test_settings_of_an_unknown_key_names_the_nearest(ltbench):
    code, out = ltbench("settings", "train.stepps")
    assert code == 2
    assert "did you mean 'train.steps'" in out


def test_a_preset_can_be_shown_and_copied(ltbench, tmp_path):
    code, out = ltbench("presets", "demo", "--show")
    assert code == 0
    assert 'title = "Demo' in out
    assert "[train]" in out
    code, out = ltbench("presets", "paper/cifar10_lt-r0.01", "--copy", "mine.toml")
    assert code == 0
    assert "ltbench run -p mine.toml" in out
    assert tomllib.loads((tmp_path / "mine.toml").read_text()) == load_all()["paper/cifar10_lt-r0.01"]
    code, out = ltbench("presets", "demo", "--copy", "mine.toml")
    assert code == 2
    assert "is there already" in out
    code, out = ltbench("presets", "dmeo", "--show")
    assert code == 2
    assert "did you mean 'demo'" in out


def test_a_cards_hours_call_runs_as_the_plan_does(ltbench, monkeypatch):
    """Two variants of one method stood there under one name."""
    monkeypatch.setattr("ltbench.cli.cards.console.width", 200)  # a row a line
    variants = ("--set", "coral.variant=published,released_formula", "--guidance", "0")
    code, out = ltbench("plan", "-m", "coral", *SHORT, *variants, "--on", "h100")
    assert code == 0
    for variant in ("published", "released_formula"):
        assert f"coral ({variant}) seed 0 guidance 0 (fp32)" in out
