"""Signals of one command: SIGTERM and SIGHUP stop it as Ctrl-C does, with a sentence and without half a file.

Of itself Python dies of both at once, so that no ``finally`` removes what was half written and nobody says why.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

STOPPED = "stopped: what is done is kept; run the same command to go on"
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not everywhere


class Stopping:
    """Raises `KeyboardInterrupt` in its block at a signal that asks to stop.

    What ignores a signal already keeps ignoring it: ``nohup`` works so. After the block a process that was
    stopped ignores further signals, since it only ends.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._stopped = False

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
                before = signal.getsignal(number)
                if before in (signal.SIG_DFL, signal.default_int_handler):
                    self._before[number] = before
                    signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_IGN if self._stopped else before)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopped = True
        raise KeyboardInterrupt
