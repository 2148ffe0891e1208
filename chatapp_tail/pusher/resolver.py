"""Resolves host names in a daemon thread, with a deadline, so that a stop ends the wait.

`getaddrinfo` cannot be interrupted, and with two dead name servers takes longer than a whole dial
may last. So it has a deadline of its own, and a thread that is not joined.
"""

import select
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..threads import DaemonThreadPool, Waker, outcome

LOOKUP_TIMEOUT = 30.0
"""Seconds a lookup may take."""

_MAX_WORKERS = 8
"""Concurrent lookups; abandoned ones count until `getaddrinfo` returns."""

Address = tuple[socket.AddressFamily, socket.SocketKind, int, Any]
"""Family, kind, protocol and address, as `socket.socket` and `connect` take them."""


class DialCancelled(Exception):
    """A wait ended because the connection is asked to stop."""


class Resolver:
    """Resolves host names; `stopping` is asked whenever `waker` ends a wait."""

    def __init__(self, waker: Waker, stopping: Callable[[], bool]) -> None:
        self._waker = waker
        self._stopping = stopping
        self._workers = DaemonThreadPool("chatapp-tail-names", _MAX_WORKERS)

    def addresses(self, host: str, port: int, timeout: float | None = None) -> list[Address]:
        """Return at least one address; OSError says why there is none, DialCancelled is a stop.

        The lookup may take `timeout` seconds, None for LOOKUP_TIMEOUT.
        """
        timeout = LOOKUP_TIMEOUT if timeout is None else timeout
        try:
            addresses = _look_up(host, port, flags=socket.AI_NUMERICHOST)
        except OSError:
            addresses = self._in_thread(host, port, timeout)
        if not addresses:
            raise OSError("its name has no address")
        return addresses

    def _in_thread(self, host: str, port: int, timeout: float) -> list[Address]:
        answers: list[list[Address] | Exception] = []

        def look_up() -> None:
            answers.append(outcome(partial(_look_up, host, port)))
            self._waker.wake()

        self._workers.submit(look_up)
        deadline = time.monotonic() + timeout
        waits = select.poll()
        waits.register(self._waker, select.POLLIN)
        while not answers:
            if self._stopping():
                raise DialCancelled
            left = deadline - time.monotonic()
            if left <= 0:
                raise OSError(f"its name could not be resolved within {timeout:g} s")
            if waits.poll(left * 1000):
                self._waker.clear()
        (answer,) = answers
        if isinstance(answer, Exception):
            raise answer
        return answer


def _look_up(host: str, port: int, flags: int = 0) -> list[Address]:
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, kind, protocol, address) for family, kind, protocol, _, address in entries]
