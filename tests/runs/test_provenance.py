"""Provenance: what a stage leaves on record, and what costs, processors and weights are read from it."""

import contextlib
import math
import subprocess
from pathlib import Path

import pytest

from ltbench.cli.version import version_text
from ltbench.errors import CheckpointError, Interrupted
from ltbench.runs.provenance import (
    StageClock,
    all_stages,
    code_version,
    compute_seconds,
    join_provenances,
    machine,
    processors,
    read_provenance,
    recorded,
    sampled_weights,
    sampling_cost,
    training_cost,
    write_provenance,
)

ROOT = Path(__file__).resolve().parents[2]


def sitting(kind="train", **fields):
    return {"stage": kind, "device": "cpu", **fields}


# -- writing ----------------------------------------------------------------------------------------------


def test_each_sitting_of_a_stage_is_an_entry_with_what_it_was_told(tmp_path):
    for steps in (10, 25):
        with StageClock().recording(tmp_path, "train", "cpu") as sitting:
            sitting.more["steps"] = steps
            sitting.keep()
            sitting.keep()  # the same entry again
    content = read_provenance(tmp_path)
    assert [(s["stage"], s["device"], s["steps"]) for s in content["stages"]] == [
        ("train", "cpu", 10),
        ("train", "cpu", 25),
    ]
    for stage in content["stages"]:
        assert 0 <= stage["cpu_seconds"] < 60
        assert 0 <= stage["wall_seconds"] < 60
        assert stage["processor"] == machine()["processor"]
        assert stage["code"] == code_version()
        assert "interrupted" not in stage
    assert content["machine"]["libraries"]["torch"] is not None


def test_a_soft_stop_is_recorded_and_a_failure_with_nothing_kept_is_not(tmp_path):
    with pytest.raises(Interrupted), StageClock().recording(tmp_path, "train", "cpu"):
        raise Interrupted("stopped")
    with pytest.raises(ZeroDivisionError), StageClock().recording(tmp_path, "train", "cpu"):
        raise ZeroDivisionError
    (stage,) = read_provenance(tmp_path)["stages"]
    assert stage["interrupted"] is True


def test_what_a_failed_sitting_kept_stays_on_record(tmp_path):
    with contextlib.suppress(ZeroDivisionError), StageClock().recording(tmp_path, "train", "cpu") as sitting:
        sitting.keep()
        raise ZeroDivisionError
    with StageClock().recording(tmp_path, "train", "cpu"):
        pass
    stages = read_provenance(tmp_path)["stages"]
    assert [stage.get("interrupted", False) for stage in stages] == [True, False]


def test_the_code_is_the_checkouts_commit():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert code_version()["git_commit"] == head == code_version()["methods_git_commit"]
    assert isinstance(code_version()["git_dirty"], bool)


