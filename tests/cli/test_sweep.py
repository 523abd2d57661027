"""`ltbench status`, `logs` and `retry` over a sweep with one failure, as a person types them."""

import os
import shutil
from dataclasses import replace

import pytest
from sweep_driver import STUB
from sweep_tools import drive, runs_of, start, wait_for, workers_of, wrong

from ltbench.cli.app import main
from ltbench.environment import Settings
from ltbench.sweep import local
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.status import plans_of

SETS = ["seeds=0", "train.steps=10", f"{wrong(0)},{wrong(4).partition('=')[2]}"]  # one training has a bug


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    drive(folder, SETS)
    return folder


def say(capsys, *arguments):
    """Run a command; return its exit code, output and errors."""
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as left:
        code = left.code or 0
    out, err = capsys.readouterr()
    return code, out, err


def test_status_says_once_what_failed_and_what_to_type(root, capsys):
    code, out, _ = say(capsys, "status", "--out", root)
    assert code == 1
    assert say(capsys, "status", root)[:2] == (
        code,
        out,
    )  # the folder may be named as in `report` and `evaluate`
    assert "3 done, 2 queued, 1 failed of 6 stages" in out
    assert out.count("(bug, attempt 1): ZeroDivisionError") == out.count("ZeroDivisionError") == 1
    assert "Traceback" not in out
    assert f"ltbench retry --failed --out {root}" in out
    _, out, _ = say(capsys, "status", "--all", "--out", root)
    assert "which failed" in out
    assert out.count("done    ") == 3


def test_status_and_retry_of_a_study_count_its_stages_alone(root, tmp_path, capsys):
    """`run STUDY.toml --out RUNS` teaches `status STUDY.toml --out RUNS`: it said that no sweep was started in STUDY.toml."""
    study = tmp_path / "one.toml"
    base = "[train]\nsteps = 10\n[data]\ndataset = 'digits_lt'\nimbalance_ratio = 0.1\n"
    study.write_text(f"method = 'ddpm'\ntrain_seed = 0\n{base}")
    code, out, err = say(capsys, "status", study, "--out", root)
    assert "no sweep" not in err
    assert out.splitlines()[-1] == "run the same command again to go on"
    assert "3 queued of 3 stages" in out
    assert code == 0
    code, out, err = say(capsys, "status", study, "--out", tmp_path / "nowhere")
    assert code == 2
    assert f"no sweep was started in {tmp_path / 'nowhere'}" in err
    code, out, _ = say(capsys, "retry", study, "--failed", "--no-start", "--out", root)
    assert (code, out.splitlines()[0]) == (0, "0 failed stages will be tried again")
    code, _, err = say(capsys, "status", tmp_path / "absent.toml", "--out", root)
    assert code == 2
    assert "no study file" in err
    (tmp_path / "demo").mkdir()  # a folder of that name is a folder of runs
    assert "demo" in say(capsys, "status", tmp_path / "demo")[2]


def test_status_of_a_running_sweep_names_host_pid_and_step(tmp_path, capsys):
    process = start(tmp_path, "seeds=0", "train.steps=400", workers=1, slow=0.02)
    try:
        (pid,) = wait_for(lambda: workers_of(tmp_path))
        ledger = Ledger(tmp_path)
        wait_for(lambda: any(a.progress.get("total") for n in ledger.claimed() for a in ledger.attempts(n)))
        code, out, _ = say(capsys, "status", "--out", tmp_path)
        assert code == 0
        assert f"pid {pid}" in out
        assert "/400" in out
        assert "heartbeat" in out
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not workers_of(tmp_path))


def test_watching_ends_when_nothing_can_go_on(root, capsys):
    code, out, _ = say(capsys, "status", "--watch", "--out", root)
    assert code == 1
    assert "1 failed of 6 stages" in out


