"""One training by all of torchrun's processes: what each does, and what is as if one had done it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from tiny_runs import in_processes, make_spec, tensors, train_in

from ltbench import pipeline
from ltbench.cli import study as commands
from ltbench.environment import Settings
from ltbench.errors import DiskFull, Interrupted, ProcessLost, UsageError
from ltbench.files import read_json
from ltbench.runs.layout import folder_name
from ltbench.specs import ModelSpec, train_key
from ltbench.sweep import torchrun as together
from ltbench.sweep import worker
from ltbench.sweep.failures import Policy
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.status import survey, tasks_of
from ltbench.sweep.tasks import build_tasks

RUNS = [make_spec("coral", steps=3), make_spec("ddpm", steps=2)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def in_two(function, *arguments):
    environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    return in_processes(function, *arguments, count=2, environment=environment)


def ended(processes):
    for process in processes:
        process.join(120)
        process.kill()
        process.join()
    return [process.exitcode for process in processes]


def share(rank, runs, root):
    goes_on = together.train_together(runs, root, Settings(beat=0.2))
    left = [name for name in ("RANK", "WORLD_SIZE") if name in os.environ]
    (root / f"rank{rank}.json").write_text(json.dumps({"goes_on": goes_on, "left": left}))


def wait_for(path):
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    root = tmp_path_factory.mktemp("shared")
    assert ended(in_two(share, RUNS, root)) == [0, 0]
    return root


def share_with_another_view_of_the_disk(rank, runs, root):
    if rank:  # a network file system may show a finished file to one host sooner than to another
        pipeline.is_done = lambda stage, _out: stage.spec == runs[0]
    share(rank, runs, root)


@pytest.mark.parametrize("spec", RUNS, ids=["coral", "ddpm"])
def test_two_processes_train_what_one_does(shared, spec, tmp_path):
    alone = tensors(train_in(tmp_path, spec), spec.train.steps)
    both = tensors(shared / folder_name(spec), spec.train.steps)
    assert both.keys() == alone.keys()
    for name, value in alone.items():
        torch.testing.assert_close(both[name], value, atol=2e-5, rtol=1e-4, msg=name)


def test_the_first_process_claims_records_and_goes_on_alone(shared):
    first, second = (json.loads((shared / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first == {"goes_on": True, "left": []}
    assert second == {"goes_on": False, "left": []}
    for spec in RUNS:
        (stage,) = read_json(shared / folder_name(spec) / "provenance.json")["stages"]
        assert stage["processes"] == 2
        assert stage["steps"] == spec.train.steps
    ledger = Ledger(shared)
    claims = [ledger.attempts(task.resource) for task in build_tasks(RUNS) if task.stage.kind == "train"]
    assert [len(attempts) for attempts in claims] == [1, 1]


def test_what_is_trained_is_not_trained_again(shared):
    before = {path: path.stat().st_mtime_ns for path in shared.rglob("*.safetensors")}
    assert ended(in_two(share, RUNS, shared)) == [0, 0]
    assert {path: path.stat().st_mtime_ns for path in shared.rglob("*.safetensors")} == before


def test_the_first_process_alone_says_what_is_left(tmp_path):
    assert ended(in_two(share_with_another_view_of_the_disk, RUNS, tmp_path)) == [0, 0]
    for spec in RUNS:
        alone = tensors(train_in(tmp_path / "alone" / spec.method.name, spec), spec.train.steps)
        both = tensors(tmp_path / folder_name(spec), spec.train.steps)
        for name, value in alone.items():
            torch.testing.assert_close(both[name], value, atol=2e-5, rtol=1e-4, msg=name)


def test_a_failure_ends_all_processes_and_is_recorded(tmp_path):
    spec = make_spec("ddpm", steps=60, learning_rate=1e30)
    codes = ended(in_two(share, [spec], tmp_path))
    assert 0 not in codes
    assert not (tmp_path / "rank0.json").exists()
    (task,) = [task for task in build_tasks([spec]) if task.stage.kind == "train"]
    assert "infinite or NaN" in json.dumps(
        [vars(a) for a in Ledger(tmp_path).attempts(task.resource)], default=str
    )


ENDLESS = make_spec("ddpm", steps=100_000)


def fail_along(rank, runs, root):
    try:
        share(rank, runs, root)
    except ProcessLost:
        os._exit(7)


def test_a_killed_process_is_told_as_one_and_the_same_command_goes_on_together(tmp_path):
    """Its peer's "Connection closed by peer" was a bug of ours, tried by nobody again, in a folder of no sweep."""
    first, second = in_two(fail_along, [ENDLESS], tmp_path)
    wait_for(tmp_path / folder_name(ENDLESS) / "train.csv")
    os.kill(second.pid, signal.SIGKILL)
    assert ended([first, second]) == [1, -signal.SIGKILL]
    (row, *_) = survey(tasks_of(tmp_path), Ledger(tmp_path))
    assert (row.kind, row.attempt) == ("killed", 1)
    assert row.message.startswith("another process of this training was ended")


def test_a_killed_leader_is_told_to_those_who_follow(tmp_path):
    first, second = in_two(fail_along, [ENDLESS], tmp_path)
    wait_for(tmp_path / folder_name(ENDLESS) / "train.csv")
    os.kill(first.pid, signal.SIGKILL)
    assert ended([first, second]) == [-signal.SIGKILL, 7]


