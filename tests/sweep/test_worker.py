"""A worker: without its driver, past its lease, with a stage that raises or leaves nothing."""

import os
import signal
from pathlib import Path

from sweep_rows import rows_with
from sweep_tools import GRID, artifacts, drive, start, wait_for, workers_of

from ltbench.sweep import status
from ltbench.sweep.ledger import Ledger


def test_workers_whose_driver_is_gone_stop_at_their_next_checkpoint(tmp_path):
    process = start(tmp_path, *GRID, slow=0.02)
    pids = wait_for(lambda: workers_of(tmp_path))
    process.kill()
    process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), seconds=10)
    outcomes = {
        a.end["outcome"] for name in Ledger(tmp_path).claimed() for a in Ledger(tmp_path).attempts(name)
    }
    assert "interrupted" in outcomes


def test_a_worker_paused_past_its_lease_publishes_nothing(tmp_path, undisturbed):
    process = start(tmp_path, *GRID, workers=1, slow=0.02)
    (pid,) = wait_for(lambda: workers_of(tmp_path))
    wait_for(lambda: list(tmp_path.glob("*/checkpoint.json")))
    os.kill(pid, signal.SIGSTOP)
    try:
        (held,) = [n for n in Ledger(tmp_path).claimed() if Ledger(tmp_path).attempts(n)[-1].end is None]
        rows = drive(tmp_path, GRID, lease=1.0)
        assert status.exit_code(rows) == 0
        assert artifacts(tmp_path) == undisturbed
        stamps = {
            p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file() and ".sweep" not in p.parts
        }
    finally:
        os.kill(pid, signal.SIGCONT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert "taken over by another worker" in output
    assert artifacts(tmp_path) == undisturbed
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}
    first, second = Ledger(tmp_path).attempts(held)
    assert (first.end["outcome"], second.end["outcome"]) == ("lost", "done")


def test_a_bug_waits_for_a_person_with_its_traceback(tmp_path):
    rows, (attempt,) = rows_with(tmp_path, 4)
    assert (rows[0].state, rows[0].kind, rows[0].message) == (
        "failed",
        "bug",
        "ZeroDivisionError: division by zero",
    )
    log = status.log_of([rows[0].task], Ledger(tmp_path))
    assert "about to fail" in log
    assert "Traceback" in log
    assert "attempt 1" in log
    again, attempts = rows_with(tmp_path, 4)
    assert len(attempts) == 1
    assert again[0].state == "failed"
    assert status.requeue_failed([rows[0].task], Ledger(tmp_path)) == [rows[0].task]
    _, attempts = rows_with(tmp_path, 4)
    assert [a.end["outcome"] for a in attempts] == ["failed", "requeued", "failed"]
    assert attempt.end["kind"] == "bug"


def test_a_stage_that_ends_without_its_artifact_has_failed(tmp_path):
    rows, _ = rows_with(tmp_path, 8)
    assert (rows[0].state, rows[0].kind) == ("failed", "bug")
    assert "without leaving its artifact" in rows[0].message
