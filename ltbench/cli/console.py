"""The one console: as wide as the terminal, and wide enough for whole names where the output is piped."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

from rich.console import Console

PIPED_WIDTH = 200  # rich would take 80 and cut names that `ltbench metrics | grep ...` looks for


def make_console() -> Console:
    """Return a console for standard output; ``$COLUMNS`` sets its width wherever it is given."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, width=PIPED_WIDTH if piped else None)


@contextlib.contextmanager
def waiting(what: str, after: float = 2.0) -> Iterator[None]:
    """Say on standard error what is being waited for, once it has taken `after` seconds.

    On a terminal the line counts the seconds and goes away at the end; elsewhere it is printed once.
    """
    over, started = threading.Event(), time.monotonic()
    live = sys.stderr.isatty()

    def show() -> None:
        if over.wait(after):
            return
        with contextlib.suppress(OSError, ValueError):
            if not live:
                sys.stderr.write(f"... {what}\n")
                sys.stderr.flush()
                return
            while True:
                sys.stderr.write(f"\r... {what} ({time.monotonic() - started:.0f} s)")
                sys.stderr.flush()
                if over.wait(1.0):
                    sys.stderr.write("\r\x1b[2K")
                    sys.stderr.flush()
                    return

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
