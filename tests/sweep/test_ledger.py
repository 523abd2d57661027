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
from ltbench.specs import RunSpec
from ltbench.study.file import load_study
from ltbench.sweep import failures, status
from ltbench.sweep import ledger as state
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.standing import standing
from ltbench.sweep.tasks import build_tasks, finished, task_id


def runs(*sets):
    return load_study(None, ["dataset=digits_lt", "train.steps=20", *sets]).runs


@pytest.fixture
def task():
    return build_tasks(runs())[0]


# -- tasks ----------------------------------------------------------------------------------------------


def test_a_guidance_and_sampler_sweep_trains_once():
    tasks = build_tasks(runs("guidance=0,1,2", "sample.seed=0,1"))
    kinds = [task.stage.kind for task in tasks]
    assert (kinds.count("train"), kinds.count("sample"), kinds.count("score")) == (1, 6, 6)


def test_what_a_task_needs_stands_before_it():
    tasks = build_tasks(runs("seeds=0,1", "guidance=0,1", "score.probes=true", "train.steps=30,10,20"))
    seen = set()
    for task in tasks:
        assert set(task.needs) <= seen
        seen.add(task.id)
    assert len(seen) == len(tasks)


def test_trainings_of_one_folder_follow_one_another_shortest_first():
    tasks = [task for task in build_tasks(runs("train.steps=30,10,20")) if task.stage.kind == "train"]
    assert [task.stage.spec.train.steps for task in tasks] == [10, 20, 30]
    assert [task.needs for task in tasks] == [(), (tasks[0].id,), (tasks[1].id,)]
    assert len({task.resource for task in tasks}) == 1


def test_snapshots_asked_for_by_different_runs_are_made_together():
    some = runs("train.snapshots=5")[0], runs("train.snapshots=10,15")[0]
    (train,) = [task for task in build_tasks(some) if task.stage.kind == "train"]
    assert train.stage.spec.train.snapshots == (5, 10, 15)
    assert train.id in {task_id(stage.stage) for stage in build_tasks(some[:1])}


def test_scores_of_one_sample_set_are_never_written_by_two():
    tasks = build_tasks([runs("score.metrics=frechet")[0], runs("score.metrics=kid")[0]])
    assert len({task.resource for task in tasks if task.stage.kind == "score"}) == 1
    assert len({task.id for task in tasks}) == len(tasks) == 4


def test_what_nothing_needs_any_more_is_finished_without_its_product(tmp_path):
    """A finished study's weights and images may be deleted, or never have come with the repository."""
    tasks = build_tasks(runs("guidance=0,1", "train.steps=10,20", "score.probes=true"))
    made = {task.id for task in tasks if task.stage.kind in ("score", "probe")}

    def is_done(stage, _root):
        return task_id(stage) in made

    assert finished(tasks, tmp_path, is_done) == {task.id for task in tasks}
    lost = next(t for t in tasks if t.stage.kind == "score" and t.stage.spec.train.steps == 20)
    made.remove(lost.id)
    again = [t for t in tasks if t.id not in finished(tasks, tmp_path, is_done)]
    assert [t.stage.kind for t in again] == ["train", "train", "sample", "score"]
    assert again[2].stage.key == lost.needs[0].removeprefix("sample-")
    assert lost == again[-1]


def test_a_plan_comes_back_from_disk_with_equal_keys(tmp_path):
    some = runs("methods=coral+t2h", "coral.tau_sc=0.123456789", "guidance=0.1,0.3", "data.head_count=100")
    path = status.save_plan(tmp_path, status.SavedPlan(some, "Title", {"threads": 1}))
    loaded = status.load_plan(path)
    assert loaded.runs == some
    assert (loaded.title, loaded.settings) == ("Title", {"threads": 1})
    assert [task.id for task in build_tasks(loaded.runs)] == [task.id for task in build_tasks(some)]
    assert status.save_plan(tmp_path, loaded) == path


# -- claims ---------------------------------------------------------------------------------------------


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
    lease.end("failed", kind="disk full", message="m" * 100_000, tail="t" * 100_000)
    assert (lease.folder / "1.end").stat().st_size == size  # no block more than the claim took
    assert standing(task.id, Ledger(tmp_path).attempts(task.resource)).kind == "disk full"


