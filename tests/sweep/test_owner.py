"""Who holds a claim: this process lives, one that ended is gone, and of another machine nothing is known."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ltbench.sweep.owner import identity, is_dead

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="no /proc: nothing can be looked up"
)


def test_this_process_lives_and_an_ended_one_is_gone():
    owner = identity()
    assert owner["pid"] == os.getpid()
    assert not is_dead(owner)
    with subprocess.Popen([sys.executable, "-c", "pass"]) as ended:
        pass
    assert is_dead(owner | {"pid": ended.pid})


def test_a_number_that_another_process_has_now_is_of_one_that_is_gone():
    owner = identity()
    assert is_dead(owner | {"started": str(int(owner["started"]) - 1)})


@pytest.mark.parametrize("key", ["boot", "namespace"])
def test_of_another_machine_or_container_nothing_is_known(key):
    assert not is_dead(identity() | {key: "another", "pid": 2**22 + 1})


def test_a_job_is_named(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert "job" not in identity()
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert identity()["job"] == "77"
