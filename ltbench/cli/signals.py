"""Signals of one command: SIGTERM and SIGHUP stop it as Ctrl-C does, with a sentence and without half a file.

Of itself Python dies of both at once, so that no ``finally`` removes what was half written and nobody says why.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

from ltbench.sweep.signals import replace_handlers

STOPPED = "stopped: what is done is kept; run the same command to go on"
_HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)  # the last for `Stopping.again` alone


class _Stop(KeyboardInterrupt):
    """A stop that comes again where a library swallows it, as imports on demand and callbacks do."""

    stopping: Stopping | None = None  # the next signal may come before it is set

    def __del__(self) -> None:
        if self.stopping is not None:
            self.stopping.again()


def heard(stop: KeyboardInterrupt) -> None:
    """Take a stop as meant for the caller alone, as for what only watches: the command goes on."""
    if isinstance(stop, _Stop) and stop.stopping is not None:
        stop.stopping.asked = False


class Stopping:
    """Raises `KeyboardInterrupt` in its block at a signal that asks to stop.

    What ignores a signal already keeps ignoring it: ``nohup`` works so. A process that was stopped and calls `end`
    ignores further signals, since it only ends.

    Attributes
    ----------
    asked
        Whether a stop was asked for that nobody took as its own: whatever is raised then is its consequence.
    """

    def __init__(self) -> None:
        self.asked = False
        self._over = False
        self._before: dict[int, Any] = {}
        self._hook = sys.unraisablehook

    def __enter__(self) -> Stopping:
        ours = [n for n in _HEARD if signal.getsignal(n) in (signal.SIG_DFL, signal.default_int_handler)]
        self._before = replace_handlers(dict.fromkeys(ours, self._stop))
        if self._before:
            self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        return self

    def __exit__(self, *_: object) -> None:
        if not self._over:
            self._leave(None)
        sys.unraisablehook = self._hook

    def end(self) -> None:
        """Hear no more: the command ends, and says why."""
        self._leave(signal.SIG_IGN)

    def _leave(self, handler: Any) -> None:
        self._over = True
        replace_handlers(self._before if handler is None else dict.fromkeys(self._before, handler))
        if signal.SIGALRM in self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def again(self) -> None:
        """Stop once more, soon: a timer's signal breaks a wait, and takes no lock that who is stopped may hold."""
        if self.asked and not self._over and signal.SIGALRM in self._before:
            signal.setitimer(signal.ITIMER_REAL, 0.05)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        stop = _Stop()
        stop.stopping = self
        try:
            raise stop
        finally:
            del stop  # else its own frame would keep it from being let go of

    def _unraisable(self, about: sys.UnraisableHookArgs) -> None:
        if not isinstance(about.exc_value, _Stop):  # which comes again
            self._hook(about)
