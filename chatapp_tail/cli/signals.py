"""SIGINT, SIGTERM and SIGUSR1, from the start of the program to its death by one of them."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn, Protocol

_PATIENCE = {signal.SIGINT: 1.0, signal.SIGTERM: 10.0}
"""Signal -> seconds for which stdout may take nothing before what is left is given up. A person at
the keyboard does not wait; a supervisor does, so that a reader that lives gets everything."""
_SLACK = 0.5
"""Seconds after which a task that should have ended by itself is taken to be stuck."""
_LOOK_EVERY = 0.1
_DELIVERY = 0.1
"""Seconds in which a signal that a process sends itself has ended it."""

_Handler = Callable[[int, FrameType | None], object] | signal.Handlers

_requests: list[int] = []
"""Each SIGUSR1 that came while there was no task to answer it."""


class Interruptible(Protocol):
    """What a signal asks to end; `turns` grows as long as it is not stuck in a call."""

    turns: int

    def interrupt(self, patience: float) -> None:
        """End soon, without waiting for stdout longer than that; called from a signal handler."""

    def request(self) -> None:
        """Say how it goes; called from a signal handler."""


class DeathBySignal(Exception):
    """Everything is written; die as the signal wants it, so that a shell sees 130 or 143."""

    def __init__(self, signum: int) -> None:
        self.signum = signum


def prepare_for_signals() -> None:
    """Let a signal end the process at once, also in the middle of imports, until there is a task.

    What the parent told us to ignore (a job in the background of a script) stays ignored. SIGUSR1
    is remembered.
    """
    for signum in _PATIENCE:
        if signal.getsignal(signum) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(signum, _at_once())
    signal.signal(signal.SIGUSR1, lambda signum, _: _requests.append(signum))


def _at_once() -> _Handler:
    """Return the handler that ends the process at once."""
    # The kernel withholds signals without a handler from process 1, that of a container.
    return _exit_as_killed if os.getpid() == 1 else signal.SIG_DFL


def _exit_as_killed(signum: int, _: FrameType | None = None) -> NoReturn:
    os._exit(128 + signum)


def die_by(signum: int) -> NoReturn:
    """End the process by the signal itself, or as process 1 with the status a shell would show."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    time.sleep(_DELIVERY)
    _exit_as_killed(signum)


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
    """Let SIGINT and SIGTERM interrupt `task`; raise `DeathBySignal` once it has ended.

    Yields a list that will hold the first signal. A second one ends the process at once. A task
    that is stuck in a call is not waited for: that is said, and the process ends.
    """
    received: list[int] = []
    asked = threading.Event()

    def handle(signum: int, _: FrameType | None) -> None:
        if received:  # two came before Python called this for the first of them
            die_by(signum)
        received.append(signum)
        for each in handled:
            signal.signal(each, _at_once())
        task.interrupt(_PATIENCE[signal.Signals(signum)])
        asked.set()

    def watch() -> None:
        asked.wait()
        _wait_until_stuck(task, _PATIENCE[signal.Signals(received[0])] + _SLACK)
        say_stuck()
        die_by(received[0])

    # A handler that started the thread could deadlock: it may interrupt the start of another one.
    threading.Thread(target=watch, name="chatapp-tail-watch", daemon=True).start()
    handled = [each for each in _PATIENCE if signal.getsignal(each) is not signal.SIG_IGN]
    before = {signum: signal.signal(signum, handle) for signum in handled}
    before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, lambda *_: task.request())
    if _requests:
        task.request()
    try:
        yield received
    finally:
        if not received:
            for signum, handler in before.items():
                signal.signal(signum, handler)
    if received:
        raise DeathBySignal(received[0])


def _wait_until_stuck(task: Interruptible, grace: float) -> None:
    """Return when a task has made no turn for `grace` seconds."""
    turns, since = task.turns, time.monotonic()
    while time.monotonic() < since + grace:
        time.sleep(_LOOK_EVERY)
        if task.turns != turns:
            turns, since = task.turns, time.monotonic()
