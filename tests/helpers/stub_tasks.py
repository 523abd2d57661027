"""Runs and tasks of the stub, and attempts that ended as a test says."""

from ltbench.study.file import load_study
from ltbench.sweep.ledger import Ledger
from ltbench.sweep.standing import standing


def runs(*sets):
    """Return the runs of short trainings of the digits."""
    return load_study(None, ["dataset=digits_lt", "train.steps=20", *sets]).runs


def ended(tmp_path, task, *outcomes):
    """Return a task's standing after attempts that ended so, one after another."""
    ledger = Ledger(tmp_path)
    for outcome in outcomes:
        kind = (
            {}
            if outcome in ("interrupted", "done", "requeued")
            else {"kind": outcome, "message": f"a {outcome}"}
        )
        ledger.claim(task).end("failed" if kind else outcome, **kind)
    return standing(task.id, ledger.attempts(task.resource))
