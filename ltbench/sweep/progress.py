"""What a sweep shows while it runs: one live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_PLAIN_SECONDS = 30.0  # between two progress lines of one worker


class Screen(Protocol):
    """Where a driver shows what its workers say."""

    def __enter__(self) -> Screen: ...
    def __exit__(self, *error: object) -> None: ...
    def event(self, worker: int, event: dict[str, Any]) -> None:
        """Show one event of a worker."""

    def line(self, text: str) -> None:
        """Show one line that stays."""

    def tick(self) -> None:
        """Refresh what changes with time."""


def make_screen(total: int, done: int, console: Console | None) -> Screen:
    """Return a live screen on a terminal or in a notebook, plain lines elsewhere, nothing without a console.

    Parameters
    ----------
    total, done
        Stages of the sweep, and those done before it began.
    console
        Where to show it; None: nowhere.
    """
    if console is None:
        return NoScreen()
    screen = LiveScreen if console.is_terminal or console.is_jupyter else PlainScreen
    return screen(console, Tally(total, done))


class NoScreen:
    """Shows nothing: for callers that print nothing."""

    def __enter__(self) -> NoScreen:
        return self

    def __exit__(self, *error: object) -> None: ...

    def event(self, worker: int, event: dict[str, Any]) -> None:
        """Leave an event unshown."""

    def line(self, text: str) -> None:
        """Leave a line unshown."""

    def tick(self) -> None:
        """Refresh nothing."""


@dataclass
class Tally:
    """Counts of a sweep's stages."""

    total: int
    done: int
    failed: int = 0

    def note(self, event: dict[str, Any]) -> None:
        """Count a stage that ended."""
        if event["event"] == "ended":
            self.done += event["outcome"] == "done"
            self.failed += event["outcome"] == "failed"

    def __str__(self) -> str:
        failed = f", {self.failed} failed attempts" if self.failed else ""
        return f"{self.done} of {self.total} stages done{failed}"


def _ending(event: dict[str, Any], name: str, tally: Tally) -> str | None:
    """Return the line that says how a stage ended."""
    if event["outcome"] == "done":
        return f"done: {name} in {event['seconds']:.0f} s ({tally})"
    if event["outcome"] == "failed":
        return f"failed: {name} ({event['kind']}, attempt {event['attempt']}): {event['message']}"
    if event["outcome"] == "lost":
        return f"left: {name} was taken over by another worker"
    return f"interrupted: {name}, saved"


def describe(progress: dict[str, Any]) -> str:
    """Return progress in words: step, loss, speed."""
    parts = []
    if progress.get("total"):
        parts.append(f"{progress.get('step', 0)}/{progress['total']}")
    if progress.get("loss") is not None:
        parts.append(f"loss {progress['loss']:.4f}")
    if progress.get("rate"):
        parts.append(f"{progress['rate']:.0f} images/s")
    return ", ".join(parts)


@dataclass
class _Line:
    name: str
    started: float
    progress: dict[str, Any] = field(default_factory=dict)
    first: tuple[float, float] | None = None  # time and step of the first report: what the time left is from
    shown: float = 0.0

    def left(self) -> float | None:
        """Return the estimated seconds to the stage's end."""
        step, total = self.progress.get("step"), self.progress.get("total")
        if not total or self.first is None or step is None or step <= self.first[1]:
            return None
        return float((total - step) * (time.monotonic() - self.first[0]) / (step - self.first[1]))


class _Base:
    def __init__(self, console: Console, tally: Tally) -> None:
        self.console, self.tally = console, tally
        self.lines: dict[int, _Line] = {}

    def event(self, worker: int, event: dict[str, Any]) -> None:
        kind, now = event["event"], time.monotonic()
        self.tally.note(event)
        if kind == "claimed":
            self.lines[worker] = _Line(event["name"], now, shown=now)
            self.started(worker, event)
        elif kind == "progress" and (line := self.lines.get(worker)):
            line.progress = event
            line.first = line.first or (now, event.get("step", 0))
            self.moved(worker, line)
        elif kind == "ended" and (line := self.lines.pop(worker, None)):
            if text := _ending(event, line.name, self.tally):
                self.line(text)
        elif kind == "trouble":
            self.line(f"worker {worker}: {event['message']}")
        elif kind in ("gone", "idle"):
            self.lines.pop(worker, None)

    def started(self, _: int, event: dict[str, Any]) -> None:
        """Show that a stage began."""

    def moved(self, worker: int, line: _Line) -> None:
        """Show a stage's progress."""

    def line(self, text: str) -> None:
        """Show one line that stays."""
        self.console.print(text, markup=False, soft_wrap=True)

    def tick(self) -> None:
        """Refresh what changes with time."""


class PlainScreen(_Base):
    """Plain lines: each stage's start and end, and its progress now and then."""

    def __enter__(self) -> PlainScreen:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def started(self, _: int, event: dict[str, Any]) -> None:
        """Show that a stage began."""
        again = f" (attempt {event['tries']})" if event["tries"] > 1 else ""
        self.line(f"start: {event['name']}{again}")

    def moved(self, _: int, line: _Line) -> None:
        """Show a stage's progress every half minute."""
        now = time.monotonic()
        if now - line.shown >= _PLAIN_SECONDS:
            line.shown = now
            self.line(f"{line.name}: {describe(line.progress)}")


class LiveScreen(_Base):
    """One table, a row a worker, redrawn in place; endings scroll by above it."""

    def __init__(self, console: Console, tally: Tally) -> None:
        super().__init__(console, tally)
        self.live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self.draw)

    def __enter__(self) -> LiveScreen:
        self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.live.stop()

    def draw(self) -> RenderableType:
        """Return the table as it is now."""
        table = Table.grid(padding=(0, 2))
        for worker, line in sorted(self.lines.items()):
            step, total = line.progress.get("step", 0), line.progress.get("total")
            left = line.left()
            table.add_row(
                Text(str(worker), style="dim"),
                Text(line.name, overflow="ellipsis", no_wrap=True),
                ProgressBar(total=total or 100, completed=step if total else 0, width=20),
                Text(describe(line.progress), no_wrap=True),
                Text(
                    "" if left is None else f"{left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left"
                ),
            )
        return Group(table, Text(str(self.tally), style="bold"))
