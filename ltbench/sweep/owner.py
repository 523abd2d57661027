"""Who holds a claim: from this process to its identity, and from a claim's owner to whether that process is gone."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
from pathlib import Path
from typing import Any


@functools.cache
def _machine() -> dict[str, str]:
    """Identify this machine's running kernel and process-id namespace."""
    out = {"host": platform.node()}
    with contextlib.suppress(OSError):
        out["boot"] = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        out["namespace"] = str(Path("/proc/self/ns/pid").readlink())
    return out


def _process_start(pid: int) -> str | None:
    """Return a process's start time in ticks since boot, or None if it does not run (or is a zombie)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    state, *rest = text.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]


def identity() -> dict[str, Any]:
    """Return who this process is: host, boot, process and, under Slurm, the job."""
    out: dict[str, Any] = {**_machine(), "pid": os.getpid(), "started": _process_start(os.getpid())}
    if job := os.environ.get("SLURM_JOB_ID"):
        out["job"] = job
    return out


def is_dead(owner: dict[str, Any]) -> bool:
    """Say whether the owner's process is known to be gone: only a process of this kernel can be looked up."""
    here = _machine()
    if "boot" not in here or any(owner.get(key) != here.get(key) for key in ("boot", "namespace")):
        return False
    started = _process_start(int(owner.get("pid", -1)))
    return started is None or started != owner.get("started")
