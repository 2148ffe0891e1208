"""Where to go on in a list that is paged by nothing but the times of what is listed."""

from collections.abc import Sequence
from typing import NamedTuple

from .answers import PAGE

MOST_PINNED = 10
"""Chats that somebody pins at most, so that they stand on every page."""

Seen = Sequence[tuple[int, bool]]
"""(place, whether it is listed for the first time) of each item of a page; see `TimeCursor`."""


class TimeCursor:
    """Pages through a list by falling places: times of chats, or negated times of messages.

    A page that is asked for at a place has what lies below it, and perhaps at it: nobody knows. A
    page may also have up to a quarter of items that do not belong there: pinned ones, odd times.
    So the next page begins in the last quarter of the one before, and the end is where nothing new
    comes, not where a page is short.
    """

    def __init__(self) -> None:
        self.at: int | None = None
        """Where the last page was asked for; None is the beginning of the list."""
        self._crowded: _Crowd | None = None
        self._hid_some = False

    @property
    def hidden(self) -> bool:
        """Whether more items may have shared a second than a page has."""
        return self._hid_some or (self._crowded is not None and self._crowded.full)

    def advance(self, page: Seen, least: float) -> int | None:
        """Return where to ask for the next page, None at the end; below `least` nothing counts."""
        seen = self.look(page)
        wanted = sorted((place for place, _ in seen if place >= least), reverse=True)
        if not wanted or _goes_on_below(seen, least):
            return None
        middle = wanted[len(wanted) * 3 // 4]
        # Where the second of `middle` has been asked for already, it is stepped over.
        for place in (middle + 1, middle, middle - 1):
            if self.at is None or place < self.at:
                if place <= middle and not _shows_below(seen, middle):
                    self._crowded = _Crowd(middle, _count(seen, middle), len(page) >= PAGE)
                self.at = place
                return place
        return None

    def look(self, page: Seen) -> Seen:
        """Return what of a page was asked for; judge the second by it that was stepped over."""
        seen = [each for each in page if self.at is None or each[0] <= self.at]
        if self._crowded is not None:
            crowd = self._crowded
            # Fewer of it than before are pinned ones, where `lastTime` leaves out its own second.
            if _count(seen, crowd.second) >= crowd.size:
                if _shows_below(seen, crowd.second):
                    self._crowded = None
            elif any(new for _, new in seen):
                # There was more than what the page had, so there may be more of that second too.
                self._hid_some = True
        return seen


class _Crowd(NamedTuple):
    """A second that a page ended in: `size` items of it, of a page that was `full` or not."""

    second: int
    size: int
    full: bool


def _count(seen: Seen, second: int) -> int:
    return sum(place == second for place, _ in seen)


def _shows_below(seen: Seen, second: int) -> bool:
    """Return whether a page goes on below a second: with something new, or with a good part."""
    below = [new for place, new in seen if place < second]
    return any(below) or len(below) * 4 > len(seen)


def _goes_on_below(seen: Seen, least: float) -> bool:
    """Return whether a page has nothing new that counts, and goes on below that."""
    below = [new for place, new in seen if place < least]
    if any(new for place, new in seen if place >= least):
        return False
    return any(below) or (len(below) >= MOST_PINNED and len(below) * 2 >= len(seen))
