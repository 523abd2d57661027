"""What tests of sweeps share."""

import pytest
from stub_tasks import runs
from sweep_tools import GRID, artifacts, drive

from ltbench.sweep import status
from ltbench.sweep.tasks import build_tasks


@pytest.fixture
def task():
    """The first task of one run."""
    return build_tasks(runs())[0]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The artifacts of a sweep that nothing disturbed."""
    root = tmp_path_factory.mktemp("undisturbed")
    rows = drive(root, GRID)
    assert status.exit_code(rows) == 0
    return artifacts(root)
