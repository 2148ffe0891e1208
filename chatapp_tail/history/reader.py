"""What ChatApp keeps of a line: the messages of its chats, read back to fill a gap.

The protocol has no history. The API has one, of messages and nothing else, and no question such as
"what is new since": the chats are listed, newest first, as far back as they moved, and each of them
is read from a moment on, with no end: what came live as well is known by its id elsewhere. Where
nothing says how the service means something, the careful way is taken.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from ..errors import ChatAppTailError
from ..threads import DaemonThreadPool
from .answers import PAGE, Line, Message, Page
from .chat_listing import ChatListing, Listed, path_of
from .chat_reading import ChatReading
from .rate_limit import RateLimiter
from .requests import AT_ONCE, Ask, Clock, HistoryRequests, Refusal
from .store import HistoryStore, remove_store

__all__ = ["PAGE", "Ask", "Clock", "Failed", "History", "Line", "Message", "Span"]

_AHEAD = 2 * AT_ONCE
"""Pages that are asked for, or came and are not kept yet."""

Failed = Callable[[Line, str, bool], None]
"""Told why some of a line cannot be read, and whether a later run may find that mended."""


class Span(NamedTuple):
    """From when on the messages of a line are wanted, in whole seconds since the epoch.

    `ours` is that moment by our own clock, `service` by the clock of the messages' own times, where
    that is known: the earlier of them counts. Before `floor`, by our clock, nothing is wanted.
    """

    line: Line
    ours: int
    service: int | None = None
    floor: int | None = None

    def since(self, skew: int) -> int:
        """Return the moment, with the service's clock `skew` seconds behind ours (negative)."""
        since = self.ours + skew
        if self.service is not None:
            since = min(since, self.service)
        return max(since, 0 if self.floor is None else self.floor + skew)