@pytest.mark.parametrize("refuses", [False, True], ids=["no git", "git refuses"])
def test_a_checkout_without_a_git_that_answers_is_of_an_unknown_commit(tmp_path, monkeypatch, refuses):
    """Every stage failed in a container without git; "dubious ownership" was recorded as no change."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    if refuses:
        git = tmp_path / "git"
        git.write_text("#!/bin/sh\necho HEAD\nexit 128\n")  # what it prints of a repository without commits
        git.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    code = code_version.__wrapped__()
    assert {name: code[name] for name in ("git_commit", "git_dirty", "methods_git_commit")} == {
        "git_commit": None,
        "git_dirty": None,
        "methods_git_commit": None,
    }
    monkeypatch.setattr("ltbench.cli.version.code_version", lambda: code)
    assert "a checkout of which git tells no commit" in version_text()


# -- reading ----------------------------------------------------------------------------------------------


def test_a_training_and_its_sample_sets_are_read_together(tmp_path):
    write_provenance(tmp_path, {"stages": [sitting(steps=5)]})
    (tmp_path / "samples" / "ab").mkdir(parents=True)
    write_provenance(tmp_path / "samples" / "ab", {"stages": [sitting("sample"), sitting("score")]})
    assert sorted(s["stage"] for s in all_stages(tmp_path)) == ["sample", "score", "train"]
    assert read_provenance(tmp_path / "nothing") == {}


@pytest.mark.parametrize("content", ['{"stages": 5}', '{"stages": [1]}', "[]", "{"])
def test_what_is_no_provenance_is_named(tmp_path, content):
    (tmp_path / "provenance.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"provenance.json") as caught:
        read_provenance(tmp_path)
    assert "\n" not in str(caught.value)


def test_sittings_before_a_training_was_begun_again_do_not_count():
    content = {
        "stages": [sitting(steps=9), sitting("probe"), sitting(steps=4, anew=True), sitting(steps=8)],
    }
    assert [s["steps"] for s in recorded(content, "train")] == [4, 8]
    assert [s["stage"] for s in recorded(content, "probe")] == ["probe"]
    assert recorded({}, "train") == []


def test_a_cpu_costs_its_cpu_time_and_a_gpu_the_time_on_the_wall():
    seconds = {"cpu_seconds": 30, "wall_seconds": 50}
    assert compute_seconds({"device": "cpu", **seconds}) == 30
    assert compute_seconds({"device": "cuda:1", **seconds}) == 50
    assert compute_seconds({"device": "cpu", "wall_seconds": 50}) == 50
    assert math.isnan(compute_seconds({"device": "cpu", "cpu_seconds": "long"}))


def test_a_trainings_cost_is_shared_out_by_steps():
    """30 s to step 60 and 10 s more to step 80: 40 s, half of them at step 40; 3e9 FLOPs are 5e7 a step."""
    stages = [
        sitting(steps=60, cpu_seconds=30, flops=3e9),
        sitting(steps=80, cpu_seconds=10, flops=4e9),
    ]
    assert training_cost({"stages": stages}, 80) == (40.0, 4e9)
    assert training_cost({"stages": stages}, 40) == (20.0, 2e9)
    assert training_cost({"stages": stages}, 200)[0] == 40.0  # never more than it took
    assert all(map(math.isnan, training_cost({"stages": [sitting("sample", images=5)]}, 80)))


def test_a_finished_training_costs_the_same_while_a_longer_one_goes_on():
    """100 s to step 1,000; then of 99,000 further steps 600 after 60 s: the cost fell to 1.6 s, a share of the target."""
    done = sitting(steps=1000, reached=1000, cpu_seconds=100, flops=1e9)
    longer = sitting(steps=100_000, reached=1600, cpu_seconds=60, flops=1e11, interrupted=True)
    assert training_cost({"stages": [done, longer]}, 1000) == (100.0, 1e9)
    assert training_cost({"stages": [done, longer]}, 1600)[0] == 160.0
    before = sitting(
        steps=100_000, cpu_seconds=60, flops=1e11, interrupted=True
    )  # which did not say how far it came
    assert (
        training_cost({"stages": [sitting(steps=1000, cpu_seconds=100, flops=1e9), before]}, 1000)[1] == 1e9
    )


def test_what_was_thrown_away_made_nothing(tmp_path):
    """A sampling of another batch size on another device was asked what the images were made with."""
    lost = sitting("sample", sample_batch=250, device="cuda", anew=True, interrupted=True)
    made = sitting("sample", sample_batch=50, anew=True)
    write_provenance(tmp_path, {"stages": [lost, made, sitting("score")]})
    assert [(s["stage"], s["device"]) for s in all_stages(tmp_path)] == [("sample", "cpu"), ("score", "cpu")]


def test_provenances_of_two_places_are_joined_by_when_a_sitting_began():
    """Two laboratories trained on from one folder, to 1,000 and to 2,000 steps."""
    common = sitting(began="1", steps=500, reached=500, cpu_seconds=50)
    short = sitting(began="2", steps=1000, reached=1000, cpu_seconds=50)
    long = sitting(began="3", steps=2000, reached=2000, cpu_seconds=150)
    one, other = {"machine": {"processor": "A"}, "stages": [common, short]}, {"stages": [common, long]}
    for sides in ((one, other), (other, one)):
        merged = join_provenances(*sides)
        assert sorted(s["began"] for s in merged["stages"]) == ["1", "2", "3"]
        assert merged["stages"][-1] == long
        assert merged["machine"] == {"processor": "A"}
    anew = {"stages": [long | {"anew": True}]}  # trained by itself
    for sides in ((one, anew), (anew, one)):
        assert training_cost(join_provenances(*sides), 2000)[0] == 150.0


def test_sampling_costs_are_per_thousand_images_of_the_sets_on_record(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    write_provenance(folders[0], {"stages": [sitting("sample", cpu_seconds=5, images=250)]})
    write_provenance(folders[1], {"stages": [sitting("score", cpu_seconds=5)]})
    assert sampling_cost(folders) == [20.0]


def test_processors_are_those_of_the_stages_and_else_the_machines():
    two = {"machine": {"processor": "A"}, "stages": [sitting(processor="B"), sitting()]}
    assert processors([two]) == ["A", "B"]
    assert processors([{"machine": {"processor": "A"}, "stages": []}, {}]) == ["?", "A"]


def test_the_weights_of_a_sample_set_are_those_of_its_last_drawing(tmp_path):
    assert sampled_weights(tmp_path) is None
    drawn = [sitting("sample", weights="old"), sitting("sample", weights="new"), sitting("score")]
    write_provenance(tmp_path, {"stages": drawn})
    assert sampled_weights(tmp_path) == "new"
