"""The messages of one chat since a moment: oldest first, page by page.

As with the list of chats nothing is known for certain: pages may be empty or short, messages out of
order or without a time, `nextPage` absent. So a chat ends where the service says so on a page that
is not full, or where nothing new comes; what cannot be read is said.
"""

from collections.abc import Callable, Mapping, Sequence

from .answers import PAGE, Item, Line, Page, read_message
from .store import Progress
from .time_cursor import TimeCursor

_MOST_BARREN = 100
"""Pages in a row with nothing new, each of which names a next one."""

_MOST_PAGES = 10_000
_SAME_SECOND = 2.0
_LATE = 300
"""Seconds by which a message may come later than its own time says."""

_DAY = 86_400
_NO_LEAST = float("-inf")
_END = float("inf")

Failed = Callable[[str, bool], None]
"""Told why some of it cannot be read, and whether a later run may find that mended."""


def first_query(since: int) -> dict[str, str]:
    """Return how to ask for what was sent since; `lastTime` may leave its own second out."""
    return {"direction": "next", "lastTime": str(max(since - 1, 0))}


class ChatReading:
    """One chat while it is read, on from where an earlier run left it.

    Each page is to be kept between `wanted` and `advance`. `position` is the time up to which
    everything has come, without bound when the chat is `done`. `counted` is for the reader to note
    that it has told of this chat.
    """

    def __init__(
        self,
        line: Line,
        name: str,
        last_time: int | None,
        since: int,
        known: Progress | None,
        now: float,
        skew: int,
    ) -> None:
        self.line = line
        self.name = name
        self.counted = False
        self._since = since
        self._last_time = last_time
        self._listed = now
        self._skew = skew
        self._begin(_next_progress(known, last_time, since, now, skew))
        self._continued = not self.done and known is self.progress

    def _begin(self, progress: Progress) -> None:
        self.position: float
        self.progress = progress
        self.done = not progress.query
        self._cursor = TimeCursor()
        self._followed: set[str] = set()
        self._barren = self._pages = 0
        self._continued = False
        self.position = _END if self.done else self._since

    def next_query(self, now: float) -> Mapping[str, str]:
        """Return how to ask for the next page, which is done now."""
        if not (self._pages or self._continued):
            self.progress.begun = now
        return self.progress.query

    def wanted(self, page: Page) -> tuple[list[Item], list[int]]:
        """Return the messages of a page that are to be kept, and their times.

        One without a time is as old as the one before it.
        """
        items, times = [], []
        latest = int(max(self.position, self._since))
        for item in map(read_message, page.items):
            if item.time is None or item.time >= self._since:
                latest = latest if item.time is None else item.time
                items.append(item)
                times.append(latest)
        return items, times

    def advance(self, page: Page, items: Sequence[Item], new: Sequence[bool], fail: Failed) -> None:
        """Go on behind a page whose `items` were kept, with which of them were `new`."""
        self._pages += 1
        self._barren = 0 if any(new) else self._barren + 1
        times = sorted(item.time for item in items if item.time is not None)
        if times:
            self.position = max(self.position, times[len(times) * 3 // 4])
        if why := self._endless(page.following):
            self._end(first_query(self._since))
            fail(why, True)
        elif page.following:
            self._followed.add(page.following)
            self.progress.query = {"nextPage": page.following}
        else:
            self._go_on_by_time(page, items, new, fail)

    def _endless(self, following: str) -> str:
        if following in self._followed:
            return "the pages of messages go round in a circle"
        if following and self._barren > _MOST_BARREN:
            return f"more than {_MOST_BARREN} pages of messages had nothing new"
        if self._pages >= _MOST_PAGES:
            return f"a chat does not end in {_MOST_PAGES} pages"
        return ""

    def _go_on_by_time(
        self, page: Page, items: Sequence[Item], new: Sequence[bool], fail: Failed
    ) -> None:
        """Ask once more from the newest messages on, unless the page says that this is the end."""
        news = {item.key: is_new for item, is_new in zip(items, new, strict=True)}
        read = map(read_message, page.items)
        # A time in the future would step over all that is between.
        possible = self._listed + _DAY
        seen = [
            (-item.time, news.get(item.key, False))
            for item in read
            if item.time is not None and item.time <= possible
        ]
        if page.ended and len(page.items) < PAGE:
            self._cursor.look(seen)
        elif (place := self._cursor.advance(seen, _NO_LEAST)) is not None:
            self.progress.query = {"direction": "next", "lastTime": str(max(-place, 0))}
            return
        elif any(new) and not seen:
            fail("a page of messages has no times to go on by", False)
        if self._cursor.hidden:
            fail(
                f"{PAGE} messages or more of a chat are of one second, too many to read all", False
            )
        self._finish()

    def _finish(self) -> None:
        """End the chat; one that an earlier run began may have moved since then."""
        continued, self._continued = self._continued, False
        self._end({})
        if continued:
            known = self.progress
            self._begin(
                _next_progress(known, self._last_time, self._since, self._listed, self._skew)
            )

    def _end(self, query: dict[str, str]) -> None:
        self.progress.query = query
        self.done = True
        self.position = _END

    def refused(self) -> bool:
        """Note that a page is refused; return whether to begin the chat again, for its cursor."""
        if self._continued and "nextPage" in self.progress.query:
            self._begin(_first_progress(self.progress, self._last_time, self._since, self._listed))
            return True
        self.give_up()
        return False

    def give_up(self) -> None:
        """Read no more of it now; a later run may."""
        self.done = True
        self.position = _END


def _next_progress(
    known: Progress | None, last_time: int | None, since: int, now: float, skew: int
) -> Progress:
    """Return where to begin with a chat that is listed now, by what is known of earlier runs."""
    if known is None or known.since > since or known.begun > now:
        return _first_progress(known, last_time, since, now)
    if known.query:
        return known
    last = known.last_time
    if last is None or last_time is None or last > known.listed + _DAY:
        return _first_progress(known, last_time, since, now)
    if last_time != last:
        reached = int(min(last, known.begun + skew)) - _LATE
        query = first_query(max(since, reached))
        return Progress(known.since, now, last_time, now, query, known.leg + 1)
    if known.begun >= known.listed + _SAME_SECOND:
        return known
    # What came in the same second as the last message shows in no list.
    query = first_query(max(since, last))
    return Progress(known.since, now, last_time, known.listed, query, known.leg + 1)


def _first_progress(
    known: Progress | None, last_time: int | None, since: int, now: float
) -> Progress:
    leg = known.leg + 1 if known else 1
    return Progress(since, now, last_time, now, first_query(since), leg)
