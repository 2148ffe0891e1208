"""Decides when each lane of a destination may make its next attempt.

A lane whose delivery fails waits by itself, with a delay that grows from one failure to the next.
When many lanes fail, it is the destination: all wait, and one lane at a time probes it. Times are
monotonic seconds. No clock, no threads: the caller holds a lock.
"""

from collections.abc import Callable
from math import inf

import msgspec

from ..pusher.backoff import full_jitter

_PROBING_FROM = 5
"""Failing lanes from which on one of them probes and all others wait."""
_REFUSALS_BELIEVED = 20


class Pace(msgspec.Struct, frozen=True):
    """Delays in seconds: the spans they double from and to."""

    first: float = 0.5
    first_of_wrong: float = 5.0
    longest: float = 60.0
    longest_asked: float = 3600.0
    """Limit of what a server may ask for with Retry-After."""


class Failure(msgspec.Struct, frozen=True):
    """A failed attempt: seconds until the next, and whether nothing is acknowledged at present."""

    retry_in: float
    is_total: bool


class _Lane(msgspec.Struct):
    """The failures of a lane's current delivery, the first of which began at `since`."""

    failures: int = 0
    since: float = inf
    retry_at: float = 0.0


class Pacing:
    """The state of all lanes; `random` returns a float in [0, 1)."""

    def __init__(self, lanes: int, pace: Pace, random: Callable[[], float]) -> None:
        self._lanes = [_Lane() for _ in range(lanes)]
        self._pace = pace
        self._random = random
        self._failing: set[int] = set()
        """Lanes whose last attempt failed."""
        self._threshold = min(_PROBING_FROM, lanes)
        self._prober: int | None = None
        """The lane that makes an attempt while the others wait."""
        self._probe_at = 0.0
        self._probes = 0
        """Probes in a row that failed."""
        self._held_until = 0.0
        """Until then no lane makes an attempt, because the server asked so."""
        self._last_success = -inf
        self._refusals = 0
        """Deliveries refused since the last success."""

    @property
    def _probing(self) -> bool:
        return len(self._failing) >= self._threshold

    def may_begin(self, lane: int) -> float:
        """Return when a lane may make an attempt; infinity while another lane probes."""
        if not self._probing:
            return max(self._lanes[lane].retry_at, self._held_until)
        if self._prober not in (None, lane):
            return inf
        return max(self._probe_at, self._held_until)

    def began(self, lane: int) -> None:
        """Note that a lane makes an attempt."""
        if self._probing:
            self._prober = lane

    def succeeded(self, lane: int, now: float) -> bool:
        """Note a success; return whether it ends the probing, so that others may begin."""
        ends = self._recover(lane, now)
        self._last_success = now
        self._refusals = 0
        return ends

    def refused(self, lane: int, now: float) -> bool:
        """Note a refusal and return whether to believe it.

        After 20 in a row it is the endpoint that is wrong, until a success.
        """
        if self._refusals >= _REFUSALS_BELIEVED:
            return False
        self._refusals += 1
        self._recover(lane, now)
        return True

    def failed(
        self,
        lane: int,
        began: float,
        now: float,
        *,
        wrong: bool = False,
        asked: float | None = None,
        working: int = 1,
    ) -> Failure:
        """Note a failed attempt.

        With `wrong` the endpoint is wrong, which takes longer to change. `asked` is the server's
        Retry-After, `working` the number of lanes that have deliveries.
        """
        state = self._lanes[lane]
        state.since = min(state.since, began)
        was_probing, was_prober = self._probing, self._prober == lane
        state.retry_at = now + self._delay(state.failures, wrong)
        state.failures += 1
        self._failing.add(lane)
        if asked is not None:
            self._held_until = max(self._held_until, now + min(asked, self._pace.longest_asked))
        if self._probing and (was_prober or not was_probing):
            self._wait_for_probe(now, wrong)
        total = self._probing or len(self._failing) >= working
        alone = wrong and self._last_success < state.since
        return Failure(max(0.0, self._next(state) - now), total or alone)

    def gave_up(self, lane: int) -> None:
        """Note that a lane leaves its delivery."""
        self._failing.discard(lane)
        self._lanes[lane] = _Lane()
        if self._prober == lane:
            self._prober = None

    def _wait_for_probe(self, now: float, wrong: bool) -> None:
        self._probe_at = now + self._delay(self._probes, wrong)
        self._probes += 1
        self._prober = None

    def _next(self, state: _Lane) -> float:
        return max(self._probe_at if self._probing else state.retry_at, self._held_until)

    def _delay(self, failures: int, wrong: bool) -> float:
        pace = self._pace
        if wrong:
            return min(pace.first_of_wrong * 2.0 ** min(failures, 10), pace.longest)
        return full_jitter(self._random, failures, pace.first, pace.longest)

    def _recover(self, lane: int, now: float) -> bool:
        """Note that the destination answered a lane; return whether that ends the probing.

        Lanes that failed while others succeeded keep their delays: their deliveries are at fault.
        """
        was_probing = self._probing
        if was_probing:
            for other in self._failing:
                state = self._lanes[other]
                if state.since > self._last_success:
                    state.retry_at = now
            self._failing.clear()
            self._probes = 0
            self._prober = None
        self.gave_up(lane)
        return was_probing
