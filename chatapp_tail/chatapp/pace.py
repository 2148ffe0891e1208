"""How fast the API may be asked for history, so that other programs of the account still can."""

import threading
import time
from collections import deque
from collections.abc import Callable

PER_SECOND = 10
"""ChatApp's users quote 50 requests a second and address; a tail takes a fifth of that."""


class Pace:
    """Lets several threads begin `per_second` requests in any one second, and none in a pause."""

    def __init__(
        self,
        per_second: int = PER_SECOND,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.begun = 0
        """How many requests so far."""
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._turns: deque[float] = deque([-1.0] * per_second, maxlen=per_second)
        self._pause_ends = 0.0

    def wait(self) -> None:
        """Return when the next request may begin."""
        while (left := self._claim()) > 0:
            self._sleep(left)

    def pause(self, seconds: float) -> None:
        """Begin no request for so long, because the server said so."""
        with self._lock:
            self._pause_ends = max(self._pause_ends, self._clock() + seconds)

    def _claim(self) -> float:
        """Take a turn, or return the seconds after which to try again."""
        with self._lock:
            now = self._clock()
            left = max(self._turns[0] + 1.0, self._pause_ends) - now
            if left <= 0:
                self._turns.append(now)
                self.begun += 1
            return left