def test_logs_print_what_the_stage_printed(root, capsys):
    _, out, _ = say(capsys, "status", "--out", root)
    run = out.partition("ltbench logs ")[2].split()[0]
    _, out, _ = say(capsys, "logs", run, "--out", root)
    assert "about to fail" in out
    assert "Traceback" in out
    assert "failed (bug)" in out
    _, out, _ = say(capsys, "logs", run[-8:], "--out", root, "-n", "1")
    assert "about to fail" not in out
    assert "ZeroDivisionError" in out


def test_logs_wait_for_no_pipe_and_say_where_there_are_none(root, tmp_path, capsys):
    copy = shutil.copytree(root, tmp_path / "copy")
    _, out, _ = say(capsys, "status", "--out", copy)
    run = out.partition("ltbench logs ")[2].split()[0]
    for log in (copy / ".sweep" / "claims").rglob("*.log"):
        log.unlink()
        os.mkfifo(log)
    _, out, _ = say(capsys, "logs", run, "--out", copy)
    assert "failed (bug)" in out
    shutil.rmtree(copy / ".sweep" / "claims")
    code, out, _ = say(capsys, "logs", run, "--out", copy)
    assert (code, out.strip()) == (0, f"no attempt at {run} is recorded in {copy}")


def test_retry_tries_again_what_failed(root, capsys, monkeypatch):
    code, _, err = say(capsys, "retry", "--out", root)
    assert code == 2
    assert "ltbench retry --failed" in err
    code, out, _ = say(capsys, "retry", "--failed", "--no-start", "--out", root)
    assert code == 0
    assert "1 failed stages will be tried again" in out
    monkeypatch.setattr(local.run_local, "__defaults__", (*local.run_local.__defaults__[:-1], STUB))
    drive(root, SETS)  # a running driver takes it up; it fails again
    code, out, _ = say(capsys, "retry", "--failed", "--out", root)
    assert code == 1
    assert "1 failed" in out
    assert [
        a.end["outcome"] for n in Ledger(root).claimed() for a in Ledger(root).attempts(n) if a.number > 1
    ] == [
        "requeued",
        "failed",
        "requeued",
        "failed",
    ]


def test_retry_runs_each_stage_as_its_plan_says_and_with_the_flags_given(tmp_path, capsys, monkeypatch):
    """All ran as the newest plan says, and --data-root was ignored."""
    first = Settings(beat=0.1, lease=2.0, sample_batch=50, data_root=tmp_path / "a")
    second = replace(first, sample_batch=60, data_root=tmp_path / "b")
    for seed, settings in ((0, first), (1, second)):
        runs = runs_of([f"seeds={seed}", "train.steps=10", "guidance=0,1", wrong(6)])  # its data are missing
        local.run_local(runs, tmp_path, settings, "1", command=STUB)
    monkeypatch.setattr(local.run_local, "__defaults__", (*local.run_local.__defaults__[:-1], STUB))

    def recorded():
        plans = [plan for plan in plans_of(tmp_path) if plan.title == "retry"]
        return {run.train_seed: plan.settings for plan in plans for run in plan.runs}

    code, _, _ = say(capsys, "retry", "--failed", "--out", tmp_path)
    assert code == 1
    assert recorded() == {0: first, 1: second}
    (tmp_path / "the-data").touch()
    code, out, _ = say(capsys, "retry", "--failed", "--out", tmp_path, "--data-root", tmp_path / "c")
    assert (code, "10 done of 10 stages" in out) == (0, True)
    assert recorded() == {
        0: replace(first, data_root=tmp_path / "c"),
        1: replace(second, data_root=tmp_path / "c"),
    }


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["status", "--out", "nowhere"], "no sweep was started in nowhere"),
        (["logs", "no-such-run"], "no sweep was started"),
        (["reproduce", "nowhere"], "nowhere is no training"),
        (["reproduce", "nowhere", "--tolerance", "0"], "--tolerance 0 must be above 0"),
    ],
)
def test_mistakes_are_one_sentence(arguments, part, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, err = say(capsys, *arguments)
    assert code == 2
    assert part in err
    assert len(err.strip().splitlines()) == 1
