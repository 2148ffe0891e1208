"""A few threads for calls that may hang: daemons, so that nothing keeps the process from ending.

The executors of `concurrent.futures` join their threads at the exit, which takes as long as the
slowest server.
"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue


class Daemons:
    """Makes calls in order, up to `at_once` under way; threads end when there is nothing to do."""

    def __init__(self, name: str, at_once: int) -> None:
        self._name = name
        self._at_once = at_once
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._running = 0

    def call(self, work: Callable[[], None]) -> None:
        """Queue a call, which must not raise; returns at once."""
        self._calls.put(work)
        with self._lock:
            if self._running == self._at_once:
                return
            self._running += 1
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            try:
                return self._calls.get_nowait()
            except Empty:
                self._running -= 1
                return None
