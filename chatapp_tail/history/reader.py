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
from .answers import PAGE, Message, MessengerRef, Page
from .chat_listing import ChatListing, Listed, chats_path
from .chat_reading import ChatReading
from .rate_limit import RateLimiter
from .requests import MAX_IN_FLIGHT, Ask, Clock, HistoryRequests, Refusal
from .store import HistoryStore, remove_store

__all__ = ["PAGE", "Ask", "Clock", "History", "Message", "MessengerRef", "OnFailure", "TimeRange"]

_MAX_PAGES_IN_FLIGHT = 2 * MAX_IN_FLIGHT
"""Pages that are asked for, or came and are not kept yet."""

OnFailure = Callable[[MessengerRef, str, bool], None]
"""Told why some of a line cannot be read, and whether a later run may find that mended."""


class TimeRange(NamedTuple):
    """From when on the messages of a line are wanted, in whole seconds since the epoch.

    `ours` is that moment by our own clock, `service` by the clock of the messages' own times, where
    that is known: the earlier of them counts. Before `floor`, by our clock, nothing is wanted.
    """

    ref: MessengerRef
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
        self._call = call or DaemonThreadPool("chatapp-tail-history", MAX_IN_FLIGHT).call

    @property
    def trouble(self) -> str | None:
        """What came back, as long as something has to be asked for again."""
        return self._requests.trouble

    @property
    def requests(self) -> int:
        """How many requests were made so far."""
        return self._limiter.count

    def messages(
        self, time_ranges: Sequence[TimeRange], on_failure: OnFailure
    ) -> Iterator[Message]:
        """Yield the messages of all spans in the order of their time, and nothing twice.

        What can be read is, also when something else of the same line cannot. Several spans of a
        line are read as one.
        """
        self.chats = self.chats_read = self.found = 0
        self._requests.begin()
        ranges: dict[MessengerRef, list[TimeRange]] = {}
        for time_range in time_ranges:
            ranges.setdefault(time_range.ref, []).append(time_range)
        retry_later: set[MessengerRef] = set()

        def note(ref: MessengerRef, reason: str, transient: bool) -> None:
            retry_later.update([ref] if transient else [])
            on_failure(ref, reason, transient)

        try:
            with closing(HistoryStore(self._store)) as store:
                for message in _Reading(self, self._requests, store, ranges, note).run():
                    self.found += 1
                    yield message
        except sqlite3.Error as error:
            for ref in ranges:
                note(ref, f"what history has cannot be kept on disk: {error}", True)
        if self._store and not retry_later:
            remove_store(self._store)  # what people wrote stays there no longer than it has to

    def call(self, work: Callable[[], None]) -> None:
        """Make a call that may take long; nobody waits for it here."""
        self._call(work)


class _Result(NamedTuple):
    """What came of a call: of listing a line's chats, or of asking for a page of one."""

    source: MessengerRef | ChatReading
    result: Listed | Page | Exception


class _Reading:
    """Reads some lines once: lists their chats, and reads on where it is furthest behind."""

    def __init__(
        self,
        history: History,
        requests: HistoryRequests,
        store: HistoryStore,
        ranges: Mapping[MessengerRef, Sequence[TimeRange]],
        on_failure: OnFailure,
    ) -> None:
        self._history = history
        self._requests = requests
        self._store = store
        self._ranges = ranges
        self._on_failure = on_failure
        self._listings = len(ranges)
        self._results: SimpleQueue[_Result] = SimpleQueue()
        self._waiting: list[tuple[float, int, ChatReading]] = []
        self._in_flight: set[ChatReading] = set()
        self._numbers = count()

    def run(self) -> Iterator[Message]:
        """Yield the messages; those go out that are older than anything still to come."""
        for ref in self._ranges:
            self._history.call(partial(self._run_into_queue, ref, partial(self._list, ref)))
        while self._listings or self._waiting or self._in_flight:
            self._ask_ahead()
            self._accept(*self._results.get())
            if not self._listings:
                yield from self._store.take(self._position())
        yield from self._store.take(inf)

    def _position(self) -> float:
        """Return the time up to which everything has come."""
        positions = [reading.position for reading in self._in_flight]
        return min(positions + [place for place, _, _ in self._waiting[:1]], default=inf)

    # In the threads that ask.

    def _run_into_queue(
        self, source: MessengerRef | ChatReading, work: Callable[[], Listed] | Callable[[], Page]
    ) -> None:
        try:
            self._results.put(_Result(source, work()))
        except Exception as error:
            self._results.put(_Result(source, error))

    def _list(self, ref: MessengerRef) -> Listed:
        listing = ChatListing(
            self._requests, ref, partial(self._since, ref), partial(self._on_failure, ref)
        )
        return listing.read()

    def _since(self, ref: MessengerRef) -> int:
        return min(time_range.since(self._requests.skew) for time_range in self._ranges[ref])

    def _page(self, reading: ChatReading, query: Mapping[str, str]) -> Page:
        fixed = {"limit": str(PAGE), "includeSystemMessages": "1"}
        path = f"{chats_path(reading.ref)}/{reading.name}/messages"
        return self._requests.page(path, {**fixed, **query})

    # In the thread that waits.

    def _ask_ahead(self) -> None:
        """Ask for pages of the chats that are furthest behind, so many that no thread idles."""
        while self._waiting and len(self._in_flight) < _MAX_PAGES_IN_FLIGHT:
            _, _, reading = heappop(self._waiting)
            query = dict(reading.next_query(self._history.clock.wall()))
            self._in_flight.add(reading)
            work = partial(self._page, reading, query)
            self._history.call(partial(self._run_into_queue, reading, work))

    def _accept(
        self, source: MessengerRef | ChatReading, result: Listed | Page | Exception
    ) -> None:
        if isinstance(source, ChatReading):
            self._accept_page(source, result)
        elif isinstance(result, Listed):
            self._accept_listing(source, result)
        else:
            assert isinstance(result, Exception)
            raise result

    def _accept_listing(self, ref: MessengerRef, listed: Listed) -> None:
        self._listings -= 1
        timeless = self._requests.answers and not self._requests.date_seen
        if timeless and any(time_range.service is None for time_range in self._ranges[ref]):
            self._on_failure(ref, "nothing tells the time of the service", False)
        since, now = self._since(ref), self._history.clock.wall()
        known = self._store.begin(ref, since)
        for name, last_time in listed.chats.items():
            self._history.chats += 1
            chat = known.get(name)
            reading = ChatReading(ref, name, last_time, since, chat, now, self._requests.skew)
            self._queue(reading, begun=False)

    def _accept_page(self, reading: ChatReading, result: Listed | Page | Exception) -> None:
        self._in_flight.discard(reading)
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
        new = self._store.add(reading.ref, reading.name, items, times, reading.progress.leg)
        reading.advance(page, items, new, partial(self._on_failure, reading.ref))
        self._store.note(reading.ref, reading.name, reading.progress)

    def _note_failure(self, reading: ChatReading, error: ChatAppTailError) -> None:
        if isinstance(error, Refusal):
            if not reading.refused():
                self._on_failure(reading.ref, str(error), False)
        else:
            reading.give_up()
            self._on_failure(reading.ref, str(error), True)

    def _queue(self, reading: ChatReading, *, begun: bool) -> None:
        """Let a chat wait for its next turn, if it has one; count it when it is `begun`."""
        if not reading.counted and (reading.done or begun):
            reading.counted = True
            self._history.chats_read += 1
        if not reading.done:
            heappush(self._waiting, (reading.position, next(self._numbers), reading))