def test_a_failure_that_was_mended_is_tried_again_by_all(tmp_path):
    """Given up after three full disks, the training was done again by one process alone, and unsaid."""
    (spec,) = RUNS[1:]
    task = next(task for task in build_tasks([spec]) if task.stage.kind == "train")
    ledger = Ledger(tmp_path)
    for _ in range(3):
        lease = ledger.claim(task, after=ledger.standing(task).last)
        lease.end("failed", kind="disk full", message="no space left")
    assert ledger.standing(task).failed
    assert ended(in_two(share, [spec], tmp_path)) == [0, 0]
    (stage,) = read_json(tmp_path / folder_name(spec) / "provenance.json")["stages"]
    assert stage["processes"] == 2


def test_a_training_that_cannot_be_claimed_is_left_to_no_process_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(Ledger, "claim", lambda *_args, **_kwargs: (_ for _ in ()).throw(DiskFull("full")))
    monkeypatch.setattr(worker, "policy", lambda _kind: Policy(1, 0.0, True, ""))
    assert ended(in_two(share, RUNS[1:], tmp_path)) == [0, 0]
    assert json.loads((tmp_path / "rank0.json").read_text())["goes_on"] is False


LONG = make_spec("coral", steps=200)


def train_past(_rank, folder, step):
    seen = [0]
    with contextlib.suppress(Interrupted):
        train_in(folder, LONG, progress=lambda s: seen.append(s["step"]), stop=lambda: seen[-1] >= step)


def test_a_training_goes_on_with_another_number_of_processes_and_back(tmp_path):
    folder, steps = tmp_path / "by turns", []
    for started, past in ((in_two, 50), (in_processes, 100), (in_two, LONG.train.steps)):
        assert set(ended(started(train_past, folder, past))) == {0}
        steps.append(torch.load(folder / "checkpoint.pt", weights_only=True)["step"])
    assert steps == [100, 151, 200]
    alone = train_in(tmp_path / "alone", LONG)
    both, one = tensors(folder, 200), tensors(alone, 200)
    for name, value in one.items():
        torch.testing.assert_close(both[name], value, atol=1e-3, rtol=1e-2, msg=name)
    logs = [(place / "train.csv").read_text().splitlines() for place in (folder, alone)]
    assert [line.partition(",")[0] for line in logs[0]] == [line.partition(",")[0] for line in logs[1]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_a_stop_is_heard_by_the_first_and_obeyed_by_all(tmp_path, number):
    spec = make_spec("ddpm", steps=100_000)
    processes = in_two(share, [spec], tmp_path)
    wait_for(tmp_path / folder_name(spec) / "train.csv")
    for process in processes:  # as torchrun passes it on to all
        os.kill(process.pid, number)
    assert ended(processes) == [0, 0]
    assert json.loads((tmp_path / "rank0.json").read_text())["goes_on"] is False
    state = torch.load(tmp_path / folder_name(spec) / "checkpoint.pt", weights_only=True)
    assert state["step"] % 50 == 0
    assert 0 < state["step"] < 100_000


def test_only_the_first_process_plans_and_prints(tmp_path, monkeypatch, capsys):
    called = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(together, "train_together", lambda runs, _root, _settings: called.append(len(runs)))
    flags = {"dataset": "digits_lt"}
    commands.run_study(None, [], flags, tmp_path / "runs", None, "cpu", "auto", False)
    assert called == [4]
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UsageError, match="without torchrun"):
        commands.run_study(None, [], flags, tmp_path, None, "cpu", "auto", False, slurm="time=1h")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(together, "train_together", lambda *_: False)
    with pytest.raises(Interrupted, match="run the same command"):
        commands.run_study(None, ["model.size=tiny"], flags, tmp_path, None, "cpu", "1", True)


@pytest.mark.slow  # starts five interpreters
def test_torchrun_trains_together_and_samples_and_scores_once(tmp_path):
    sets = [
        "train.steps=3",
        "train.warmup_steps=0",
        "sample.steps=2",
        "sample.per_class=4",
        "score.metrics=frechet",
    ]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node=2",
        "--master_port",
        free_port(),
    ]
    command += [
        "-m",
        "ltbench",
        "run",
        "-d",
        "digits_lt",
        "-m",
        "coral",
        "--out",
        str(tmp_path),
        "--device",
        "cpu",
    ]
    for entry in sets:
        command += ["--set", entry]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert done.returncode == 0, done.stderr
    (scores,) = tmp_path.glob("*/samples/*/scores.csv")
    (training,) = tmp_path.glob("digits_lt-*")
    stages_done = read_json(training / "provenance.json")["stages"]
    assert [(s["stage"], s["processes"]) for s in stages_done] == [("train", 2)]
    assert "3 of 3 stages" in done.stdout
    assert scores.stat().st_size


def test_a_network_too_wide_for_its_norms_is_refused(tmp_path):
    spec = make_spec().model_copy(update={"model": ModelSpec(size="tiny", widths=(12, 24))})
    assert train_key(spec) != train_key(make_spec())
    with pytest.raises(UsageError, match="multiple of 8"):
        train_in(tmp_path, spec)