class History:
    """Reads several lines at once, a few requests under way, at a polite pace.

    Whoever reads waits, in a thread of its own. `chats`, `chats_read` and `found` tell others how
    far it is, `trouble` what came back where it has to ask again. What is read is kept on disk
    until its turn comes: at `store`, for the next run to go on from, or in a temporary file.
    `call` makes calls that may take long; without it, threads do.
    """

    def __init__(
        self,
        ask: Ask,
        limiter: RateLimiter,
        *,
        store: Path | None = None,
        clock: Clock = Clock(),  # noqa: B008 - it has no state
        call: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self.chats = self.chats_read = self.found = 0
        self.clock = clock
        self._limiter = limiter
        self._store = store
        self._requests = HistoryRequests(ask, limiter, clock)
        self._call = call or DaemonThreadPool("chatapp-tail-history", AT_ONCE).call

    @property
    def trouble(self) -> str | None:
        """What came back, as long as something has to be asked for again."""
        return self._requests.trouble

    @property
    def requests(self) -> int:
        """How many requests were made so far."""
        return self._limiter.begun

    def messages(self, spans: Sequence[Span], failed: Failed) -> Iterator[Message]:
        """Yield the messages of all spans in the order of their time, and nothing twice.

        What can be read is, also when something else of the same line cannot. Several spans of a
        line are read as one.
        """
        self.chats = self.chats_read = self.found = 0
        self._requests.begin()
        lines: dict[Line, list[Span]] = {}
        for span in spans:
            lines.setdefault(span.line, []).append(span)
        to_be_tried_again: set[Line] = set()

        def note(line: Line, why: str, may_pass: bool) -> None:
            to_be_tried_again.update([line] if may_pass else [])
            failed(line, why, may_pass)

        try:
            with closing(HistoryStore(self._store)) as store:
                for message in _Reading(self, self._requests, store, lines, note).run():
                    self.found += 1
                    yield message
        except sqlite3.Error as error:
            for line in lines:
                note(line, f"what history has cannot be kept on disk: {error}", True)
        if self._store and not to_be_tried_again:
            remove_store(self._store)  # what people wrote stays there no longer than it has to

    def call(self, work: Callable[[], None]) -> None:
        """Make a call that may take long; nobody waits for it here."""
        self._call(work)


class _Came(NamedTuple):
    """What came of a call: of listing a line's chats, or of asking for a page of one."""

    of: Line | ChatReading
    result: Listed | Page | Exception


class _Reading:
    """Reads some lines once: lists their chats, and reads on where it is furthest behind."""

    def __init__(
        self,
        history: History,
        requests: HistoryRequests,
        store: HistoryStore,
        lines: Mapping[Line, Sequence[Span]],
        failed: Failed,
    ) -> None:
        self._history = history
        self._requests = requests
        self._store = store
        self._lines = lines
        self._failed = failed
        self._listings = len(lines)
        self._came: SimpleQueue[_Came] = SimpleQueue()
        self._waiting: list[tuple[float, int, ChatReading]] = []
        self._under_way: set[ChatReading] = set()
        self._numbers = count()

    def run(self) -> Iterator[Message]:
        """Yield the messages; those go out that are older than anything still to come."""
        for line in self._lines:
            self._history.call(partial(self._settle, line, partial(self._list, line)))
        while self._listings or self._waiting or self._under_way:
            self._ask_ahead()
            self._accept(*self._came.get())
            if not self._listings:
                yield from self._store.take(self._position())
        yield from self._store.take(inf)

    def _position(self) -> float:
        """Return the time up to which everything has come."""
        positions = [reading.position for reading in self._under_way]
        return min(positions + [place for place, _, _ in self._waiting[:1]], default=inf)

    # In the threads that ask.

    def _settle(
        self, of: Line | ChatReading, work: Callable[[], Listed] | Callable[[], Page]
    ) -> None:
        try:
            self._came.put(_Came(of, work()))
        except Exception as error:
            self._came.put(_Came(of, error))

    def _list(self, line: Line) -> Listed:
        listing = ChatListing(
            self._requests, line, partial(self._since, line), partial(self._failed, line)
        )
        return listing.read()

    def _since(self, line: Line) -> int:
        return min(span.since(self._requests.skew) for span in self._lines[line])

    def _page(self, reading: ChatReading, query: Mapping[str, str]) -> Page:
        fixed = {"limit": str(PAGE), "includeSystemMessages": "1"}
        path = f"{path_of(reading.line)}/{reading.name}/messages"
        return self._requests.page(path, {**fixed, **query})

    # In the thread that waits.

    def _ask_ahead(self) -> None:
        """Ask for pages of the chats that are furthest behind, so many that no thread idles."""
        while self._waiting and len(self._under_way) < _AHEAD:
            _, _, reading = heappop(self._waiting)
            query = dict(reading.next_query(self._history.clock.wall()))
            self._under_way.add(reading)
            work = partial(self._page, reading, query)
            self._history.call(partial(self._settle, reading, work))

    def _accept(self, of: Line | ChatReading, result: Listed | Page | Exception) -> None:
        if isinstance(of, ChatReading):
            self._accept_page(of, result)
        elif isinstance(result, Listed):
            self._accept_listing(of, result)
        else:
            assert isinstance(result, Exception)
            raise result

    def _accept_listing(self, line: Line, listed: Listed) -> None:
        self._listings -= 1
        timeless = self._requests.answers and not self._requests.heard_date
        if timeless and any(span.service is None for span in self._lines[line]):
            self._failed(line, "nothing tells the time of the service", False)
        since, now = self._since(line), self._history.clock.wall()
        known = self._store.begin(line, since)
        for name, last_time in listed.chats.items():
            self._history.chats += 1
            chat = known.get(name)
            reading = ChatReading(line, name, last_time, since, chat, now, self._requests.skew)
            self._queue(reading, begun=False)

    def _accept_page(self, reading: ChatReading, result: Listed | Page | Exception) -> None:
        self._under_way.discard(reading)
        if isinstance(result, Page):
            self._keep(reading, result)
        elif isinstance(result, ChatAppTailError):
            self._note_failure(reading, result)
        else:
            assert isinstance(result, Exception)
            raise result
        self._queue(reading, begun=True)

    def _keep(self, reading: ChatReading, page: Page) -> None:
        items, times = reading.wanted(page)
        new = self._store.add(reading.line, reading.name, items, times, reading.progress.leg)
        reading.advance(page, items, new, partial(self._failed, reading.line))
        self._store.note(reading.line, reading.name, reading.progress)

    def _note_failure(self, reading: ChatReading, error: ChatAppTailError) -> None:
        if isinstance(error, Refusal):
            if not reading.refused():
                self._failed(reading.line, str(error), False)
        else:
            reading.give_up()
            self._failed(reading.line, str(error), True)

    def _queue(self, reading: ChatReading, *, begun: bool) -> None:
        """Let a chat wait for its next turn, if it has one; count it when it is `begun`."""
        if not reading.counted and (reading.done or begun):
            reading.counted = True
            self._history.chats_read += 1
        if not reading.done:
            heappush(self._waiting, (reading.position, next(self._numbers), reading))
