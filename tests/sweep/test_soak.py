"""A soak: sweeps whose workers and drivers are killed at random times, again and again, and what is lost (nothing).

``pytest -m slow tests/sweep/test_soak.py --kills 1000`` is a night's run; the stages are the stand-ins, so that a
thousand kills take minutes; the real stages are killed in tests/end_to_end/test_sweep.py.
"""

import contextlib
import os
import random
import signal
import time

import pytest
from sweep_tools import GRID, artifacts, done_once, drive, start, wait_for, workers_of

from ltbench.sweep import status
from ltbench.sweep.ledger import Ledger

KILLS_A_FOLDER = 25


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    assert status.exit_code(drive(root, GRID)) == 0
    return artifacts(root)


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return 1
    return 0


def soak(root, kills, rng):
    """Kill some or all workers, the driver, or all of them, until so many are dead; return how many were."""
    dead = drivers = 0
    processes = []
    while dead < kills:
        processes = [process for process in processes if process.poll() is None]
        while len(processes) < rng.choice((1, 1, 2)):
            processes.append(start(root, *GRID, workers=rng.choice((1, 2, 3)), slow=0.01))
            drivers += 1
        wait_for(lambda: workers_of(root) or all(p.poll() is not None for p in processes), seconds=120)
        time.sleep(rng.choice((0.0, rng.uniform(0.0, 0.05), rng.uniform(0.0, 0.5))))
        victims = sorted(workers_of(root))
        if rng.random() < 0.5:
            victims = victims[:1]
        together = [process.pid for process in processes if rng.random() < 0.4]
        dead += sum(kill(pid) for pid in (*victims, *together))
        if all(process.poll() == 0 for process in processes) and not victims:
            break  # this folder is done: there is nothing left to kill
    for process in processes:
        process.kill()
        process.wait()
    return dead, drivers


def finish(root):
    """Do what `ltbench status` names until all is done; return the commands that it took."""
    for turn in range(4):
        process = start(root, *GRID, slow=0.002)
        output, _ = process.communicate(timeout=300)
        if process.returncode == 0:
            return turn + 1
        tasks = status.tasks_of(root)
        rows = status.look(tasks, Ledger(root))
        text = "\n".join(status.closing_lines(rows, root))
        assert "ltbench retry --failed" in text or "run the same command again" in text, (output, text)
        if "ltbench retry --failed" in text:
            status.requeue_failed(tasks, Ledger(root))
    raise AssertionError(f"not done after {turn + 1} commands: {output}")


def run(tmp_path, undisturbed, kills, seed):
    rng, dead, folders = random.Random(seed), 0, 0
    while dead < kills:
        root = tmp_path / str(folders)
        root.mkdir()
        killed, _ = soak(root, min(KILLS_A_FOLDER, kills - dead), rng)
        dead, folders = dead + killed, folders + 1
        finish(root)
        made = artifacts(root)
        assert made == undisturbed, f"folder {folders}: {set(made) ^ set(undisturbed)}"
        done_once(root)
    return dead, folders


@pytest.mark.timeout(250)
def test_a_few_kills_at_random_times_lose_nothing(tmp_path, undisturbed):
    dead, _ = run(tmp_path, undisturbed, kills=5, seed=0)
    assert dead >= 5


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
def test_many_kills_at_random_times_lose_nothing(tmp_path, undisturbed, kills, attack_seed):
    dead, folders = run(tmp_path, undisturbed, kills, seed=attack_seed)
    print(
        f"{dead} kills in {folders} folders, seed {attack_seed}: nothing lost, nothing done twice, all as undisturbed"
    )
