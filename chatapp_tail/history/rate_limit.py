"""The rate limit of history requests, which leaves room for other programs of the account."""

import threading
import time
from collections.abc import Callable

EVERY = 0.12
"""Seconds between two requests, so that the server sees at most ten in any one second, also when
some are delayed; ChatApp's users quote 50 per address. Evenly spaced, since the delayed end of a
burst may coincide with the next one.
"""


class RateLimiter:
    """Spaces the requests of several threads evenly, and delays all of them during a pause."""

    def __init__(
        self,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._every = every
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when the next request may begin."""
        while (left := self._acquire()) > 0:
            self._sleep(left)

    def pause(self, seconds: float) -> None:
        """Delay all requests for `seconds`, as the server asked for with Retry-After."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)

    def _acquire(self) -> float:
        """Return 0 for a request that may begin, or the seconds after which to try again."""
        with self._lock:
            now = self._clock()
            if now >= self._next:
                self._next = now + self._every
                return 0.0
            return self._next - now
