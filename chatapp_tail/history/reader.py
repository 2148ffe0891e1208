"""Reads ChatApp's history of messengers: the messages of their chats, to fill gaps.

The protocol has no history. The API has one, of messages only, and no query such as "new since":
the chats are listed, newest first, as far back as they were updated, and each of them is read from
a moment on, to its end: messages that came live as well are dropped elsewhere, by their id. Where
the service is not documented, the code errs on the side of reading more. `ChatListing` pages
through the chats of a messenger, `ChatReading` through the messages of a chat.
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
from ..threads import DaemonThreadPool, outcome
from .answers import PAGE, Message, MessengerRef, Page
from .chat_listing import ChatListing, Listed, chats_path
from .chat_reading import ChatReading
from .rate_limit import RateLimiter
from .requests import MAX_IN_FLIGHT, Ask, Clock, HistoryRequests, Refusal
from .store import HistoryStore, remove_store

__all__ = ["PAGE", "Ask", "Clock", "History", "Message", "MessengerRef", "OnFailure", "TimeRange"]

_MAX_PAGES_IN_FLIGHT = 2 * MAX_IN_FLIGHT
"""Pages that are requested, or received and not stored yet."""

OnFailure = Callable[[MessengerRef, str, bool], None]
"""(messenger, why a part of it cannot be read, whether a later run may succeed)."""


class TimeRange(NamedTuple):
    """The messages of a messenger since a moment, in whole seconds since the epoch.

    `ours` is that moment by our clock, `service` by the clock of the messages' times, if known: the
    earlier of them counts. Messages before `floor`, by our clock, are not wanted.
    """

    ref: MessengerRef
    ours: int
    service: int | None = None
    floor: int | None = None

    def since(self, clock_skew: int) -> int:
        """Return the moment by the service's clock, behind ours by `clock_skew` s (negative)."""
        since = self.ours + clock_skew
        if self.service is not None:
            since = min(since, self.service)
        return max(since, 0 if self.floor is None else self.floor + clock_skew)


class History:
    """Reads several messengers at once, with a few concurrent requests and a rate limit.

    The caller waits. `chats`, `chats_read` and `found` (messages) are the progress. Messages are
    kept on disk until they are handed out: at `store`, from which the next run continues, or in a
    temporary file. `call` runs a request; without it, a thread pool does.
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
        self._store = store
        self._requests = HistoryRequests(ask, limiter, clock)
        self._call = call or DaemonThreadPool("chatapp-tail-history", MAX_IN_FLIGHT).submit

    @property
    def trouble(self) -> str | None:
        """The last failure, while a request is repeated."""
        return self._requests.trouble

    def messages(
        self, time_ranges: Sequence[TimeRange], on_failure: OnFailure
    ) -> Iterator[Message]:
        """Yield the messages of all time ranges in the order of their time, each once.

        A failure does not keep other chats of the messenger from being read. Several time ranges
        of one messenger are read as one.
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
        """Start a request without waiting for it."""
        self._call(work)


class _Result(NamedTuple):
    """The result of listing the chats of a messenger, or of requesting a page of a chat."""

    source: MessengerRef | ChatReading
    result: Listed | Page | Exception


class _Reading:
    """Reads some messengers once: lists their chats, then reads those furthest behind first."""

    def __init__(
        self,
        history: History,
        requests: HistoryRequests,
        store: HistoryStore,
        ranges: Mapping[MessengerRef, Sequence[TimeRange]],
        on_failure: OnFailure,
    ) -> None:
        self._history = history
        """Starts requests, and holds the counts of the progress."""
        self._requests = requests
        """Makes requests, and knows the clock skew."""
        self._store = store
        """Keeps messages until all older ones are read."""
        self._ranges = ranges
        """What is to be read of each messenger."""
        self._on_failure = on_failure
        """Told of what cannot be read."""
        self._listings = len(ranges)
        """Messengers whose list of chats is not complete."""
        self._results: SimpleQueue[_Result] = SimpleQueue()
        """From the requesting threads to the waiting one."""
        self._waiting: list[tuple[float, int, ChatReading]] = []
        """A heap of (position, number, chat): chats of which no page is requested."""
        self._in_flight: set[ChatReading] = set()
        """Chats of which a page is requested."""
        self._numbers = count()
        """Breaks ties in the heap."""

    def run(self) -> Iterator[Message]:
        """Yield messages as soon as they are older than every message still to be read."""
        for ref in self._ranges:
            self._history.call(partial(self._run_into_queue, ref, partial(self._list, ref)))
        while self._listings or self._waiting or self._in_flight:
            self._ask_ahead()
            self._accept(*self._results.get())
            if not self._listings:
                yield from self._store.take(self._position())
        yield from self._store.take(inf)

    def _position(self) -> float:
        """Return the time up to which everything has been read."""
        positions = [reading.position for reading in self._in_flight]
        return min(positions + [place for place, _, _ in self._waiting[:1]], default=inf)

    # In the requesting threads.

    def _run_into_queue(
        self, source: MessengerRef | ChatReading, work: Callable[[], Listed] | Callable[[], Page]
    ) -> None:
        self._results.put(_Result(source, outcome(work)))

    def _list(self, ref: MessengerRef) -> Listed:
        listing = ChatListing(
            self._requests, ref, partial(self._since, ref), partial(self._on_failure, ref)
        )
        return listing.read()

    def _since(self, ref: MessengerRef) -> int:
        return min(time_range.since(self._requests.clock_skew) for time_range in self._ranges[ref])

    def _page(self, reading: ChatReading, query: Mapping[str, str]) -> Page:
        fixed = {"limit": str(PAGE), "includeSystemMessages": "1"}
        path = f"{chats_path(reading.ref)}/{reading.name}/messages"
        return self._requests.page(path, {**fixed, **query})

    # In the waiting thread.

    def _ask_ahead(self) -> None:
        """Request pages of the chats that are furthest behind, enough to keep all threads busy."""
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
            reading = ChatReading(ref, name, last_time, since, chat, now, self._requests.clock_skew)
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
        """Queue a chat for its next page, if there is one; count it as read once it has `begun`."""
        if not reading.counted and (reading.done or begun):
            reading.counted = True
            self._history.chats_read += 1
        if not reading.done:
            heappush(self._waiting, (reading.position, next(self._numbers), reading))
