"""How fast the API may be asked for history, so that other programs of the account still can."""

import threading
import time
from collections.abc import Callable

EVERY = 0.12
"""Seconds between two requests, so that the server sees at most ten in any one second, also when
some are late; ChatApp's users quote 50 for an address. Evenly, since the late end of a burst may
come together with the next one.
"""


class RateLimiter:
    """Lets the requests of several threads begin one after the other, and none in a pause."""

    def __init__(
        self,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.begun = 0
        """How many requests so far."""
        self._every = every
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Return when the next request may begin."""
        while (left := self._claim()) > 0:
            self._sleep(left)

    def pause(self, seconds: float) -> None:
        """Begin no request for so long, because the server said so."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)

    def _claim(self) -> float:
        """Take a turn, or return the seconds after which to try again."""
        with self._lock:
            now = self._clock()
            if now >= self._next:
                self._next = now + self._every
                self.begun += 1
                return 0.0
            return self._next - now
