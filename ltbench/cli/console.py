"""The one console: as wide as the terminal, and wide enough for whole names where the output is piped."""

from __future__ import annotations

import os
import sys

from rich.console import Console

PIPED_WIDTH = 200  # rich would take 80 and cut names that `ltbench metrics | grep ...` looks for


def make_console() -> Console:
    """Return a console for standard output; ``$COLUMNS`` sets its width wherever it is given."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, width=PIPED_WIDTH if piped else None)
