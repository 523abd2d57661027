"""Console output: one rich console for all commands, and standard streams whose loss stops no work.

A user's text is shown, never obeyed: the console reads no markup in strings (styles come as `rich.text.Text`, see
`styled`) and writes control characters out. The streams take every character (what their encoding lacks is
written as ``\\xe9``) and survive being closed, piped into a program that ends, or redirected to a full disk.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from ltbench.errors import LtbenchError, OutOfMemory, StorageError, is_out_of_memory
from ltbench.text import one_line, shortened, visible

PIPED_WIDTH = 200  # rich would take 80 and cut names that `ltbench metrics | grep ...` looks for
INTERNAL = 70  # exit code of an error of ours, as sysexits.h has it (EX_SOFTWARE)


class PlainConsole(Console):
    """A console that obeys nothing in the text it is given."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield segments in which control characters are written out; our own styles are no text."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(visible(segment.text, keep="\n\t"), segment.style, segment.control)


def make_console() -> Console:
    """Return a console for standard output; ``$COLUMNS`` sets its width wherever it is given."""
    piped = sys.stdout is None or (not sys.stdout.isatty() and "COLUMNS" not in os.environ)
    return PlainConsole(highlight=False, markup=False, emoji=False, width=PIPED_WIDTH if piped else None)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Return text of parts, each plain or with a style: ``styled(("title", "bold"), "  ", description)``."""
    return Text.assemble(*parts)


@contextlib.contextmanager
def waiting(what: str, after: float = 2.0) -> Iterator[None]:
    """Say what is being waited for, once it has taken `after` seconds.

    On a terminal the line counts the seconds and goes away at the end; elsewhere it is printed once, to standard
    output: standard error is for what went wrong.
    """
    over, started = threading.Event(), time.monotonic()
    live = sys.stderr.isatty()

    def show() -> None:
        if over.wait(after):
            return
        with contextlib.suppress(OSError, ValueError):
            if not live:
                sys.stdout.write(f"... {what}\n")
                sys.stdout.flush()
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


def hours(seconds: float) -> str:
    """Return a duration for people: 40 s, 12 min, 3.4 h, 5.1 days."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}" if unit < 3600 else f"{seconds / unit:.1f} {name}"
    return f"{seconds / 86400:.1f} days"


# --- streams -------------------------------------------------------------------------------------------


class _Surviving(io.FileIO):
    """A file descriptor whose write errors are remembered, not raised: output is never why work fails."""

    trouble: OSError | None = None

    def write(self, data: Any) -> int:
        """Write, or remember why not; after that everything is dropped."""
        if self.trouble is None:
            try:
                return super().write(data) or 0
            except BlockingIOError:
                raise
            except OSError as error:
                self.trouble = error
        return memoryview(data).nbytes


def _usable(encoding: str) -> str:
    """Return an encoding, or UTF-8 for one that lacks ways to write what it does not have (idna, punycode)."""
    try:
        "a \u00e9\u2191\n".encode(encoding, "backslashreplace")
    except (UnicodeError, LookupError):
        return "utf-8"
    return encoding


def _surviving(stream: TextIO, number: int) -> tuple[TextIO, _Surviving]:
    raw = _Surviving(number, "w", closefd=False)
    encoding = _usable(stream.encoding or "utf-8")
    buffer = io.BufferedWriter(raw)
    lines = stream.isatty() or number == 2
    return io.TextIOWrapper(buffer, encoding, errors="backslashreplace", line_buffering=lines), raw


class Streams:
    """Standard output and error for the time of one command."""

    def __init__(self) -> None:
        self._raw: list[tuple[str, TextIO, _Surviving]] = []

    def guard(self) -> None:
        """Put surviving streams in place of the process's own; one that is closed gets the null device."""
        with contextlib.suppress(OSError):
            for number in (0, 1, 2):  # else the next file that is opened would become standard output
                try:
                    os.fstat(number)
                except OSError:
                    os.open(os.devnull, os.O_RDWR)
        for name, number in (("stdout", 1), ("stderr", 2)):
            stream = getattr(sys, name)
            if stream is None:
                stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 -- for the process's life
                setattr(sys, name, stream)
            elif stream is getattr(sys, f"__{name}__"):  # not one that a test or a notebook put there
                new, raw = _surviving(stream, number)
                setattr(sys, name, new)
                self._raw.append((name, new, raw))

    def close(self) -> None:
        """Flush, and say on standard error if standard output was lost on the way (not if a reader just left)."""
        for _, stream, _ in self._raw:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        for name, _, raw in self._raw:
            if name == "stdout" and raw.trouble is not None and raw.trouble.errno != errno.EPIPE:
                say(
                    f"note: what was to be printed is incomplete ({raw.trouble.strerror}); the work is not affected"
                )


def say(text: str) -> None:
    """Print a line on standard error, control characters written out."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(visible(text, keep="\n\t"), file=sys.stderr, flush=True)


# --- errors --------------------------------------------------------------------------------------------


def as_sentence(error: BaseException) -> LtbenchError | None:
    """Return what a person can mend about an error that is not of our own classes, None where it is our fault."""
    if isinstance(error, LtbenchError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory(
            f"not enough memory ({one_line(str(error))[:300] or 'for what was asked'}): ask for less at a time, as fewer "
            "--metrics, --extractors or images, or use a machine with more"
        )
    if isinstance(error, OSError):
        where = error.filename if error.filename is not None else "a file"
        name = os.fsdecode(where) if isinstance(where, bytes | str | Path) else f"descriptor {where}"
        shown = name if len(name) <= 300 else name[:297] + "..."
        return StorageError(f"{shown}: {error.strerror or one_line(str(error))}")
    return None


def fail(error: BaseException) -> int:
    """Print why a command ends, in one sentence, and return its exit code.

    An error that nobody foresaw is ours: its traceback is shown only where ``LTBENCH_TRACEBACK`` is set.
    """
    known = as_sentence(error)
    if known is not None:
        prefix = "" if known.exit_code == 130 else "error: "
        say(f"{prefix}{shortened(str(known), 1000)}")
        return known.exit_code
    if os.environ.get("LTBENCH_TRACEBACK"):
        say("".join(traceback.format_exception(error)).rstrip())
    else:
        place = traceback.extract_tb(error.__traceback__)[-1:]
        at = "".join(f" at {Path(frame.filename).name}:{frame.lineno}" for frame in place)
        say(
            f"internal error: {type(error).__name__}: {one_line(str(error))[:300]}{at}; what is done is kept. This is a "
            "fault of ltbench: please report it with the output of the same command under LTBENCH_TRACEBACK=1"
        )
    return INTERNAL
