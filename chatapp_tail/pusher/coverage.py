"""Knows for which spans of time each channel was not covered.

Protocol 7 delivers at most once and keeps no history, so nobody can promise every event. What can
be promised is to know when one may be missing: from the last frame that came over the lost link,
which is the last proof that it worked, to the new confirmation of the channel.
"""

from collections.abc import Iterable

from .items import Gap


class Coverage:
    """Opens a hole per channel when a link is lost and closes it on the next confirmation.

    Moments are wall-clock nanoseconds.
    """

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, str]] = {}

    def lost(self, channels: Iterable[str], since: int, reason: str) -> None:
        """Note that nothing vouches for `channels` from `since` on; an older hole stays open."""
        for channel in channels:
            self._open.setdefault(channel, (since, reason))

    def regained(self, channel: str, until: int) -> Gap | None:
        """Return the hole that a confirmation at `until` closes, if there is one."""
        if channel not in self._open:
            return None
        since, reason = self._open.pop(channel)
        return Gap(channel, since, until, reason)
