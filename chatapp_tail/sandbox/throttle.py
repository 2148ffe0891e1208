"""How many requests a second are answered."""

import threading
import time
from collections import deque
from collections.abc import Callable


class Throttle:
    """Lets at most `limit` calls through in any one second; None lets all through.

    ChatApp counts by IP address. Here everybody comes from 127.0.0.1, so one count does.
    """

    def __init__(self, limit: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._admitted: deque[float] = deque()

    def admits(self) -> bool:
        """Say whether one more call may pass now, and count it if so."""
        if self._limit is None:
            return True
        with self._lock:
            now = self._clock()
            while self._admitted and self._admitted[0] <= now - 1:
                self._admitted.popleft()
            if len(self._admitted) >= self._limit:
                return False
            self._admitted.append(now)
            return True
