"""Rows of a sweep of the stub whose stages fail as a test says."""

from sweep_tools import drive, wrong

from ltbench.sweep.ledger import Ledger


def rows_with(tmp_path, digits, *more):
    """Return a sweep's rows and the first task's attempts, with the stub going wrong as its digits say."""
    rows = drive(tmp_path, ["seeds=0", "train.steps=10", wrong(digits), *more])
    return rows, Ledger(tmp_path).attempts(rows[0].task.resource)
