"""Requests for history: with retries, at the common rate, and with a bound on the total time."""

import random
import time
from collections.abc import Callable, Mapping
from math import floor
from typing import NamedTuple

from ..chatapp.http import Response
from ..errors import ApiError, ChatAppTailError, CredentialsError
from ..net import parse_http_date
from .answers import Page, read_page
from .rate_limit import RateLimiter

MAX_IN_FLIGHT = 4
"""Concurrent requests."""

_RETRY_TIMEOUT_ALL = 600.0
"""Seconds without any response after which reading ends."""

_RETRY_TIMEOUT_ONE = 60.0
"""Seconds after which one request is abandoned while others succeed."""

_FIRST_WAIT, _MAX_WAIT = 0.5, 30.0
_RETRY_AFTER_MAX = 300.0
_CLOCK_SKEW_TOLERANCE = 5

Ask = Callable[[str, Mapping[str, str]], Response]
"""(path, query) -> the response, as `Api.get` returns it."""


class Clock(NamedTuple):
    """The clocks used, replaceable by tests; all in seconds."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Refusal(ApiError):
    """ChatApp itself refuses the request, and would refuse it again."""


class _Failure(NamedTuple):
    """The failure of a request; `retry_after` are the seconds the server asks to wait.

    `malformed` is a response that may come from an intermediary, such as a gateway during a deploy.
    """

    error: ChatAppTailError
    retry_after: float = 0.0
    malformed: bool = False


class HistoryRequests:
    """Requests pages, and repeats requests that failed for a transient reason.

    For a minute while other requests succeed, for ten while none does, and never for more than
    that on average per thread.
    """

    def __init__(self, ask: Ask, limiter: RateLimiter, clock: Clock) -> None:
        self._ask = ask
        """Sends one request."""
        self._limiter = limiter
        """Spaces the requests of all threads."""
        self._clock = clock
        """The clocks, and how to wait."""
        self.begin()

    def begin(self) -> None:
        """Reset the state for a new reading."""
        self.trouble: str | None = None
        """The last failure, until a request succeeds."""
        self.clock_skew = 0
        """Seconds by which the service's clock is behind ours (negative), as far as known."""
        self.date_seen = False
        """Whether any response had a readable `Date`."""
        self.answers = 0
        """Requests that succeeded."""
        self._last_response = self._clock.monotonic()
        """When the last request succeeded."""
        self._time_lost = 0.0
        """Seconds spent on failed requests and on waiting after them, in all threads."""
        self._abandoned: str | None = None
        """Why no further request is sent, once that is decided."""

    def page(self, path: str, query: Mapping[str, str]) -> Page:
        """Return a page, after as many attempts as it takes.

        Refusal when ChatApp refuses it; ApiError or CredentialsError when it cannot be had now.
        """
        start, wait = self._clock.monotonic(), _FIRST_WAIT
        while True:
            if self._abandoned is not None:
                raise ApiError(self._abandoned)
            self._limiter.wait()
            attempt_start = self._clock.monotonic()
            result = self._try(path, query)
            if isinstance(result, Page):
                return result
            self.trouble = str(result.error)
            start += result.retry_after
            self._time_lost += self._clock.monotonic() - attempt_start + wait
            if not self._should_retry(result, start, wait):
                raise result.error
            self._clock.sleep(random.uniform(wait / 2, wait))
            wait = min(wait * 2, _MAX_WAIT)

    def _try(self, path: str, query: Mapping[str, str]) -> Page | _Failure:
        try:
            reply = self._ask(path, query)
        except (ApiError, CredentialsError) as error:
            # A refused token may be refreshed in a moment, by this process or another.
            return _Failure(error)
        if reply.retryable:
            retry_after = min(reply.retry_after or 0.0, _RETRY_AFTER_MAX)
            self._limiter.pause(retry_after)
            return _Failure(ApiError(reply.summary), retry_after)
        if _is_refusal(reply):
            self._note_response(reply)
            raise Refusal(reply.summary)
        try:
            page = read_page(reply)
        except ApiError as error:
            return _Failure(error, malformed=True)
        self._note_response(reply)
        return page

    def _note_response(self, reply: Response) -> None:
        self.trouble, self._last_response = None, self._clock.monotonic()
        self.answers += 1
        date = parse_http_date(reply.headers.get("Date", ""))
        if date is not None:
            self.date_seen = True
            skew = floor(date - self._clock.wall())
            # Only ever earlier: the clock of the messages may be another one.
            self.clock_skew = min(self.clock_skew, skew if skew < -_CLOCK_SKEW_TOLERANCE else 0)

    def _should_retry(self, trouble: _Failure, start: float, wait: float) -> bool:
        """Return whether to wait and try again; if no request succeeds, none is sent any more."""
        after_wait = self._clock.monotonic() + wait
        if self._time_lost > _RETRY_TIMEOUT_ALL * MAX_IN_FLIGHT + self.answers:
            self._abandoned = str(trouble.error)
        elif trouble.malformed or self._last_response > start:
            return after_wait <= start + min(_RETRY_TIMEOUT_ALL, _RETRY_TIMEOUT_ONE)
        elif after_wait > self._last_response + _RETRY_TIMEOUT_ALL:
            self._abandoned = str(trouble.error)
        return self._abandoned is None


def _is_refusal(reply: Response) -> bool:
    """Return whether a failure comes from ChatApp itself, not from an intermediary."""
    return not reply.ok and reply.refuses and not 300 <= reply.status < 400
