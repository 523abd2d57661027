"""Handlers of signals: replaced and put back in the main thread, left alone in another."""

import signal
from concurrent.futures import ThreadPoolExecutor

from ltbench.sweep.signals import replace_handlers


def test_former_handlers_come_back():
    former = signal.getsignal(signal.SIGUSR1)
    before = replace_handlers({signal.SIGUSR1: signal.SIG_IGN})
    assert (before, signal.getsignal(signal.SIGUSR1)) == ({signal.SIGUSR1: former}, signal.SIG_IGN)
    assert replace_handlers(before) == {signal.SIGUSR1: signal.SIG_IGN}
    assert signal.getsignal(signal.SIGUSR1) == former


def test_another_thread_sets_none():
    former = signal.getsignal(signal.SIGUSR1)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(replace_handlers, {signal.SIGUSR1: signal.SIG_IGN}).result() == {}
    assert signal.getsignal(signal.SIGUSR1) == former
