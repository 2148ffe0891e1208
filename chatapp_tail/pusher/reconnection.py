"""Decides after each link which endpoint is dialled next, when, and whether at all."""

from collections import deque
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from ..items import StopCause
from .backoff import STABLE_AFTER, Backoff, Retry
from .endpoint import Endpoint
from .refusals import ServerRefusals
from .session import Outcome


class Reconnection:
    """The dials of one connection; times are monotonic seconds."""

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        random: Callable[[], float],
        *,
        max_retries: int | None = None,
    ) -> None:
        self._endpoints = deque(endpoints)
        self._backoff = Backoff(random)
        self._refusals = ServerRefusals(len(self._endpoints))
        self._max_retries = max_retries
        self._failures_in_row = 0
        self._dialled_at = 0.0

    def start_dial(self, now: float) -> Endpoint:
        """Note that a dial begins, and return its endpoint."""
        self._dialled_at = now
        self._backoff.dialled(now)
        return self._endpoints[0]

    def judge(self, outcome: Outcome, now: float) -> Outcome:
        """Move on from an endpoint that did not last, and retry refusals that may be temporary."""
        if outcome.ended is None:
            return outcome
        if outcome.subscribed_for < STABLE_AFTER:
            self._endpoints.rotate(-1)
        ended = self._refusals.judge(
            outcome.ended,
            now,
            established=outcome.lasted is not None,
            subscribed=outcome.subscribed_for > 0,
        )
        return replace(outcome, ended=ended)

    def stop_cause(self, outcome: Outcome, endpoint: Endpoint) -> StopCause | None:
        """Return why there is no next dial after a link to `endpoint`; None if there is one."""
        ended = outcome.ended
        assert ended is not None
        if ended.stop:
            return ended.stop
        if ended.needs_tls and endpoint.tls:
            return StopCause.SERVER_REFUSED
        if ended.needs_tls:
            self._endpoints[self._endpoints.index(endpoint)] = endpoint.with_tls()
        self._failures_in_row = 1 if outcome.subscribed_for else self._failures_in_row + 1
        limit = self._max_retries
        unreachable = limit is not None and self._failures_in_row > limit
        return StopCause.UNREACHABLE if unreachable else None

    def next_dial(self, outcome: Outcome, now: float) -> float:
        """Return the time of the next dial."""
        assert outcome.ended is not None
        # The delay counts from the loss of a link, but from the start of a dial that failed.
        since = now if outcome.lasted is not None else self._dialled_at
        return self._backoff.next_dial(
            since,
            outcome.ended.retry or Retry.BACK_OFF,
            stable_for=outcome.subscribed_for,
            not_before=now + outcome.retry_after,
        )
