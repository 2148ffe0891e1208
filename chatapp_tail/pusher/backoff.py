"""Decides when to dial: exponential backoff with full jitter, under a rate limit.

Other clients have hot loops (pusher-js: 400 dials in a second after close code 4200), all of them
because of a path around the backoff. Here every dial is granted by `Backoff`, whose rate limit no
close code bypasses.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum


class Retry(Enum):
    """How soon the end of a link allows the next dial."""

    IMMEDIATE = "immediate"
    BACK_OFF = "back off"
    OVER_CAPACITY = "over capacity"


STABLE_AFTER = 30.0
"""Seconds a link must have been subscribed before its loss counts as a first failure again."""

_BASE, _CAP, _CAP_OVER_CAPACITY, _FLOOR_OVER_CAPACITY = 1.0, 30.0, 60.0, 1.0
_IMMEDIATE_LIMIT = 3
_RETRY_AFTER_MAX = 300.0
_WINDOW_DIALS, _WINDOW_SPAN = 5, 10.1


def random_fraction() -> float:
    """Return a random float in [0, 1)."""
    import random  # takes 1 ms, so it is imported at the first failure

    return random.random()


def full_jitter(random: Callable[[], float], failures: int, base: float, cap: float) -> float:
    """Return a random delay in seconds below a span that doubles from `base` to `cap`."""
    return random() * min(base * 2.0 ** min(failures, 10), cap)


class Backoff:
    """Computes the time of the next dial from the end of the last link.

    Full jitter over a span that doubles from 1 s to 30 s (60 s when the server is over capacity);
    a first failure waits 0 to 1 s. Never more than five dials in any ten seconds. Times are
    monotonic seconds, `random` returns a float in [0, 1).
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self.failures = 0
        self._random = random
        self._immediate_in_row = 0
        self._dials: deque[float] = deque(maxlen=_WINDOW_DIALS)

    def dialled(self, now: float) -> None:
        """Note that a dial begins."""
        self._dials.append(now)

    def next_dial(
        self, since: float, retry: Retry, *, stable_for: float, not_before: float = 0.0
    ) -> float:
        """Return when to dial after a link ended, or a dial that began, at `since`.

        `stable_for` is how many seconds it was subscribed, `not_before` what the server asked for
        (Retry-After).
        """
        if stable_for >= STABLE_AFTER:
            self.failures = self._immediate_in_row = 0
        delay = self._delay(retry)
        self.failures += 1
        asked = min(not_before, since + _RETRY_AFTER_MAX)
        return max(since + delay, asked, self._window_opens(since))

    def _delay(self, retry: Retry) -> float:
        if retry is Retry.IMMEDIATE and self._immediate_in_row < _IMMEDIATE_LIMIT:
            self._immediate_in_row += 1
            return 0.0
        if retry is Retry.OVER_CAPACITY:
            longest = _CAP_OVER_CAPACITY - _FLOOR_OVER_CAPACITY
            return _FLOOR_OVER_CAPACITY + full_jitter(self._random, self.failures, _BASE, longest)
        return full_jitter(self._random, self.failures, _BASE, _CAP)

    def _window_opens(self, now: float) -> float:
        if len(self._dials) < _WINDOW_DIALS:
            return now
        return max(now, self._dials[0] + _WINDOW_SPAN)
