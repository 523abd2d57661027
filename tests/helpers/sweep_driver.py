"""A local driver over the stand-in stages, as a program: ROOT PLAN WORKERS."""

import sys
from pathlib import Path

from ltbench.cli.console import make_console
from ltbench.environment import Settings
from ltbench.sweep.local import run_local
from ltbench.sweep.status import closing_lines, exit_code, load_plan

STUB = (sys.executable, str(Path(__file__).with_name("sweep_stub.py")))


def drive(runs, root, workers=2, lease=2.0):
    return run_local(
        runs, root, Settings(beat=0.1, lease=lease), str(workers), console=make_console(), command=STUB
    )


if __name__ == "__main__":
    root = Path(sys.argv[1])
    rows = drive(load_plan(Path(sys.argv[2])).runs, root, sys.argv[3])
    print("\n".join(closing_lines(rows, root)))
    sys.exit(exit_code(rows))
