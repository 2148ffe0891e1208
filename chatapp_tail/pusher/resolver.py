"""Looks up host names in a thread, so that a slow resolver can be given up, and a stop ends it.

`getaddrinfo` cannot be interrupted, and two dead name servers take it longer than a whole dial may
last. So it has a deadline of its own, and a thread that nothing waits for.
"""

import select
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from ..threads import DaemonThreadPool, Waker

LOOKUP_TIMEOUT = 30.0
"""Seconds a look-up may take."""

_AT_ONCE = 8
"""Look-ups under way; those that were given up count until the resolver lets go of them."""

Address = tuple[socket.AddressFamily, socket.SocketKind, int, Any]
"""Family, kind, protocol and address, as `socket.socket` and `connect` take them."""


class DialCancelled(Exception):
    """A wait was given up because the connection is asked to stop."""


class Resolver:
    """Returns the addresses of hosts; `stopping` is asked whenever `waker` ends its wait."""

    def __init__(self, waker: Waker, stopping: Callable[[], bool]) -> None:
        self._waker = waker
        self._stopping = stopping
        self._daemons = DaemonThreadPool("chatapp-tail-names", _AT_ONCE)

    def addresses(self, host: str, port: int) -> list[Address]:
        """Return at least one address; OSError says why there is none, DialCancelled: a stop."""
        try:
            found = _look_up(host, port, flags=socket.AI_NUMERICHOST)
        except OSError:
            found = self._in_thread(host, port)
        if not found:
            raise OSError("its name has no address")
        return found

    def _in_thread(self, host: str, port: int) -> list[Address]:
        answers: list[list[Address] | Exception] = []
        self._daemons.submit(partial(_answer, host, port, answers, self._waker))
        deadline = time.monotonic() + LOOKUP_TIMEOUT
        waits = select.poll()
        waits.register(self._waker, select.POLLIN)
        while not answers:
            if self._stopping():
                raise DialCancelled
            left = deadline - time.monotonic()
            if left <= 0:
                raise OSError(f"its name could not be resolved within {LOOKUP_TIMEOUT:g} s")
            if waits.poll(left * 1000):
                self._waker.clear()
        (answer,) = answers
        if isinstance(answer, Exception):
            raise answer
        return answer


def _answer(host: str, port: int, answers: list[list[Address] | Exception], waker: Waker) -> None:
    try:
        answers.append(_look_up(host, port))
    except Exception as error:  # also UnicodeError, of a name that cannot be encoded
        answers.append(error)
    waker.wake()


def _look_up(host: str, port: int, flags: int = 0) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, kind, protocol, address) for family, kind, protocol, _, address in found]
