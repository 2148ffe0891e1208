"""SIGINT and SIGTERM interrupt a task and end the process; SIGUSR1 requests a summary."""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from math import inf
from types import FrameType
from typing import NoReturn, Protocol

from .startup import requests

_STALL_TIMEOUTS = {signal.SIGINT: 1.0, signal.SIGTERM: 10.0}
"""Signal -> seconds for which stdout may take nothing before unwritten events are given up. A user
at the keyboard should not wait; a supervisor can, so that a slow reader gets everything."""
_SLACK = 0.5
"""Seconds beyond the timeout after which a task that has not ended is stuck."""
_CHECK_EVERY = 0.1
"""Seconds between two checks whether the task is stuck."""
_SAME_SIGNAL = 0.1
"""Seconds within which a repeated signal is the same one."""
_DELIVERY = 0.1
"""Seconds within which a signal that a process sends itself ends it."""


class Interruptible(Protocol):
    """A task that signals interrupt; `turns` grows unless the task is stuck in a call."""

    turns: int

    def interrupt(self, stall_timeout: float) -> None:
        """End soon; stdout may take nothing for so many seconds. For signal handlers."""

    def request(self) -> None:
        """Print a summary soon. For signal handlers."""


class KilledBySignal(Exception):
    """A task ended after a signal, by which the process is to die: a shell shows 130 or 143."""

    def __init__(self, signum: int) -> None:
        self.signum = signum


def kill_self(signum: int) -> NoReturn:
    """End the process by the signal itself, or as process 1 with the status that shells show."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    time.sleep(_DELIVERY)
    os._exit(128 + signum)


@contextlib.contextmanager
def interruptible_prompt() -> Iterator[None]:
    """Make Ctrl-C an exception during a hidden prompt, so that the terminal's echo is restored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def interrupted_by_signals(
    task: Interruptible, say_stuck: Callable[[], None]
) -> Iterator[list[int]]:
    """Let SIGINT and SIGTERM interrupt `task`; raise `KilledBySignal` once it has ended.

    Yields a list that will hold the first signal. A second signal ends the process immediately. If
    the task is stuck in a call, `say_stuck` is called and the process ends.
    """
    received: list[int] = []
    second = _SecondSignal()

    def handle(signum: int, _: FrameType | None) -> None:
        if second.is_second(time.monotonic()):
            kill_self(signum)
        if not received:
            received.append(signum)
            task.interrupt(_STALL_TIMEOUTS[signal.Signals(signum)])

    watcher = _Watcher(task, say_stuck)
    handled = [
        signum for signum in _STALL_TIMEOUTS if signal.getsignal(signum) is not signal.SIG_IGN
    ]
    before = {signum: signal.signal(signum, handle) for signum in handled}
    before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, lambda *_: task.request())
    if requests:
        task.request()
    try:
        yield received
    finally:
        if not received:
            for signum, handler in before.items():
                signal.signal(signum, handler)
            watcher.stop()
    if received:
        raise KilledBySignal(received[0])


class _SecondSignal:
    """Tells a second signal from one sent twice, as timeout(1) does: to a process and its group."""

    def __init__(self) -> None:
        self._first = inf

    def is_second(self, now: float) -> bool:
        """Return whether a signal at `now` is another one than the first."""
        self._first = min(self._first, now)
        return now > self._first + _SAME_SIGNAL


class _Watcher:
    """A thread that ends the process after a signal if the main thread is stuck.

    Python writes each signal's number into a pipe even while the main thread is stuck. The thread
    starts before any signal: a handler may interrupt the start of a thread, which holds a lock.
    """

    def __init__(self, task: Interruptible, say_stuck: Callable[[], None]) -> None:
        self._task = task
        self._say_stuck = say_stuck
        self._signals, self._sender = os.pipe()
        os.set_blocking(self._sender, False)
        threading.Thread(target=self._run, name="chatapp-tail-watch", daemon=True).start()
        signal.set_wakeup_fd(self._sender, warn_on_full_buffer=False)

    def stop(self) -> None:
        """End the thread; the process continues."""
        signal.set_wakeup_fd(-1)
        os.close(self._sender)

    def _run(self) -> None:
        for signum in iter(self._next, None):
            if signum in _STALL_TIMEOUTS:
                self._wait_until_stuck(signum)
                self._say_stuck()
                kill_self(signum)
        os.close(self._signals)

    def _next(self, timeout: float | None = None) -> int | None:
        """Return the number of the next signal; None after `timeout` seconds or after `stop`."""
        readable, _, _ = select.select([self._signals], [], [], timeout)
        received = os.read(self._signals, 1) if readable else b""
        return received[0] if received else None

    def _wait_until_stuck(self, first: int) -> None:
        """Wait until the task makes no turn for too long; a second signal ends the process."""
        grace = _STALL_TIMEOUTS[signal.Signals(first)] + _SLACK
        second = _SecondSignal()
        turns, since = -1, time.monotonic()
        second.is_second(since)
        while time.monotonic() < since + grace:
            if self._task.turns != turns:
                turns, since = self._task.turns, time.monotonic()
            signum = self._next(_CHECK_EVERY)
            if signum in _STALL_TIMEOUTS and second.is_second(time.monotonic()):
                kill_self(signum)
