"""The command line: parse, call, print; a mistake or a signal ends it in one sentence and a non-zero exit."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from ltbench.cli.signals import STOPPED, Stopping


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one sentence and a non-zero exit."""
    with Stopping() as stopping:
        try:
            _run(arguments, stopping)
        except KeyboardInterrupt:  # while the commands are still being imported, or while one ends
            stopping.end()
            with contextlib.suppress(OSError):  # what reads standard error may have been stopped as well
                os.write(2, f"{STOPPED}\n".encode())
            sys.exit(130)


def _leave_out_unreadable() -> None:
    """Take variables out of the environment that libraries stumble over: Matplotlib's, and a terminal without width."""
    for name in ("COLUMNS", "LINES", "SOURCE_DATE_EPOCH"):
        value = os.environ.get(name, "1")
        if not (value.isascii() and value.isdecimal() and (int(value) or name == "SOURCE_DATE_EPOCH")):
            del os.environ[name]
    os.environ["MPLBACKEND"] = "Agg"  # figures are files here, whatever a window would be drawn by


@contextlib.contextmanager
def _children_apart() -> Iterator[None]:
    """Keep every Python that a command starts from importing what lies in the current folder, as a random.py."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _run(arguments: list[str] | None, stopping: Stopping) -> None:
    _leave_out_unreadable()
    # Imported here: they take a third of a second, in which a signal must be heard too.
    from ltbench.cli.console import Streams, fail
    from ltbench.cli.tree import app
    from ltbench.errors import Interrupted

    streams = Streams()
    streams.guard()
    try:
        with _children_apart():
            app(arguments)
    except Exception as error:
        if stopping.asked and not isinstance(error, Interrupted):
            error = Interrupted(STOPPED)  # what a library made of the stop
        if stopping.asked:
            stopping.end()
        sys.exit(fail(error))
    finally:
        streams.close()


if __name__ == "__main__":
    main()
