"""Handlers of signals: from numbers and functions to those that stood there before, in the thread that may have any."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from typing import Any


def replace_handlers(handlers: Mapping[int, Any]) -> dict[int, Any]:
    """Set handlers of signals and return the former ones, to be set again; outside the main thread none are set.

    Python refuses them there, and a notebook, a web page or asyncio calls what takes long from another thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number, handler in handlers.items()}
