"""The messages of one chat since a moment: oldest first, page by page.

As with the list of chats, the order is not documented: pages may be empty or short, messages out of
order or without a time, `nextPage` absent. So a chat ends where the service says so on a page that
is not full, or where nothing new comes; what cannot be read is reported.
"""

from collections.abc import Callable, Mapping, Sequence

from .answers import PAGE, Item, MessengerRef, Page, read_message
from .store import Progress
from .time_cursor import TimeCursor

_MAX_PAGES_WITHOUT_NEW = 100
"""Pages in a row without a new message, each of which names a next page."""

_MAX_PAGES = 10_000
_SAME_SECOND = 2.0
_MAX_LATENESS = 300
"""Seconds between a message's own time and its arrival, at most."""

_DAY = 86_400
_NO_LEAST = float("-inf")
_END = float("inf")

OnFailure = Callable[[str, bool], None]
"""(why a part of a chat cannot be read, whether a later run may succeed)."""


def first_query(since: int) -> dict[str, str]:
    """Return the first query for messages since a moment; `lastTime` may exclude its own second."""
    return {"direction": "next", "lastTime": str(max(since - 1, 0))}


class ChatReading:
    """The state of reading one chat, continued from an earlier run.

    Each page is stored between `wanted` and `advance`.
    """

    def __init__(
        self,
        ref: MessengerRef,
        name: str,
        last_time: int | None,
        since: int,
        known: Progress | None,
        now: float,
        clock_skew: int,
    ) -> None:
        self.ref = ref
        """The messenger of the chat."""
        self.name = name
        """Its id, as in the path of a URL."""
        self.counted = False
        """Whether the reader has counted this chat as read."""
        self._since = since
        """Messages from then on are wanted, by the service's clock."""
        self._last_time = last_time
        """The time of the last message, as the list of chats has it."""
        self._listed = now
        """When the chat was listed, by our clock."""
        self._clock_skew = clock_skew
        """Seconds by which the service's clock is behind ours (negative)."""
        self._begin(_next_progress(known, last_time, since, now, clock_skew))
        self._continued = not self.done and known is self.progress

    def _begin(self, progress: Progress) -> None:
        self.progress = progress
        """What is stored of it: the next query, and what `HistoryStore` needs."""
        self.done = not progress.query
        """Whether no page is to be read any more."""
        self.position: float = _END if self.done else self._since
        """The time up to which every message has been read; infinity when `done`."""
        self._cursor = TimeCursor()
        """Where to go on while no `nextPage` is named."""
        self._followed: set[str] = set()
        """Values of `nextPage` that were used, so that a cycle ends."""
        self._pages_without_new = self._pages = 0
        """Pages in a row without a new message, and pages in all."""
        self._continued = False
        """Whether an earlier run began with this chat."""

    def next_query(self, now: float) -> Mapping[str, str]:
        """Return the query for the next page, which is sent now."""
        if not (self._pages or self._continued):
            self.progress.begun = now
        return self.progress.query

    def wanted(self, page: Page) -> tuple[list[Item], list[int]]:
        """Return the messages of a page that are to be stored, and their times.

        A message without a time is as old as the one before it.
        """
        items, times = [], []
        latest = int(max(self.position, self._since))
        for item in map(read_message, page.items):
            if item.time is None or item.time >= self._since:
                latest = latest if item.time is None else item.time
                items.append(item)
                times.append(latest)
        return items, times

    def advance(
        self, page: Page, items: Sequence[Item], new: Sequence[bool], fail: OnFailure
    ) -> None:
        """Go on after a page whose `items` were stored; `new` tells which of them were new."""
        self._pages += 1
        self._pages_without_new = 0 if any(new) else self._pages_without_new + 1
        times = sorted(item.time for item in items if item.time is not None)
        if times:
            self.position = max(self.position, times[len(times) * 3 // 4])
        if reason := self._endless(page.next_page):
            self._end(first_query(self._since))
            fail(reason, True)
        elif page.next_page:
            self._followed.add(page.next_page)
            self.progress.query = {"nextPage": page.next_page}
        else:
            self._go_on_by_time(page, items, new, fail)

    def _endless(self, next_page: str) -> str:
        if next_page in self._followed:
            return "the pages of messages go round in a circle"
        if next_page and self._pages_without_new > _MAX_PAGES_WITHOUT_NEW:
            return f"more than {_MAX_PAGES_WITHOUT_NEW} pages of messages had nothing new"
        if self._pages >= _MAX_PAGES:
            return f"a chat does not end in {_MAX_PAGES} pages"
        return ""

    def _go_on_by_time(
        self, page: Page, items: Sequence[Item], new: Sequence[bool], fail: OnFailure
    ) -> None:
        """Go on from the newest messages, unless the page says that this is the end."""
        news = {item.key: is_new for item, is_new in zip(items, new, strict=True)}
        read = map(read_message, page.items)
        # A time in the future would skip the messages between.
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
        """End the chat; one that an earlier run began may have been updated since then."""
        continued, self._continued = self._continued, False
        self._end({})
        if continued:
            known = self.progress
            self._begin(
                _next_progress(known, self._last_time, self._since, self._listed, self._clock_skew)
            )

    def _end(self, query: dict[str, str]) -> None:
        self.progress.query = query
        self.done = True
        self.position = _END

    def refused(self) -> bool:
        """Note that a page was refused; return whether the chat is read again from the start.

        A stored cursor may have expired.
        """
        if self._continued and "nextPage" in self.progress.query:
            self._begin(_first_progress(self.progress, self._last_time, self._since, self._listed))
            return True
        self.give_up()
        return False

    def give_up(self) -> None:
        """Stop reading this chat in this run; a later run goes on."""
        self.done = True
        self.position = _END


def _next_progress(
    known: Progress | None, last_time: int | None, since: int, now: float, clock_skew: int
) -> Progress:
    """Return where to begin with a listed chat, given the progress of earlier runs."""
    if known is None or known.since > since or known.begun > now:
        return _first_progress(known, last_time, since, now)
    if known.query:
        return known
    last = known.last_time
    if last is None or last_time is None or last > known.listed + _DAY:
        return _first_progress(known, last_time, since, now)
    if last_time != last:
        reached = int(min(last, known.begun + clock_skew)) - _MAX_LATENESS
        query = first_query(max(since, reached))
        return Progress(known.since, now, last_time, now, query, known.leg + 1)
    if known.begun >= known.listed + _SAME_SECOND:
        return known
    # Messages of the same second as the last one do not change the list.
    query = first_query(max(since, last))
    return Progress(known.since, now, last_time, known.listed, query, known.leg + 1)


def _first_progress(
    known: Progress | None, last_time: int | None, since: int, now: float
) -> Progress:
    leg = known.leg + 1 if known else 1
    return Progress(since, now, last_time, now, first_query(since), leg)
