"""Who holds a claim: from this process to its identity, and from a claim's owner to whether that process is gone."""

from __future__ import annotations

import os
from typing import Any

from ltbench.temporary import is_gone, machine, process_start


def identity() -> dict[str, Any]:
    """Return who this process is: host, boot, process and, under Slurm, the job."""
    out: dict[str, Any] = {**machine(), "pid": os.getpid(), "started": process_start(os.getpid())}
    if job := os.environ.get("SLURM_JOB_ID"):
        out["job"] = job
    return out


def is_dead(owner: dict[str, Any]) -> bool:
    """Say whether the owner's process is known to be gone: only a process of this kernel can be looked up."""
    here = machine()
    if "boot" not in here or any(owner.get(key) != here.get(key) for key in ("boot", "namespace")):
        return False
    return is_gone(int(owner.get("pid", -1)), owner.get("started"))
