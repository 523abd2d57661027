"""Classes of failures, of errors and of a worker's exit."""

import errno

import pytest

from ltbench import errors
from ltbench.sweep import failures


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
