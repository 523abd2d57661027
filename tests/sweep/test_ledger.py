"""The state on disk: claims, heartbeats, take-overs, verdicts, tasks, failure classes."""

import errno
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from ltbench import errors
from ltbench.files import write_text
from ltbench.runs.digests import recording
from ltbench.study.file import load_study
from ltbench.sweep import ledger as state
from ltbench.sweep import status
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.standing import standing
from ltbench.sweep.tasks import build_tasks


def test_of_many_who_claim_at_once_one_succeeds(tmp_path, task):
    ledgers = [Ledger(tmp_path) for _ in range(8)]
    for turn in range(1, 20):
        start, won = threading.Barrier(8), []

        def race(ledger, start=start, won=won):
            start.wait()
            if lease := ledger.claim(task):
                won.append(lease)

        threads = [threading.Thread(target=race, args=(ledger,)) for ledger in ledgers]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert [lease.number for lease in won] == [turn]
        won[0].end("interrupted")


@pytest.mark.parametrize("anew", [False, True])
def test_in_a_folder_that_was_moved_away_nothing_is_claimed_or_made_again(tmp_path, task, anew):
    root = tmp_path / "runs"
    root.mkdir()
    ledger = Ledger(root)
    lease = ledger.claim(task)
    root.rename(tmp_path / "moved")
    if anew:
        root.mkdir()
    with pytest.raises(
        errors.StorageError, match=r"runs was moved or deleted while it was worked in: put it back"
    ):
        ledger.claim(task)
    with pytest.raises(errors.ClaimLost):
        write_text(root / "run" / "train.csv", "step\n", lease.check)
    with pytest.raises(errors.ClaimLost), recording(root / "run" / "images.npy", lease.check):
        pass
    assert list(root.iterdir() if anew else tmp_path.iterdir()) == ([] if anew else [tmp_path / "moved"])


def test_a_claim_says_who_holds_it_and_ends_with_an_outcome(tmp_path, task):
    ledger = Ledger(tmp_path)
    lease = ledger.claim(task)
    lease.beat({"step": 3, "total": 20})
    (attempt,) = ledger.attempts(task.resource)
    assert (attempt.number, attempt.task, attempt.end) == (1, task.id, None)
    assert attempt.owner["pid"] == os.getpid()
    assert attempt.owner["host"]
    assert attempt.progress == {"beat": 1, "step": 3, "total": 20}
    assert Ledger(tmp_path).claim(task) is None
    lease.end("failed", kind="bug", message="x" * 10_000)
    (attempt,) = ledger.attempts(task.resource)
    assert attempt.end["outcome"] == "failed"
    assert attempt.end["message"].startswith("xxx")
    assert Ledger(tmp_path).claim(task).number == 2


def dead_owner(tmp_path, task):
    """Claim the task in a process that ends without a word."""
    code = (
        "import sys; from pathlib import Path; from ltbench.sweep.ledger import Ledger\n"
        "from ltbench.sweep.status import tasks_of\n"
        "import os; assert Ledger(Path(sys.argv[1])).claim(tasks_of(Path(sys.argv[1]))[0]); os._exit(9)"
    )
    status.save_plan(tmp_path, status.SavedPlan((task.stage.spec,)))
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9


def test_a_dead_process_of_this_machine_is_replaced_at_once(tmp_path, task):
    dead_owner(tmp_path, task)
    ledger = Ledger(tmp_path, lease=1000)
    assert status.survey([task], ledger)[0].state == "stale"
    lease = ledger.claim(task)
    assert lease.number == 2
    verdict = standing(task.id, ledger.attempts(task.resource))
    assert (verdict.failed, verdict.failures, verdict.kind) == (False, 1, "killed")


def foreign(tmp_path, task, **owner):
    """Make the current claim look like another machine's."""
    path = Ledger(tmp_path).folder / task.resource / "1.claim"
    content = json.loads(path.read_text())
    content["owner"].update({"host": "elsewhere", "boot": "another", **owner})
    path.write_text(json.dumps(content))


def test_another_machines_claim_is_stale_only_after_a_lease_of_silence(tmp_path, task, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(state.time, "monotonic", lambda: clock[0])
    lease = Ledger(tmp_path).claim(task)
    foreign(tmp_path, task, pid=1)
    ledger = Ledger(tmp_path, lease=60)
    for second in range(0, 50, 10):
        clock[0] = second
        assert ledger.claim(task) is None
    lease.beat({})  # a sign of life: the count starts anew
    for second in range(50, 110, 10):
        clock[0] = second
        assert ledger.claim(task) is None, second
        assert Ledger(tmp_path, lease=60).claim(task) is None  # one who just came cannot know
    clock[0] = 120
    assert ledger.claim(task).number == 2


def test_an_observer_that_slept_concludes_nothing_from_waking(tmp_path, task, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(state.time, "monotonic", lambda: clock[0])
    Ledger(tmp_path).claim(task)
    foreign(tmp_path, task)
    ledger = Ledger(tmp_path, lease=60)
    assert ledger.claim(task) is None
    clock[0] = 1e6
    assert ledger.claim(task) is None


def test_who_was_taken_over_may_not_publish(tmp_path, task):
    lease = Ledger(tmp_path).claim(task)
    lease.check()
    foreign(tmp_path, task)
    ledger = Ledger(tmp_path, lease=0.0)
    ledger.claim(task)
    new = ledger.claim(task)
    assert new.number == 2
    with pytest.raises(errors.ClaimLost, match=r"attempt 1 .* taken over"):
        lease.check()
    lease.beat({})
    new.check()


def test_a_creator_with_an_old_listing_does_not_hold_the_claim(tmp_path, task, monkeypatch):
    ledger = Ledger(tmp_path)
    for _ in range(2):
        ledger.claim(task).end("interrupted")
    real, calls = state._numbers, []

    def stale_once(folder):
        calls.append(folder)
        return {} if len(calls) == 1 else real(folder)

    (ledger.folder / task.resource / "1.claim").unlink()
    monkeypatch.setattr(state, "_numbers", stale_once)
    assert ledger.claim(task) is None
    assert max(real(ledger.folder / task.resource)) == 2


def test_a_claim_cut_short_by_a_crash_is_held_until_the_lease_is_over(tmp_path, task):
    folder = Ledger(tmp_path).folder / task.resource
    folder.mkdir(parents=True)
    (folder / "1.claim").write_bytes(b"")
    ledger = Ledger(tmp_path, lease=0.0)
    assert status.survey([task], Ledger(tmp_path))[0].state == "running"
    assert ledger.claim(task) is None
    assert ledger.claim(task).number == 2


def test_the_end_of_an_attempt_is_written_on_a_full_disk(tmp_path, task):
    lease = Ledger(tmp_path).claim(task)
    size = (lease.folder / "1.beat").stat().st_size
    lease.beat({"step": 1})
    lease.end("failed", kind="disk full", message="m" * 100_000)
    assert (lease.folder / "1.end").stat().st_size == size  # no block more than the claim took
    assert standing(task.id, Ledger(tmp_path).attempts(task.resource)).kind == "disk full"


@pytest.mark.parametrize("letter", ["m", "ф", "🐈", "\udcff", '"', "\n"])  # 1 to 12 bytes each in JSON
def test_a_long_message_in_any_script_is_cut_and_counts(tmp_path, task, letter):
    """Cut as bytes it was no JSON any more: the failure counted as none, and the stage was tried again for ever."""
    lease = Ledger(tmp_path).claim(task)
    lease.beat({"step": 7, "total": 20})
    lease.end("failed", kind="bug", message=letter * 5000, seconds=1.5)
    (attempt,) = Ledger(tmp_path).attempts(task.resource)
    message = attempt.end.pop("message")
    assert message == letter * len(message)
    assert len(json.dumps({**attempt.end, "message": message})) in range(4096 - 12, 4097)
    assert (attempt.kind, attempt.end["seconds"], attempt.step) == ("bug", 1.5, 7)
    assert standing(task.id, [attempt]).failed


@pytest.mark.parametrize("content", [b"", b"{}", b'{"outcome": "failed", "mess', b"\xff"])
def test_an_outcome_that_cannot_be_read_is_a_failure(tmp_path, task, content):
    ledger = Ledger(tmp_path)
    for attempt in range(1, 6):
        assert not ledger.standing(task).failed
        ledger.claim(task).end("failed", kind="bug", message="x")
        (ledger.folder / task.resource / f"{attempt}.end").write_bytes(content)
    now = ledger.standing(task)
    assert (now.state, now.kind, now.failures) == ("failed", "killed", 5)
    assert "5.end cannot be read" in now.message
    assert ledger.requeue(task)
    assert ledger.standing(task).state == "queued"


def test_a_claim_that_cannot_be_written_is_no_claim(tmp_path, task, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state, "_in_place", full)
    with pytest.raises(errors.DiskFull, match="free some space"):
        Ledger(tmp_path).claim(task)
    monkeypatch.undo()
    assert Ledger(tmp_path).claim(task).number == 1


def test_a_judgement_that_is_out_of_date_claims_nothing(tmp_path, task):
    """Two workers list before the first attempt; one of them claims and fails before the other claims."""
    ledger = Ledger(tmp_path)
    ledger.claim(task, after=0).end("failed", kind="bug", message="x")
    assert ledger.claim(task, after=0) is None
    assert [attempt.number for attempt in ledger.attempts(task.resource)] == [1]
    assert ledger.claim(task, after=ledger.standing(task).last).number == 2


def test_a_heartbeat_file_read_while_written_is_no_error(tmp_path, task):
    lease = Ledger(tmp_path).claim(task)
    stop = threading.Event()

    def beat():
        while not stop.is_set():
            lease.beat({"step": time.monotonic(), "total": 1})

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        for _ in range(300):
            (row,) = status.survey([task], Ledger(tmp_path))
            assert row.state == "running"
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "content",
    [b"null", b"[]", b'{"task": 5, "owner": 7}', b'{"owner": {"pid": "x", "boot": null}}', b"[" * 100_000, b"\xff",
     b'{"task": null, "owner": []}'],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["claim", "beat", "end"])
def test_ledger_files_with_any_content_are_read(tmp_path, content, suffix):
    task = build_tasks(load_study(None, ["dataset=digits_lt"]).runs)[0]
    lease = Ledger(tmp_path).claim(task)
    if suffix == "end":
        lease.end("failed", kind="bug", message="x")
    (lease.folder / f"1.{suffix}").write_bytes(content)
    ledger = Ledger(tmp_path, lease=0.0)
    status.closing_lines(status.survey([task], ledger), tmp_path, ledger)
    assert status.survey([task], ledger)[0].state in ("queued", "running", "stale")
