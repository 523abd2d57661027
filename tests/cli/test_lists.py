"""Listings of the command line: data sets, methods, metrics, presets, rules."""

import errno
import os
import re
import subprocess
import sys
import tomllib

import pytest

from ltbench.cli import settings
from ltbench.method.registry import known_methods, legal_pairs
from ltbench.metrics.registry import REGISTRY
from ltbench.study.presets import load_all, preset_names


def test_datasets_lists_classes_counts_files_and_where_they_were_looked_for(here, ltbench):
    code, out, _ = ltbench("datasets", "-r", "0.1", "--data-root", here)
    assert code == 0
    for name in ("digits_lt", "fashion_mnist_lt", "cifar10_lt", "cifar100_lt", "celeba5", "imagenet_lt"):
        assert re.search(rf"^{name} ", out, re.MULTILINE)
    assert "120 92 71 55 43 33 25 20 15 12" in out  # digits at 0.1
    assert f"not found in {here}" in out
    assert "cifar-10-python.tar.gz" in out
    assert "digits.csv.gz" in out


def test_methods_lists_papers_hyperparameters_and_pairs(ltbench):
    code, out, _ = ltbench("methods")
    assert code == 0
    assert "NeurIPS 2025" in out
    assert "CVPR 2023" in out
    assert "ICLR 2024" in out
    for name in known_methods():
        assert re.search(rf"^{name} ", out, re.MULTILINE)
    assert "coral.tau_sc = 0.1" in out
    assert "variant released (default)" in out
    assert all(pair in out for pair in legal_pairs())


def test_metrics_and_presets_are_listed_with_whole_names_in_a_pipe():
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    for command, names in (
        ("metrics", [m.definition for m in REGISTRY.values()]),
        ("presets", preset_names()),
    ):
        program = [sys.executable, "-m", "ltbench", command]
        out = subprocess.run(program, capture_output=True, text=True, env=environment, check=True).stdout
        assert all(name in out for name in names)


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
def test_a_listing_shows_one_that_is_named(run_here, listing, name, slip):
    code, whole = run_here(listing)
    assert code == 0
    code, out = run_here(listing, name)
    assert code == 0
    assert name in out
    assert len(out) < len(whole)
    code, out = run_here(listing, slip)
    assert code == 2
    assert f"did you mean '{name}'?" in out


def test_rules_of_guidance_are_listed_with_their_settings(run_here, monkeypatch):
    code, out = run_here("guidance")
    assert code == 0
    for setting in ("sample.sigma_low", "sample.sigma_high", "sample.bad_weights", "sample.schedule_power"):
        assert setting in out  # whole, at the width of any terminal
    monkeypatch.setattr(settings.console, "width", 200)  # a row a line
    code, out = run_here("settings", "sample.rule")
    assert code == 0
    assert "auto | cfg | interval |" in out


def test_a_preset_can_be_shown_and_copied(run_here, tmp_path):
    code, out = run_here("presets", "demo", "--show")
    assert code == 0
    assert 'title = "Demo' in out
    assert "[train]" in out
    code, out = run_here("presets", "paper/cifar10_lt-r0.01", "--copy", "mine.toml")
    assert code == 0
    assert "ltbench run -p mine.toml" in out
    assert tomllib.loads((tmp_path / "mine.toml").read_text()) == load_all()["paper/cifar10_lt-r0.01"]
    code, out = run_here("presets", "demo", "--copy", "mine.toml")
    assert code == 2
    assert "is there already" in out
    code, out = run_here("presets", "dmeo", "--show")
    assert code == 2
    assert "did you mean 'demo'" in out


def test_a_copy_is_whole_or_not_there(run_here, tmp_path, monkeypatch):
    """A part stayed, and the same command said that it was there already."""

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ltbench.files.os.fsync", full)
        code, out = run_here("presets", "demo", "--copy", "mine.toml")
    assert code == 1
    assert "no space left to write mine.toml: free some space there and run the same command again" in out
    assert not list(tmp_path.iterdir())
    assert run_here("presets", "demo", "--copy", "mine.toml")[0] == 0


def test_a_copy_that_cannot_be_made_names_its_own_option(run_here, tmp_path):
    (tmp_path / "file").write_text("")
    code, out = run_here("presets", "demo", "--copy", "file/mine.toml")
    assert code == 1
    assert "cannot write file/mine.toml (File exists): choose another place with --copy" in out


def test_a_file_of_an_editor_is_shown_and_copied_and_one_of_no_text_is_one_sentence(run_here, tmp_path):
    (tmp_path / "mine.toml").write_text('title = "Mine"\n', encoding="utf-16")
    code, out = run_here("presets", "mine.toml", "--show")
    assert (code, out) == (0, 'title = "Mine"')
    assert run_here("presets", "mine.toml", "--copy", "copy.toml")[0] == 0
    assert (tmp_path / "copy.toml").read_text(encoding="utf-8") == 'title = "Mine"\n'
    (tmp_path / "mine.toml").write_bytes('title = "é"\n'.encode("latin-1"))
    for way in (("--show",), ("--copy", "other.toml")):
        code, out = run_here("presets", "mine.toml", *way)
        assert code == 2
        assert "mine.toml is not UTF-8 text" in out
