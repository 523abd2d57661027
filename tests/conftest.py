"""One thread a process: several test processes share the cores, and equal thread counts mean equal rounding."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch
