"""A cursor for a list that can be paged only by the times of its items."""

from collections.abc import Sequence
from typing import NamedTuple

from .answers import PAGE

MOST_PINNED = 10
"""Pinned chats at most, which are on every page."""

Seen = Sequence[tuple[int, bool]]
"""(place, whether it is listed for the first time) of the items of a page; see `TimeCursor`."""


class TimeCursor:
    """Pages through a list by descending places: times of chats, or negated times of messages.

    A page requested at a place has the items below it, and perhaps those at it: it is not
    documented. Up to a quarter of the items may not belong there, because they are pinned or have
    invalid times. So the next page begins in the last quarter of the one before, and the list ends
    where nothing new comes, not where a page is short.
    """

    def __init__(self) -> None:
        self.at: int | None = None
        """Where the last page was requested; None is the beginning of the list."""
        self._crowded: _Crowd | None = None
        self._hid_some = False

    @property
    def hidden(self) -> bool:
        """Whether more items may have shared a second than a page has."""
        return self._hid_some or (self._crowded is not None and self._crowded.full)

    def advance(self, page: Seen, least: float) -> int | None:
        """Return the place of the next page, None at the end; items below `least` do not count."""
        seen = self.look(page)
        wanted = sorted((place for place, _ in seen if place >= least), reverse=True)
        if not wanted or _goes_on_below(seen, least):
            return None
        middle = wanted[len(wanted) * 3 // 4]
        # A second that was requested already is skipped.
        for place in (middle + 1, middle, middle - 1):
            if self.at is None or place < self.at:
                if place <= middle and not _shows_below(seen, middle):
                    self._crowded = _Crowd(middle, _count(seen, middle), len(page) >= PAGE)
                self.at = place
                return place
        return None

    def look(self, page: Seen) -> Seen:
        """Return the items of a page that were requested; check the second that was skipped."""
        seen = [item for item in page if self.at is None or item[0] <= self.at]
        if self._crowded is not None:
            crowd = self._crowded
            # Fewer of it than before are pinned, where `lastTime` excludes its own second.
            if _count(seen, crowd.second) >= crowd.size:
                if _shows_below(seen, crowd.second):
                    self._crowded = None
            elif any(new for _, new in seen):
                # There were more items than the page had, so perhaps more of that second too.
                self._hid_some = True
        return seen


class _Crowd(NamedTuple):
    """The second in which a page ended: `size` items of it, and whether the page was `full`."""

    second: int
    size: int
    full: bool


def _count(seen: Seen, second: int) -> int:
    return sum(place == second for place, _ in seen)


def _shows_below(seen: Seen, second: int) -> bool:
    """Return whether a page goes on below a second: with a new item, or a quarter of its items."""
    below = [new for place, new in seen if place < second]
    return any(below) or len(below) * 4 > len(seen)


def _goes_on_below(seen: Seen, least: float) -> bool:
    """Return whether a page has no new item that counts, and goes on below `least`."""
    below = [new for place, new in seen if place < least]
    if any(new for place, new in seen if place >= least):
        return False
    return any(below) or (len(below) >= MOST_PINNED and len(below) * 2 >= len(seen))
