"""The one state machine of a sweep, tried with every sequence of events up to a length.

The model has one task, a worker on this machine (whose death is seen at once), one on another machine (whose
death is only seen as silence) and a clock that is set, not waited for. Every state that any sequence of events
reaches is checked once: at most one worker may publish, nothing done is done again, and a command that
`ltbench status` names leads on.
"""

import json
import os
import tempfile
from pathlib import Path

import pytest
from stub_tasks import ended, runs

from ltbench.environment import Settings
from ltbench.study.file import load_study
from ltbench.sweep import ledger as ledger_module
from ltbench.sweep import ledger as state
from ltbench.sweep import status
from ltbench.sweep.failures import KILLED, policy
from ltbench.sweep.ledger import LEASE_SECONDS, Lease, Ledger
from ltbench.sweep.standing import Attempt, standing
from ltbench.sweep.tasks import build_tasks
from ltbench.sweep.worker import Stages, Worker


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


HERE, ELSEWHERE = "here", "elsewhere"
EVENTS = (
    *(f"{what} {host}" for host in (HERE, ELSEWHERE) for what in ("claim", "cut", "kill", "done", "killed", "bug")),
    "beat elsewhere",
    "stop here",
    "wait",
    "retry",
    "run",
)  # fmt: skip


def names(folder):
    """Return the names of a claim's files."""
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


