"""Helpers of the sweep tests: grids of the stand-in stages, drivers as processes, what is on disk."""

import os
import subprocess
import sys
import time
from pathlib import Path

import sweep_driver

from ltbench.study.file import load_study
from ltbench.sweep import status
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.owner import is_dead

GRID = ["seeds=0,1,2", "guidance=0,1", "train.steps=40", "score.probes=true"]
DRIVER = [sys.executable, str(Path(__file__).with_name("sweep_driver.py"))]


def runs_of(sets):
    return load_study(None, ["dataset=digits_lt", *sets]).runs


def drive(root, sets, **more):
    return sweep_driver.drive(runs_of(sets), root, **more)


def artifacts(root):
    """Return every result: path -> content; what only says how it came about is left out."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".sweep" not in path.parts and path.suffix not in (".died", ".failed")
    }


def start(root, *sets, workers=2, slow=0.004, **environment):
    plan = status.save_plan(root, status.SavedPlan(runs_of(sets)))
    return subprocess.Popen(
        [*DRIVER, str(root), str(plan), str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "STUB_STEP_SECONDS": str(slow), **environment},
    )


def workers_of(root):
    """Return the process ids of the live owners of running claims."""
    out = set()
    for resource_name in Ledger(root).claimed():
        for attempt in Ledger(root).attempts(resource_name)[-1:]:
            if attempt.end is None and attempt.owner and not is_dead(attempt.owner):
                out.add(attempt.owner["pid"])
    return out


def wait_for(condition, seconds=30.0):
    limit = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < limit, "nothing happened"
        time.sleep(0.01)
    return value


def done_once(root):
    """Check that no stage was completed twice."""
    for name in Ledger(root).claimed():
        ends = [a.task for a in Ledger(root).attempts(name) if (a.end or {}).get("outcome") == "done"]
        assert len(ends) == len(set(ends)), name


def wrong(digits):
    """Return the learning rate that makes the stand-in training go wrong, see `sweep_stub.MISHAPS`."""
    return f"train.learning_rate={2e-4 + digits * 1e-6:.6f}"