def test_a_claim_that_cannot_be_written_is_no_claim(tmp_path, task, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state, "_in_place", full)
    with pytest.raises(errors.DiskFull, match="free some space"):
        Ledger(tmp_path).claim(task)
    monkeypatch.undo()
    assert Ledger(tmp_path).claim(task).number == 1


# -- verdicts -------------------------------------------------------------------------------------------


def ended(tmp_path, task, *outcomes):
    ledger = Ledger(tmp_path)
    for outcome in outcomes:
        kind = (
            {}
            if outcome in ("interrupted", "done", "requeued")
            else {"kind": outcome, "message": f"a {outcome}"}
        )
        ledger.claim(task).end("failed" if kind else outcome, **kind)
    return standing(task.id, ledger.attempts(task.resource))


@pytest.mark.parametrize(
    ("outcomes", "failed", "streak"),
    [
        (["bug"], True, 1),
        (["non-finite loss"], True, 1),
        (["out of memory"], False, 1),
        (["out of memory"] * 3, True, 3),
        (["out of memory", "interrupted", "out of memory"], False, 1),
        (["disk full", "disk full", "killed"], False, 3),
        (["killed"] * 5, True, 5),
        (["killed", "out of memory"] * 5, True, 10),
        (["bug", "requeued"], False, 0),
        (["bug", "requeued", "bug"], True, 1),
    ],
    ids=str,
)
def test_what_is_tried_again_and_what_waits(tmp_path, task, outcomes, failed, streak):
    verdict = ended(tmp_path, task, *outcomes)
    assert (verdict.failed, verdict.failures) == (failed, streak)
    assert verdict.attempt == len(outcomes)


@pytest.mark.parametrize(
    ("steps", "failed"), [((10, 20, 30, 40, 50, 60), False), ((10, 20, 20, 20, 20, 20), True)]
)
def test_kills_of_a_stage_that_comes_further_each_time_are_not_held_against_it(tmp_path, task, steps, failed):
    ledger = Ledger(tmp_path)
    for step in steps:
        lease = ledger.claim(task)
        lease.beat({"step": step, "total": 100})
        state.end_attempt(lease.folder, lease.number, "failed", kind="killed", message="SIGKILL")
    assert standing(task.id, ledger.attempts(task.resource)).failed is failed


def test_another_tasks_failures_on_the_same_folder_do_not_count(tmp_path):
    short, long = (task for task in build_tasks(runs("train.steps=10,20")) if task.stage.kind == "train")
    ended(tmp_path, short, "bug")
    assert not standing(long.id, Ledger(tmp_path).attempts(long.resource)).failed


def test_a_resources_second_task_is_at_its_first_try(tmp_path):
    short, long = (task for task in build_tasks(runs("train.steps=10,20")) if task.stage.kind == "train")
    ended(tmp_path, short, "bug")
    ended(tmp_path, short, "bug")
    ledger = Ledger(tmp_path)
    assert ledger.claim(long).number == 3
    assert (ledger.tries(short), ledger.tries(long)) == (2, 1)
    (row,) = (row for row in status.survey([short, long], ledger) if row.state == "running")
    assert row.task is long
    assert (row.attempt, row.tries) == (3, 1)


@pytest.mark.parametrize(
    ("error", "kind", "must_restart"),
    [
        (errors.NonFiniteLoss("nan"), "non-finite loss", False),
        (errors.DataMissing("where"), "data missing", False),
        (MemoryError(), "out of memory", True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory", True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory", True),
        (OSError(errno.ENOSPC, "No space left on device"), "disk full", False),
        (OSError(errno.EFBIG, "File too large"), "disk full", False),
        (OSError(errno.ESTALE, "Stale file handle"), "storage", False),
        (RuntimeError("CUDA error: device-side assert triggered"), "bug", True),
        (KeyError("x"), "bug", False),
    ],
    ids=lambda x: str(x)[:30],
)
def test_failures_have_classes(error, kind, must_restart):
    failure = failures.classify(error)
    assert (failure.kind, failure.must_restart) == (kind, must_restart)
    assert "\n" not in failure.message
    assert failure.message


def test_a_workers_death_has_a_class():
    assert failures.classify_exit(-11).message == "the worker was ended by SIGSEGV"
    assert failures.classify_exit(-9).kind == "killed"
    assert failures.classify_exit(-9, oom_kills=1).kind == "out of memory"
    assert failures.classify_exit(3).kind == "killed"
    assert failures.oom_kill_count() >= 0


