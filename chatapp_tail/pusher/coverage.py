"""Knows for which spans of time each channel was not covered.

Protocol 7 delivers at most once and keeps no history, so nobody can promise every event. What can
be promised is to know when one may be missing. A frame that arrives proves little about the moment
it is read: it may have been under way for a while, and what was sent after it may be lost with the
link. Only an answer proves something, namely about the moment of the question. So a hole begins
when the last ping that was answered was sent, or the last request for the channel that was
confirmed, and it ends with the new confirmation.
"""

from collections import deque

from .items import Gap


class Coverage:
    """Opens a hole per channel when a link is lost and closes it on the next confirmation.

    Moments are wall-clock nanoseconds.
    """

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, str]] = {}

    def lost(self, channel: str, since: int, reason: str) -> None:
        """Note that nothing vouches for `channel` from `since` on; an older hole stays open."""
        self._open.setdefault(channel, (since, reason))

    def regained(self, channel: str, until: int) -> Gap | None:
        """Return the hole that a confirmation at `until` closes, if there is one."""
        if channel not in self._open:
            return None
        since, reason = self._open.pop(channel)
        return Gap(channel, since, until, reason)

    def close(self, until: int) -> list[Gap]:
        """Return the holes still open when everything ends."""
        gaps = [Gap(name, since, until, why, True) for name, (since, why) in self._open.items()]
        self._open.clear()
        return gaps


class Proof:
    """What one link has proved so far, by questions that were answered."""

    def __init__(self) -> None:
        self._pings: deque[int] = deque()
        self._answered = 0
        self._asked: dict[str, int] = {}
        self._confirmed: dict[str, int] = {}

    def ping_sent(self, at: int) -> None:
        """Note the moment just before a ping goes out."""
        self._pings.append(at)

    def pong_came(self) -> bool:
        """Note an answer to the oldest ping that has none; False: unasked, it proves nothing."""
        if not self._pings:
            return False
        self._answered = self._pings.popleft()
        return True

    def channel_asked(self, channel: str, at: int) -> None:
        """Note the moment just before a request for a channel goes out."""
        self._asked[channel] = at

    def channel_confirmed(self, channel: str) -> None:
        """Note that the last request for a channel was granted."""
        self._confirmed[channel] = self._asked.get(channel, 0)

    def forget(self, channel: str) -> int:
        """Return when a channel that turned out to be forgotten was last confirmed."""
        return self._confirmed.pop(channel)

    def covered_until(self) -> dict[str, int]:
        """Return until when each subscribed channel is known to have been covered."""
        return {name: max(at, self._answered) for name, at in self._confirmed.items()}
