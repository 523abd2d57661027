"""What the shell offers for a half-typed value, and that the shell can ask for it."""

import os
import subprocess
import sys

import pytest

from ltbench.cli import complete
from ltbench.method.registry import known_methods
from ltbench.metrics.registry import REGISTRY


def test_methods_are_the_registrys_names():
    assert complete.method_names() == sorted(known_methods())


def test_the_last_item_of_a_list_is_completed_and_none_is_offered_twice():
    assert complete.methods("cor") == ["coral"]
    assert complete.methods("ddpm,cor") == ["ddpm,coral"]
    assert "ddpm,ddpm" not in complete.methods("ddpm,d")
    assert "ddpm" not in complete.methods("coral,")


@pytest.mark.parametrize(
    ("offer", "typed", "expected"),
    [
        (complete.datasets, "digi", "digits_lt"),
        (complete.preset, "paper/cifar10_lt-r0.0", "paper/cifar10_lt-r0.01"),
        (complete.setting, "train.st", "train.steps="),
        (complete.setting, "train.precision=", "train.precision=bf16"),
        (complete.setting_key, "train.st", "train.steps"),
        (complete.choices("sample.sampler"), "dd", "ddim"),
        (complete.cards, "h1", "h100"),
        (complete.metrics, "frechet,pre", "frechet,precision_recall"),
        (complete.extractors, "digits_cnn,incep", "digits_cnn,inception_clean"),
        (complete.groups, "thirds,s", "thirds,shots"),
        (complete.references, "held", "heldout"),
        (complete.resizings, "le", "legacy"),
    ],
)
def test_each_value_is_offered(offer, typed, expected):
    assert expected in offer(typed)


def test_metrics_are_the_registrys_names():
    assert set(complete.metric_names()) >= {"all", "default", *REGISTRY}


def test_runs_are_folders_with_a_spec(tmp_path, monkeypatch):
    for name in ("runs/a-1", "runs/b-2", "runs/none"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("runs/a-1", "runs/b-2"):
        (tmp_path / name / "spec.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert complete.run_folders("") == ["runs/a-1", "runs/b-2"]
    assert complete.run_folders("runs/") == ["runs/a-1", "runs/b-2"]
    assert complete.run_folders("runs/b") == ["runs/b-2"]


def test_bash_is_given_values_and_not_only_flags():
    environment = os.environ | {
        "_LTBENCH_COMPLETE": "complete_bash",
        "COMP_WORDS": "ltbench run --methods ddpm,co",
        "COMP_CWORD": "3",
    }
    code = "from ltbench.cli.tree import app; app(prog_name='ltbench')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["ddpm,coral"], done.stderr
