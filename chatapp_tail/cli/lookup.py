"""Finds channels by the account's licences, for --license or --messenger alone and for --all."""

import threading
import time
from collections.abc import Callable, Sequence
from math import inf
from queue import Empty, SimpleQueue

from msgspec.structs import replace

from ..chatapp.licenses import License, write_completion_cache
from ..errors import ApiError, ChannelsError
from ..items import ConnectionWarning
from ..pusher.backoff import Backoff, Retry, random_fraction
from ..reporting.summary import format_duration
from ..tail.deadlines import Limits
from ..threads import DaemonThreadPool, outcome
from .config import Settings

Ask = Callable[[], list[License]]
"""Asks the API once; ApiError or CredentialsError."""

Say = Callable[[ConnectionWarning], None]


def with_channels(settings: Settings, ask: Ask, say: Say) -> Settings:
    """Return the settings with the selected channels, and with the rest of the time of --for.

    Requests are repeated until the API answers, within the limits. A selected licence or messenger
    that does not exist is reported, or with --strict an error. ChannelsError when no channel is
    left, CredentialsError, ApiError.
    """
    began = time.monotonic()
    limits = settings.limits
    until = began + min(limits.duration or inf, limits.idle or inf)
    lookup = Lookup(ask, say, max_retries=settings.connection.max_retries, until=until)
    licenses = lookup.licenses()
    if not settings.sandbox:
        write_completion_cache(licenses)
    channels = settings.selection.channels(licenses)
    if not channels:
        raise ChannelsError(settings.selection.explain_nothing(licenses))
    _say_missing(settings, licenses, say)
    connection = replace(settings.connection, channels=channels)
    return replace(settings, connection=connection, limits=_remaining(limits, began))


def _say_missing(settings: Settings, licenses: Sequence[License], say: Say) -> None:
    missing = settings.selection.explain_missing(licenses)
    if missing and settings.connection.strict:
        raise ChannelsError("; ".join(missing))
    for sentence in missing:
        say(ConnectionWarning(time.time_ns(), sentence))


def _remaining(limits: Limits, began: float) -> Limits:
    if limits.duration is None:
        return limits
    return replace(limits, duration=max(0.0, limits.duration - (time.monotonic() - began)))


class Lookup:
    """Requests the licences until there is an answer, `until` (monotonic) at the latest.

    After more than `max_retries` failures it gives up; None is no limit.
    """

    def __init__(self, ask: Ask, say: Say, *, max_retries: int | None, until: float) -> None:
        self._ask = ask
        self._say = say
        self._max_retries = inf if max_retries is None else max_retries
        self._until = until
        # In its own thread, so that a slow server cannot exceed the limits.
        self._daemon = DaemonThreadPool("chatapp-tail-licences", 1)
        self._backoff = Backoff(random_fraction)
        self._last_error = ""

    def licenses(self) -> list[License]:
        """Return the licences; CredentialsError, or ApiError once retries or time are used up."""
        while True:
            try:
                return self._ask_once()
            except ApiError as error:
                if error.lasting or self._backoff.failures >= self._max_retries:
                    raise
                self._pause_after(error)

    def _ask_once(self) -> list[License]:
        answers: SimpleQueue[list[License] | Exception] = SimpleQueue()
        self._backoff.dialled(time.monotonic())
        self._daemon.submit(lambda: answers.put(outcome(self._ask)))
        try:
            answer = answers.get(timeout=_waitable(self._until - time.monotonic()))
        except Empty:
            raise self._timed_out() from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _pause_after(self, error: ApiError) -> None:
        now = time.monotonic()
        again = self._backoff.next_dial(
            now, Retry.BACK_OFF, stable_for=0.0, not_before=now + error.retry_after
        )
        if (reason := str(error)) != self._last_error:
            self._last_error = reason
            in_time = f"trying again in {format_duration(again - now)}"
            self._say(
                ConnectionWarning(time.time_ns(), f"cannot list the licences: {reason}; {in_time}")
            )
        threading.Event().wait(_waitable(min(again, self._until) - now))
        if again >= self._until:
            raise self._timed_out()

    def _timed_out(self) -> ApiError:
        reason = self._last_error or "no answer yet"
        return ApiError(f"the time was over before the licences could be listed: {reason}")


def _waitable(seconds: float) -> float:
    return min(max(0.0, seconds), threading.TIMEOUT_MAX)
