"""What SIGINT, SIGTERM and SIGUSR1 do to a task, and death by one of them."""

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

_PATIENCE = {signal.SIGINT: 1.0, signal.SIGTERM: 10.0}
"""Signal -> seconds for which stdout may take nothing before what is left is given up. A person at
the keyboard does not wait; a supervisor does, so that a reader that lives gets everything."""
_SLACK = 0.5
"""Seconds after which a task that should have ended by itself is taken to be stuck."""
_LOOK_EVERY = 0.1
_TWICE = 0.1
"""Seconds in which a signal that comes again is the same one."""
_DELIVERY = 0.1
"""Seconds in which a signal that a process sends itself has ended it."""


class Interruptible(Protocol):
    """What a signal asks to end; `turns` grows as long as it is not stuck in a call."""

    turns: int

    def interrupt(self, patience: float) -> None:
        """End soon, without waiting for stdout longer than that; called from a signal handler."""

    def request(self) -> None:
        """Say how it goes; called from a signal handler."""


class KilledBySignal(Exception):
    """Everything is written; die as the signal wants it, so that a shell sees 130 or 143."""

    def __init__(self, signum: int) -> None:
        self.signum = signum


def kill_self(signum: int) -> NoReturn:
    """End the process by the signal itself, or as process 1 with the status a shell would show."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    time.sleep(_DELIVERY)
    os._exit(128 + signum)


@contextlib.contextmanager
def interruptible_prompt() -> Iterator[None]:
    """Let Ctrl-C be an exception while a prompt hides what is typed: the echo must come back."""
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

    Yields a list that will hold the first signal. A second one ends the process at once. A task
    that is stuck in a call is not waited for: that is said, and the process ends.
    """
    received: list[int] = []
    second = _SecondSignal()

    def handle(signum: int, _: FrameType | None) -> None:
        if second.is_it(time.monotonic()):
            kill_self(signum)
        if not received:
            received.append(signum)
            task.interrupt(_PATIENCE[signal.Signals(signum)])

    watcher = _Watcher(task, say_stuck)
    handled = [signum for signum in _PATIENCE if signal.getsignal(signum) is not signal.SIG_IGN]
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
    """Tells a second signal from one sent twice, as timeout(1) does: to us and to our group."""

    def __init__(self) -> None:
        self._first = inf

    def is_it(self, now: float) -> bool:
        """Return whether a signal that came now is another one than the first."""
        self._first = min(self._first, now)
        return now > self._first + _TWICE


class _Watcher:
    """A thread that ends the process when the main thread does not come to handle signals.

    Python tells it of each signal through a pipe, also while the main thread is stuck. It starts
    before there is one: a handler may interrupt the start of another thread, which holds a lock.
    """

    def __init__(self, task: Interruptible, say_stuck: Callable[[], None]) -> None:
        self._task = task
        self._say_stuck = say_stuck
        self._signals, self._sender = os.pipe()
        os.set_blocking(self._sender, False)
        threading.Thread(target=self._run, name="chatapp-tail-watch", daemon=True).start()
        signal.set_wakeup_fd(self._sender, warn_on_full_buffer=False)

    def stop(self) -> None:
        """End the thread; the process goes on."""
        signal.set_wakeup_fd(-1)
        os.close(self._sender)

    def _run(self) -> None:
        for signum in iter(self._next, None):
            if signum in _PATIENCE:
                self._wait_until_stuck(signum)
                self._say_stuck()
                kill_self(signum)
        os.close(self._signals)

    def _next(self, timeout: float | None = None) -> int | None:
        """Return the number of the next signal, None when there is none within `timeout` seconds.

        And after the last.
        """
        readable, _, _ = select.select([self._signals], [], [], timeout)
        received = os.read(self._signals, 1) if readable else b""
        return received[0] if received else None

    def _wait_until_stuck(self, first: int) -> None:
        """Wait until the task has made no turn for longer than it should; or for another signal."""
        grace = _PATIENCE[signal.Signals(first)] + _SLACK
        second = _SecondSignal()
        turns, since = -1, time.monotonic()
        second.is_it(since)
        while time.monotonic() < since + grace:
            if self._task.turns != turns:
                turns, since = self._task.turns, time.monotonic()
            signum = self._next(_LOOK_EVERY)
            if signum in _PATIENCE and second.is_it(time.monotonic()):
                kill_self(signum)
