"""Local sweeps with real processes over stand-in stages: kills, crashes, two drivers, a full disk, a pause.

Whatever happens on the way, every result is there exactly once and equals an undisturbed sweep's.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sweep_driver import STUB
from sweep_rows import rows_with
from sweep_tools import GRID, artifacts, done_once, drive, runs_of, start, wait_for, workers_of, wrong

from ltbench.environment import Settings
from ltbench.errors import UsageError
from ltbench.sweep import local, status, worker
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.local import run_local, slots


def test_a_sweep_makes_every_result_once_and_a_second_one_nothing(tmp_path, undisturbed):
    rows = drive(tmp_path, GRID)
    assert status.counts(rows) == {"done": len(rows)}
    assert len(rows) == 3 * (1 + 2 + 2 + 1)
    assert artifacts(tmp_path) == undisturbed
    done_once(tmp_path)
    before = sorted((tmp_path / ".sweep" / "claims").rglob("*"))
    assert status.exit_code(drive(tmp_path, GRID)) == 0
    assert sorted((tmp_path / ".sweep" / "claims").rglob("*")) == before


def test_a_sweep_runs_in_a_thread_where_no_signal_can_be_heard(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor(1) as pool:
        rows = pool.submit(drive, tmp_path, GRID).result(timeout=300)
    assert status.counts(rows) == {"done": len(rows)}
    assert signal.getsignal(signal.SIGINT) is before


def kill_while_running(root, process, rng, kill_driver):
    """Kill a worker, and perhaps the driver, at a random moment."""
    time.sleep(rng.uniform(0.0, 0.3))
    for pid in workers_of(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        break
    if kill_driver:
        process.kill()
        process.wait()


def disturbed_sweep(root, kills, seed):
    """Run the grid, killing workers and drivers; return how many kills there were."""
    rng = random.Random(seed)
    for turn in range(kills):
        process = start(root, *GRID)
        wait_for(lambda process=process: workers_of(root) or process.poll() is not None)
        kill_while_running(root, process, rng, kill_driver=turn % 2 == 0)
        if process.poll() is None and turn % 2:
            process.communicate()
    process = start(root, *GRID, slow=0.002)
    output, _ = process.communicate()
    return process.returncode, output


def test_killed_workers_and_drivers_lose_nothing(tmp_path, undisturbed):
    code, output = disturbed_sweep(tmp_path, kills=3, seed=0)
    assert code == 0, output
    assert artifacts(tmp_path) == undisturbed
    done_once(tmp_path)


def test_two_drivers_share_the_work_and_double_nothing(tmp_path, undisturbed):
    # slow enough that a machine under load starts the second before the first has done everything
    first, second = start(tmp_path, *GRID, slow=0.02), start(tmp_path, *GRID, slow=0.02)
    outputs = [process.communicate()[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert artifacts(tmp_path) == undisturbed
    done_once(tmp_path)
    assert all("done: " in output for output in outputs)


def test_ctrl_c_once_stops_softly_and_the_same_command_goes_on(tmp_path, undisturbed):
    process = start(tmp_path, *GRID, slow=0.01)
    wait_for(lambda: len(list(tmp_path.glob("*/checkpoint.json"))) >= 1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130, output
    assert "Ctrl-C again" in output
    assert "run the same command again" in output
    ends = [a.end for name in Ledger(tmp_path).claimed() for a in Ledger(tmp_path).attempts(name)]
    assert {"interrupted"} <= {end["outcome"] for end in ends} <= {"interrupted", "done"}
    assert status.exit_code(drive(tmp_path, GRID)) == 0
    assert artifacts(tmp_path) == undisturbed


def test_ctrl_c_twice_stops_at_once(tmp_path, undisturbed):
    process = start(tmp_path, *GRID, slow=1.0)
    pids = wait_for(lambda: workers_of(tmp_path))
    process.send_signal(signal.SIGINT)
    wait_for(lambda: "Ctrl-C again" in process.stdout.readline())
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert time.monotonic() - asked < 5
    assert process.returncode == 130
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert status.exit_code(drive(tmp_path, GRID)) == 0
    assert artifacts(tmp_path) == undisturbed


def test_a_stage_that_kills_its_worker_is_tried_again_and_then_waits_while_others_finish(tmp_path):
    rows = drive(tmp_path, ["seeds=0,1", "train.steps=10", "train.learning_rate=0.0002,0.000201"])
    assert status.counts(rows) == {"done": 6, "queued": 4, "failed": 2}
    failed = [row for row in rows if row.state == "failed"]
    for row in failed:
        assert (row.kind, row.attempt) == ("killed", 5)
        assert "SIGKILL" in row.message
    assert status.exit_code(rows) == 1


def test_a_stage_killed_once_is_done_the_second_time(tmp_path):
    rows, (first, second) = rows_with(tmp_path, 2)
    assert status.exit_code(rows) == 0
    assert (first.end["kind"], second.end["outcome"]) == ("killed", "done")


def test_out_of_memory_is_tried_again_in_a_new_process(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "WORKER", STUB)
    process = start(tmp_path, "seeds=0", "train.steps=10", wrong(3))
    wait_for(lambda: list(tmp_path.glob(".sweep/claims/*/1.end")))
    process.send_signal(signal.SIGINT)  # not to wait for the delay of ten seconds
    process.communicate(timeout=20)
    rows = status.survey(status.tasks_of(tmp_path), Ledger(tmp_path))
    assert (rows[0].state, rows[0].kind) == ("queued", "out of memory")
    monkeypatch.setenv("STUB_DELAY", "0.1")
    assert status.exit_code(drive(tmp_path, ["seeds=0", "train.steps=10", wrong(3)])) == 0
    first, second = Ledger(tmp_path).attempts(rows[0].task.resource)
    assert first.owner["pid"] != second.owner["pid"]


def test_data_that_were_missing_are_looked_for_again_by_the_next_run(tmp_path):
    rows, _ = rows_with(tmp_path, 6)
    assert (rows[0].state, rows[0].kind) == ("failed", "data missing")
    (tmp_path / "the-data").write_text("")
    rows, attempts = rows_with(tmp_path, 6)
    assert status.exit_code(rows) == 0
    assert [a.end["outcome"] for a in attempts] == ["failed", "requeued", "done"]


def test_a_full_disk_is_a_failure_with_a_name_and_nothing_is_half_written(tmp_path, undisturbed, monkeypatch):
    process = start(tmp_path, *GRID, STUB_FILE_LIMIT="5000")  # bytes a file: images take more
    wait_for(lambda: len(list(tmp_path.glob(".sweep/claims/*/1.end"))) >= 12)  # what can be done is done
    process.send_signal(signal.SIGINT)  # not to wait for the delay of ten seconds
    process.communicate(timeout=20)
    rows = status.survey(status.tasks_of(tmp_path), Ledger(tmp_path))
    full = [row for row in rows if row.kind == "disk full"]
    assert {row.task.stage.kind for row in full} == {"sample"}
    assert len(full) == 6
    assert all(row.state == "queued" and "free some space" in row.message for row in full)
    assert status.counts(rows)["done"] == 6  # trainings and probes
    assert not list(tmp_path.rglob("images.npy"))
    assert not list(tmp_path.rglob(".*.tmp"))
    monkeypatch.setenv("STUB_DELAY", "0.1")
    assert status.exit_code(drive(tmp_path, GRID)) == 0
    assert artifacts(tmp_path) == undisturbed


def test_workers_that_cannot_start_are_one_clear_error(tmp_path):
    with pytest.raises(local.WorkerBroken, match=r"\(exit code 1\): .*no-such-module"):
        run_local(
            runs_of([]),
            tmp_path,
            Settings(),
            "1",
            command=(sys.executable, "-c", "import sys; sys.exit('no-such-module')"),
        )


def test_a_worker_imports_nothing_that_lies_in_the_current_folder(tmp_path, monkeypatch):
    for name in ("random.py", "ltbench/__init__.py", "torch.py"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("raise SystemExit('a file of the current folder was run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    plan = status.save_plan(tmp_path / "out", status.SavedPlan(()))
    command = [*local.WORKER, *worker.arguments(tmp_path / "out", plan, Settings())]
    done = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b'{"event": "ready"}\n'


@pytest.mark.parametrize(
    "name", ["checkpoint.json", "scored.json", "weights/*", "samples/*/images.npy", "train.csv"]
)
@pytest.mark.usefixtures("undisturbed")
def test_a_truncated_file_is_named_and_once_deleted_made_again(tmp_path, name):
    small = ["seeds=0", "guidance=0", "train.steps=40", "score.probes=true"]
    process = start(tmp_path, *small, workers=1)
    wait_for(
        lambda: [p for p in tmp_path.glob(f"*/{name}") if p.stat().st_size] or process.poll() is not None
    )
    process.kill()
    process.wait()
    wait_for(lambda: not workers_of(tmp_path))
    for path in tmp_path.glob(f"*/{name}"):
        os.truncate(path, path.stat().st_size // 2)
    rows = drive(tmp_path, small, workers=1)
    if status.exit_code(rows):
        for path in tmp_path.glob(f"*/{name}"):
            path.unlink()
        status.requeue_failed([row.task for row in rows], Ledger(tmp_path))
        rows = drive(tmp_path, small, workers=1)
    assert status.exit_code(rows) == 0


def test_slots_pin_gpus_or_share_out_cores(monkeypatch):
    assert [slot.device for slot in slots("3", "cpu", 1, width=9)] == ["cpu"] * 3
    assert len(slots("3", "cpu", 1, width=2)) == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(os, "sysconf", lambda _: 1 << 20)
    assert len(slots("auto", "cpu", 2, width=99)) == 3
    assert slots("auto", "cpu", 2, width=99)[0].environment["OMP_NUM_THREADS"] == "2"
    monkeypatch.setattr(local, "_gpus", lambda: ["2", "GPU-7"])
    pins = [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots("3", "cuda", 1, width=99)]
    assert pins == ["2", "GPU-7", "2"]
    assert len(slots("auto", "cuda", 1, width=99)) == 2
    assert slots("auto", "cuda:1", 1, width=99)[0].device == "cuda:1"
    assert [slot.device for slot in slots("auto", "mps", 1, width=99)] == ["mps"]
    monkeypatch.setattr(os, "sysconf_names", {"SC_PHYS_PAGES": 0, "SC_PAGE_SIZE": 0})  # as on macOS
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1 << 20, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert 1 <= len(slots("auto", "cpu", 1, width=99)) <= 6
    for wrong_number in ("0", "-1", "two", "1.5"):
        with pytest.raises(UsageError, match="--workers takes auto or a whole number"):
            slots(wrong_number, "cpu", 1, width=9)