class World:
    """One output folder, its workers and a clock."""

    def __init__(self, root, monkeypatch):
        self.root, self.clock = root, 0.0
        self.dead, self.leases, self.done, self.host = set(), {}, False, HERE
        self.task = build_tasks(load_study(None, ["dataset=digits_lt", "train.steps=20"]).runs)[0]
        self.watchers = {host: self.ledger() for host in (HERE, ELSEWHERE)}
        monkeypatch.setattr(ledger_module.time, "monotonic", lambda: self.clock)
        monkeypatch.setattr(ledger_module.time, "time", lambda: 1e9 + self.clock)
        monkeypatch.setattr(status.time, "sleep", self.sleep)
        monkeypatch.setattr(ledger_module, "identity", lambda: {"host": self.host, "pid": self.born()})
        monkeypatch.setattr(
            ledger_module, "is_dead", lambda owner: owner.get("host") == HERE and owner["pid"] in self.dead
        )
        monkeypatch.setattr(status.pipeline, "is_done", lambda *_: self.done)
        monkeypatch.setattr(ledger_module.os, "fsync", lambda _: None)
        self.pids = 0

    def ledger(self):
        return Ledger(self.root)

    def born(self):
        self.pids += 1
        return self.pids

    def sleep(self, seconds):
        self.clock += seconds

    def worker(self, host):
        """Return a worker that claims with its machine's memory of heartbeats."""
        self.host = host
        stages = Stages(lambda *_: self.done, None, None)
        worker = Worker([self.task], self.root, Settings(), stages, lambda _: None)
        worker.ledger = self.watchers[host]
        return worker

    # -- events -------------------------------------------------------------------------------------------

    def claim(self, host):
        if host in self.leases or self.done:
            return
        claimed = self.worker(host)._claim_next()
        if claimed is not None:
            self.leases[host] = (claimed[1], self.pids)

    def cut(self, host):
        """A worker is killed between creating a claim and filling it."""
        if host in self.leases or self.done:
            return
        folder = Ledger(self.root).folder / self.task.resource
        before = names(folder)
        self.claim(host)
        if host in self.leases:
            for name in names(folder) - before:
                if name.endswith(".claim"):
                    (folder / name).write_bytes(b"")
                elif name.endswith(".beat"):
                    (folder / name).unlink()
            self.kill(host)

    def kill(self, host):
        if host in self.leases:
            self.dead.add(self.leases.pop(host)[1])

    def ended(self, host, outcome, **more):
        if host in self.leases:
            lease, _ = self.leases.pop(host)
            if lease.held():
                assert not self.done, "it was done twice"
                self.done = self.done or outcome == "done"
                lease.end(outcome, **more)

    def event(self, event):
        what, _, host = event.partition(" ")
        if what in ("claim", "cut", "kill"):
            getattr(self, what)(host)
        elif what == "beat" and host in self.leases:
            self.leases[host][0].beat({"step": 1})
        elif what == "done":
            self.ended(host, "done")
        elif what == "stop":
            self.ended(host, "interrupted")
        elif what in ("killed", "bug"):  # the driver saw its death; a bug is not mended by trying again
            self.ended(host, "failed", kind=KILLED if what == "killed" else "bug", message=what)
        elif what == "wait":
            self.wait()
        elif what in ("retry", "run"):
            status.requeue_failed([self.task], self.ledger(), only_mendable=what == "run")

    def wait(self):
        """A lease passes while both machines watch; a living worker gives signs of life."""
        for _ in range(6):
            self.clock += LEASE_SECONDS / 4
            for lease, _ in self.leases.values():
                lease.beat({"step": 1})
            for watcher in self.watchers.values():
                watcher.standing(self.task)

    # -- what is on disk and in memory, so that equal states are tried once ----------------------------------

    def snapshot(self):
        folder = Ledger(self.root).folder / self.task.resource
        files = {name: (folder / name).read_bytes() for name in names(folder)}
        seen = {host: dict(watcher._seen) for host, watcher in self.watchers.items()}
        leases = {host: (lease.number, lease._count, pid) for host, (lease, pid) in self.leases.items()}
        return files, seen, leases, set(self.dead), self.done, self.clock, self.pids

    def restore(self, saved):
        files, seen, leases, dead, self.done, self.clock, self.pids = saved
        folder = Ledger(self.root).folder / self.task.resource
        folder.mkdir(parents=True, exist_ok=True)
        for name in names(folder):
            (folder / name).unlink()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        self.dead = set(dead)
        for host, watcher in self.watchers.items():
            watcher._seen = {
                key: ledger_module._Seen(v.beat, v.watched, v.at) for key, v in seen[host].items()
            }
        self.leases = {}
        for host, (number, count, pid) in leases.items():
            lease = Lease(folder, number, self.task.id)
            lease._count = count
            self.leases[host] = (lease, pid)

    def essence(self):
        """Return what the future depends on: how each attempt ended or whether its owner lives and is watched."""
        out = []
        for attempt in self.ledger().attempts(self.task.resource):
            if attempt.end is not None:
                out.append((attempt.outcome, attempt.kind, attempt.step))
                continue
            owner = attempt.owner.get("host", "")
            watched = tuple(
                seen.watched >= LEASE_SECONDS
                if (seen := w._seen.get((self.task.resource, attempt.number)))
                else None
                for w in self.watchers.values()
            )
            out.append((owner, attempt.owner.get("pid") in self.dead, watched, attempt.step))
        held = tuple(sorted((host, lease.held(), lease.number) for host, (lease, _) in self.leases.items()))
        return tuple(out), held, self.done

    # -- what must hold in every state ------------------------------------------------------------------------

    def check(self):
        for path in (Ledger(self.root).folder / self.task.resource).glob("*"):
            os.utime(path, (1e9 + self.clock, 1e9 + self.clock))
        publishers = [host for host, (lease, _) in self.leases.items() if lease.held()]
        assert len(publishers) <= 1
        rows = status.look([self.task], self.ledger())
        lines = "\n".join(status.closing_lines(rows, self.root))
        (row,) = rows
        if self.done:
            assert row.state == "done"
            assert status.status_code(rows) == 0
            return
        assert row.state != "done"
        if publishers:  # somebody works on it: nothing to type, and nobody else may have it
            assert row.state == "running"
            return
        if row.state in ("failed", "stale"):
            assert status.status_code(rows) == 1
        if row.state == "failed":
            assert "ltbench retry --failed" in lines
            again = status.requeue_failed([self.task], self.ledger())
            assert again == [self.task]
        elif row.state == "running":  # dead elsewhere: only silence can tell, so that a person is told of it
            self.clock += 600
            rows = status.look([self.task], self.ledger())
            assert status.status_code(rows) == 1
            assert "run the same command again" in "\n".join(status.closing_lines(rows, self.root))
        else:
            assert "run the same command again" in lines
        self.run_again()

    def run_again(self):
        """What `ltbench run` does: forgive what a person may have mended, then watch and claim."""
        status.requeue_failed([self.task], self.ledger(), only_mendable=True)
        self.watchers[HERE] = self.ledger()
        worker = self.worker(HERE)
        for _ in range(100):
            if (claimed := worker._claim_next()) is not None:
                assert claimed[1].held()
                return
            if (
                not worker._worth_waiting()
            ):  # it failed by silence while we watched: written down, so that it can be retried
                rows = status.look([self.task], self.ledger())
                assert rows[0].state == "failed"
                assert status.status_code(rows) == 1
                assert status.requeue_failed([self.task], self.ledger()) == [self.task]
            self.clock += 5.0
            worker.failed.clear()
        raise AssertionError("nothing leads on")


