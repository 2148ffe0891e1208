"""A pool of daemon threads for calls that may hang, and a waker for threads that wait in poll.

The executors of `concurrent.futures` join their threads at exit, which takes as long as the slowest
server; daemon threads do not keep the process from ending.
"""

import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LINGER = 0.1
"""Seconds without a call after which a thread ends; starting one takes as long as a response."""


def outcome(call: Callable[[], T]) -> T | Exception:
    """Return the result of a call, or its exception, to be handed to another thread."""
    try:
        return call()
    except Exception as error:
        return error


class DaemonThreadPool:
    """Makes calls in order, at most `max_workers` at once; idle threads end."""

    def __init__(self, name: str, max_workers: int) -> None:
        self._name = name
        self._max_workers = max_workers
        self._calls: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._running = self._idle = 0

    def submit(self, work: Callable[[], None]) -> None:
        """Queue a call, which must not raise; returns at once."""
        with self._changed:
            self._calls.append(work)
            if self._idle >= len(self._calls):
                self._changed.notify()
                return
            if self._running == self._max_workers:
                return
            self._running += 1
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._calls, _LINGER)
            self._idle -= 1
            if self._calls:
                return self._calls.popleft()
            self._running -= 1
            return None


class Waker:
    """A descriptor that becomes readable when woken, once or several times."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def wake(self) -> None:
        """End the current or the next wait."""
        try:
            self._sender.send(b"!")
        except OSError:
            return  # full: a wake-up is pending already; closed: no thread waits

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._receiver.fileno()

    def clear(self) -> None:
        """Discard the wake-ups so far."""
        try:
            self._receiver.recv(65536)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Release both ends."""
        self._receiver.close()
        self._sender.close()
