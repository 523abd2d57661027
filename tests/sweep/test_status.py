"""Saved plans, survey, closing lines, what is tried again, and whose log is shown."""

import pytest
from stub_tasks import ended, runs

from ltbench import errors
from ltbench.environment import Settings
from ltbench.sweep import failures, status
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.tasks import build_tasks


def test_a_plan_comes_back_from_disk_with_equal_keys(tmp_path):
    some = runs("methods=coral+t2h", "coral.tau_sc=0.123456789", "guidance=0.1,0.3", "data.head_count=100")
    settings = Settings(data_root=tmp_path / "data", threads=3)
    path = status.save_plan(tmp_path, status.SavedPlan(some, "Title", settings, "2"))
    loaded = status.load_plan(path)
    assert loaded.runs == some
    assert (loaded.title, loaded.settings, loaded.workers) == ("Title", settings, "2")
    assert [task.id for task in build_tasks(loaded.runs)] == [task.id for task in build_tasks(some)]
    assert status.save_plan(tmp_path, loaded) == path


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


@pytest.mark.parametrize("lines", [1, 2, 6, 100, None])
def test_a_log_is_shown_by_as_many_last_lines_of_each_attempt_as_asked_for(tmp_path, lines):
    """It was four, whatever was asked for."""
    (task, *_) = build_tasks(runs("seeds=0"))
    ended(tmp_path, task, "interrupted", "bug")
    ledger = Ledger(tmp_path)
    for attempt in (1, 2):
        text = "".join(f"attempt {attempt} line {line}\n" for line in range(9))
        (ledger.folder / task.resource / f"{attempt}.log").write_text(text)
    shown = [line for line in status.log_of([task], ledger, lines).splitlines() if not line.startswith("==")]
    kept = range(max(0, 9 - (lines or 9)), 9)
    assert shown == [f"attempt {attempt} line {line}" for attempt in (1, 2) for line in kept]
