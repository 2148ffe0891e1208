"""Tells permanent refusals from temporary ones.

A server that is being deployed, or lacks a resource, refuses what it granted before and grants it
again later. So the refusal of something that was accepted before counts only if it lasts; the
refusal of anything else counts immediately. Times are monotonic seconds.
"""

import msgspec
from msgspec.structs import replace

from ..items import StopCause
from .backoff import Retry
from .close_codes import CloseReason

_IN_A_ROW = 3
_LASTING_OF_SERVER = 300.0


class _Streak(msgspec.Struct):
    """Consecutive refusals, the first of them at `since`."""

    since: float
    count: int = 0


class ChannelRefusals:
    """The channels that were confirmed in this process, and the refusals since.

    Lives as long as the process. The refusal of a confirmed channel counts once it was repeated for
    `lasting` seconds, and at least three times in a row.
    """

    def __init__(self, lasting: float) -> None:
        self._lasting = lasting
        self._confirmed: set[str] = set()
        self._streaks: dict[str, _Streak] = {}

    def confirmed(self, channel: str) -> None:
        """Note that the server confirmed a channel."""
        self._confirmed.add(channel)
        self._streaks.pop(channel, None)

    def believed(self, channel: str, now: float, *, clear: bool) -> bool:
        """Note a refusal and return whether it counts; `clear` if it names the channel."""
        if clear and channel not in self._confirmed:
            return True
        streak = self._streaks.setdefault(channel, _Streak(now))
        streak.count += 1
        return streak.count >= _IN_A_ROW and now - streak.since >= self._lasting


class ServerRefusals:
    """Whether a server that refuses the connection itself is tried again.

    One that accepted a connection before is, for five minutes; after an HTTP status without limit,
    because any gateway on the path can send one. Otherwise the other endpoints are tried first.
    """

    def __init__(self, endpoints: int) -> None:
        self._endpoints = endpoints
        self._accepted = False
        self._streak: _Streak | None = None

    def judge(
        self, ended: CloseReason, now: float, *, established: bool, subscribed: bool
    ) -> CloseReason:
        """Return how a link ended, to be retried if the refusal may be temporary.

        After a subscription every refusal counts: it was meant for this connection.
        """
        if subscribed:
            self._streak = None
        else:
            ended = self._allow_retry(ended, now)
        self._accepted |= established
        return ended

    def _allow_retry(self, ended: CloseReason, now: float) -> CloseReason:
        if ended.stop is not StopCause.SERVER_REFUSED:
            self._streak = None if self._accepted else self._streak
            return ended
        streak = self._streak = self._streak or _Streak(now)
        streak.count += 1
        if not self._retried(ended, streak, now):
            return ended
        retry = Retry.OVER_CAPACITY if self._accepted else Retry.BACK_OFF
        return replace(ended, stop=None, retry=retry)

    def _retried(self, ended: CloseReason, streak: _Streak, now: float) -> bool:
        if not self._accepted:
            return streak.count < self._endpoints
        by_http = (ended.code or 0) < 1000
        return by_http or now - streak.since < _LASTING_OF_SERVER