def test_transient_errors_of_the_contract_are_those_tried_again():
    for cls in (errors.DiskFull, errors.DataMissing, errors.NonFiniteLoss, errors.UsageError):
        assert (failures.policy(cls.kind).attempts > 1) == cls.transient


# -- the survey -----------------------------------------------------------------------------------------


def test_survey_and_closing_lines_say_what_failed_and_what_to_type(tmp_path):
    tasks = build_tasks(runs("seeds=0,1"))
    ended(tmp_path, tasks[0], "non-finite loss")
    ledger = Ledger(tmp_path)
    ledger.claim(tasks[3]).beat({"step": 2, "total": 20})
    rows = status.survey(tasks, ledger)
    assert [row.state for row in rows] == ["failed", "queued", "queued", "running", "queued", "queued"]
    assert rows[1].message == f"waits for {tasks[0].name}, which failed"
    assert status.exit_code(rows) == 1
    (ledger.folder / tasks[0].resource / "1.log").write_text("Traceback (most recent call last):\n")
    text = "\n".join(status.closing_lines(rows, tmp_path, ledger))
    assert "Traceback" not in text  # its sentence says it
    for part in ("1 failed", "non-finite loss", "ltbench logs", f"ltbench retry --failed --out {tmp_path}"):
        assert part in text


def test_a_judgement_that_is_out_of_date_claims_nothing(tmp_path, task):
    """Two workers list before the first attempt; one of them claims and fails before the other claims."""
    ledger = Ledger(tmp_path)
    ledger.claim(task, after=0).end("failed", kind="bug", message="x")
    assert ledger.claim(task, after=0) is None
    assert [attempt.number for attempt in ledger.attempts(task.resource)] == [1]
    assert ledger.claim(task, after=ledger.standing(task).last).number == 2


def test_a_worker_ended_from_outside_leaves_the_last_lines_of_its_log(tmp_path):
    tasks = build_tasks(runs("seeds=0"))
    ended(tmp_path, tasks[0], *["killed"] * failures.policy("killed").attempts)
    ledger = Ledger(tmp_path)
    rows = status.survey(tasks, ledger)
    log = ledger.folder / tasks[0].resource / f"{rows[0].attempt}.log"
    log.write_text("first\nsecond\nthird\nfourth\nfifth\n")
    text = "\n".join(status.closing_lines(rows, tmp_path, ledger))
    assert "| second" in text
    assert "first" not in text


def test_stages_that_failed_for_one_reason_are_told_once(tmp_path):
    tasks = build_tasks(runs("seeds=0,1,2"))
    trainings = [task for task in tasks if task.stage.kind == "train"]
    for task in trainings:
        ended(tmp_path, task, "data missing")
    rows = status.survey(tasks, Ledger(tmp_path))
    told = [line for line in status.closing_lines(rows, tmp_path) if line.startswith("failed: ")]
    assert len(told) == 1
    assert f"{trainings[0].name} and 2 more (data missing, attempt 1)" in told[0]


def test_requeue_takes_failed_tasks_and_on_request_only_mendable_ones(tmp_path):
    tasks = build_tasks(runs("seeds=0,1,2"))
    first, second, _ = (task for task in tasks if task.stage.kind == "train")
    ended(tmp_path, first, "bug")
    ended(tmp_path, second, "data missing")
    ledger = Ledger(tmp_path)
    assert status.requeue_failed(tasks, ledger, only_mendable=True) == [second]
    assert status.requeue_failed(tasks, ledger) == [first]
    assert all(row.state == "queued" for row in status.survey(tasks, ledger))


def test_a_run_is_found_by_folder_path_or_key(tmp_path):
    tasks = build_tasks(runs("seeds=0,1"))
    folder = tasks[0].stage.folder.name
    for name in (folder, f"runs/{folder}", f"runs/{folder}/", folder[-8:]):
        assert {task.stage.folder.name for task in status.find_run(name, tmp_path, tasks)} == {folder}
    with pytest.raises(errors.UsageError, match=f"did you mean '{folder}'"):
        status.find_run(folder[:-1], tmp_path, tasks)
    with pytest.raises(errors.UsageError, match="no sweep was started in"):
        status.tasks_of(tmp_path)


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


def test_default_specs_have_one_training():
    assert len({task.id for task in build_tasks([RunSpec(), RunSpec()])}) == 3