def explore(root, monkeypatch, length):
    """Try every sequence of events up to a length; equal states go on once. Return how many states there were."""
    world = World(root, monkeypatch)
    seen, frontier = {world.essence()}, [(world.snapshot(), ())]
    for _ in range(length):
        following = []
        for saved, path in frontier:
            for event in EVENTS:
                world.restore(saved)
                try:
                    world.event(event)
                    essence = world.essence()
                    if essence in seen:
                        continue
                    seen.add(essence)
                    after = world.snapshot()
                    world.check()
                except AssertionError as error:
                    raise AssertionError(f"after {[*path, event]}: {error}") from error
                following.append((after, (*path, event)))
        frontier = following
    return len(seen)


@pytest.fixture
def quick_folder():
    """A folder in memory where there is one: the model writes many small files."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        yield Path(folder)


def test_from_every_state_a_named_command_leads_on(quick_folder, monkeypatch):
    assert explore(quick_folder, monkeypatch, 5) > 200


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_from_every_state_of_eight_events_a_named_command_leads_on(quick_folder, monkeypatch):
    assert explore(quick_folder, monkeypatch, 8) > 2000


@pytest.mark.parametrize("host", [HERE, ELSEWHERE])
@pytest.mark.parametrize("kills", [1, 5, 6, 7, 11])
def test_any_number_of_kills_in_a_row_leaves_a_way_on(tmp_path, monkeypatch, host, kills):
    world = World(tmp_path, monkeypatch)
    for _ in range(kills):
        world.claim(host)
        world.kill(host)
        world.wait()
    world.check()


def test_many_kills_are_a_failure_that_says_so(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch)
    for _ in range(policy(KILLED).attempts):
        world.claim(HERE)
        world.kill(HERE)
    (row,) = rows = status.survey([world.task], world.ledger())
    assert (row.state, row.kind) == ("failed", KILLED)
    assert status.status_code(rows) == 1
    assert status.exit_code(rows) == 1


def test_a_claim_without_content_is_given_up_soon(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch)
    world.cut(HERE)
    (row,) = status.survey([world.task], world.ledger())
    assert row.state == "running"
    (row,) = status.look([world.task], world.ledger())
    assert row.state == "stale"
    assert world.clock <= 3 * ledger_module.CUT_SHORT_SECONDS
    world.check()


def test_a_claim_is_never_seen_without_its_content(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch)
    real = os.link

    def link(source, target):
        assert json.loads(Path(source).read_bytes())["task"] == world.task.id
        real(source, target)

    monkeypatch.setattr(ledger_module.os, "link", link)
    assert world.ledger().claim(world.task) is not None
    assert not list(tmp_path.rglob("*.tmp"))


def test_without_hard_links_a_claim_is_still_exclusive(tmp_path, monkeypatch):
    world = World(tmp_path, monkeypatch)

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(ledger_module.os, "link", refuse)
    lease = world.ledger().claim(world.task)
    assert lease.number == 1
    assert world.ledger().claim(world.task) is None
    assert world.ledger().attempts(world.task.resource)[0].owner["host"] == HERE


def test_progress_of_any_shape_is_no_error():
    for progress in ({"step": "12"}, {"step": None}, {"step": float("nan")}, {"step": [1]}):
        end = {"outcome": "failed", "kind": KILLED}
        assert standing("t", [Attempt(1, "t", {}, end, None, progress)]).failures == 1
