"""How the loop gets its items: straight from the spool, or through the journal of a checkpoint."""

import select
import time
from collections import deque
from collections.abc import Sequence
from math import inf
from typing import Protocol

from ..history.checkpoint import Checkpoint
from ..items import ChannelEvent, Gap, Item, Ready, Status, Stopped, Watermarks
from ..spool import Spool, count_events

_MEMORY = 16 * 1024 * 1024
"""Bytes of journaled rows that stay in memory as well until they are taken."""
_OVERHEAD = 250
_READY_TIMEOUT = 60.0
"""Seconds that what an earlier run left behind a gap waits for this run's channels to be ready."""

Batch = tuple[int, Sequence[Item]]
"""(the number of the first item, items with consecutive numbers); the number is 0 without one."""


class Intake(Protocol):
    """The items of a run in order."""

    def register(self, waits: "select.poll", *, taking: bool) -> None:
        """Add what to wait for; `taking` means that `take` is called next."""
        ...

    def fill(self, *, at_end: bool = False) -> None:
        """Secure what has come, if there is a place for it; `at_end` all of it."""
        ...

    def take(self) -> Batch | None:
        """Return the next items, None when there are none; never waits."""
        ...

    def put_back(self, number: int, items: Sequence[Item]) -> None:
        """Have `take` return the last of the items taken once more."""
        ...

    def take_early(self) -> "list[Status | Gap]":
        """Return statuses that are not to wait for the items before them."""
        ...

    @property
    def due(self) -> float:
        """Until when (monotonic) the next items wait; in the past if they do not."""
        ...

    @property
    def events_left(self) -> int:
        """How many events are still to be taken; for any thread."""
        ...

    def events_unsettled(self) -> int:
        """Return how many events are still to be taken, or are kept as they are not settled."""
        ...

    @property
    def kept(self) -> bool:
        """Whether what is left is kept for the next run."""
        ...

    @property
    def failure(self) -> str | None:
        """Why the spool keeps no more items."""
        ...

    def settle(self, position: int) -> None:
        """Note that all items up to this number are settled."""
        ...

    def close(self) -> None:
        """Close the spool."""
        ...


class DirectIntake:
    """Items from the spool."""

    due = -inf
    kept = False

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def register(self, waits: "select.poll", *, taking: bool) -> None:
        """Wait for items only to take them."""
        if taking:
            waits.register(self._spool, select.POLLIN)

    def fill(self, *, at_end: bool = False) -> None:
        """Do nothing: the spool keeps its items."""

    def take(self) -> Batch | None:
        """Return the next items."""
        items = self._spool.take()
        return (0, items) if items else None

    def put_back(self, number: int, items: Sequence[Item]) -> None:
        """Have `take` return items once more."""
        self._spool.put_back(items)

    def take_early(self) -> "list[Status | Gap]":
        """Return nothing: all statuses keep their place."""
        return []

    @property
    def events_left(self) -> int:
        """How many events the spool has."""
        return self._spool.events_left

    def events_unsettled(self) -> int:
        """Return how many events the spool has."""
        return self._spool.events_left

    @property
    def failure(self) -> str | None:
        """Why the spool keeps no more items."""
        return self._spool.failure

    def settle(self, position: int) -> None:
        """Do nothing: items have no numbers."""

    def close(self) -> None:
        """Close the spool."""
        self._spool.close()


class JournaledIntake:
    """Items from the spool by way of the journal, behind those that an earlier run left there.

    Of an earlier run only events are taken. Those that it received behind a gap, whose messages
    it had not all written, wait until this run has read that gap from history: this run's statuses
    go ahead of them, so that it can.
    """

    def __init__(self, spool: Spool, checkpoint: Checkpoint, limit: int) -> None:
        self._spool = spool
        self._checkpoint = checkpoint
        self._limit = limit
        """Bytes of the journal; beyond, the spool keeps items."""
        with checkpoint.journal() as journal:
            journal.drop_settled_parts()
            self._rows: deque[tuple[int, int, Sequence[Item] | None]] = deque(
                (first, events, None) for first, events in journal.rows()
            )
            """Rows that were not taken: the first number, how many events, and the items if they
            are in memory."""
            self._barrier = journal.first_gap()
            """The number from which on events wait for a gap of an earlier run."""
            self._own = journal.next_number
            """The number of this run's first item."""
        self._memory = 0
        """Bytes of the rows that are in memory."""
        self._early: list[Status | Gap] = []
        """Statuses that were not taken yet."""
        self._started: set[str] = set()
        """Channels whose gap before this run went ahead."""
        has_barrier = self._barrier < inf
        self.due = time.monotonic() + _READY_TIMEOUT if has_barrier else -inf

    kept = True

    def register(self, waits: "select.poll", *, taking: bool) -> None:
        """Wait for items only to take them; what comes meanwhile, `fill` moves in its time."""
        if taking:
            waits.register(self._spool, select.POLLIN)

    def fill(self, *, at_end: bool = False) -> None:
        """Move what has come into the journal, up to its limit; `at_end` there is no limit."""
        while self._move(inf if at_end else self._limit):
            pass

    def _move(self, limit: float) -> bool:
        """Move a batch into the journal; return whether there was one, and room."""
        full = self._checkpoint.journal_size >= limit
        if full or not (items := self._take_from_spool()):
            return False
        with self._checkpoint.journal() as journal:
            first = journal.append(items)
        size = _size(items)
        if self._memory + size <= _MEMORY:
            self._memory += size
            self._rows.append((first, count_events(items), items))
        else:
            self._rows.append((first, count_events(items), None))
        return True

    def take(self) -> Batch | None:
        """Return the next items, in the order in which they came."""
        # Also while older rows are left, or wait: what comes must outlast a kill. One batch: what
        # is not moved keeps the spool's reader from running far ahead.
        self._move(self._limit)
        while self._rows and not self._waits():
            first, _, items = self._rows.popleft()
            if items is None:
                first, items = self._read(first)
            else:
                self._memory -= _size(items)
            if first < self._barrier < first + len(items) and self.due > time.monotonic():
                before = int(self._barrier) - first
                self.put_back(first + before, items[before:])
                items = items[:before]
            if items:
                return first, items
        return None

    def put_back(self, number: int, items: Sequence[Item]) -> None:
        """Have `take` return items once more."""
        if items:
            self._memory += _size(items)
            self._rows.appendleft((number, count_events(items), items))

    def take_early(self) -> "list[Status | Gap]":
        """Return the statuses that go ahead of an earlier run's events."""
        early, self._early = self._early, []
        if any(isinstance(item, Ready) for item in early):
            self.due = -inf
        return early

    @property
    def events_left(self) -> int:
        """How many events are still to be taken; for any thread."""
        rows = sum([events for _, events, _ in self._rows.copy()])
        return rows + self._spool.events_left

    def events_unsettled(self) -> int:
        """Return how many events the journal and the spool have, of all that came."""
        with self._checkpoint.journal("read") as journal:
            return journal.events_left() + self._spool.events_left

    @property
    def failure(self) -> str | None:
        """Why the spool keeps no more items."""
        return self._spool.failure

    def settle(self, position: int) -> None:
        """Note in the journal that all items up to this number are settled."""
        self._checkpoint.settle(position)

    def close(self) -> None:
        """Close the spool."""
        self._spool.close()

    def _take_from_spool(self) -> Sequence[Item]:
        """Return what came, but for statuses that go ahead."""
        items = self._spool.take()
        if self.due <= time.monotonic() or not items:
            return items
        rest: list[Item] = []
        for number, item in enumerate(items):
            if isinstance(item, ChannelEvent | Watermarks | Stopped):
                rest.append(item)
            elif isinstance(item, Gap) and not self._goes_ahead(item):
                return [*rest, *items[number:]]
            else:
                self._early.append(item)
        return rest or self._take_from_spool()

    def _goes_ahead(self, gap: Gap) -> bool:
        """Return whether a gap is its channel's first of this run.

        Another one stands behind events of this run, and ends the wait of what is before it.
        """
        if gap.channel in self._started:
            self.due = -inf
            return False
        self._started.add(gap.channel)
        return True

    def _waits(self) -> bool:
        return self._rows[0][0] >= self._barrier and time.monotonic() < self.due

    def _read(self, first: int) -> Batch:
        """Read a row; of one of an earlier run, the events that are not settled."""
        with self._checkpoint.journal("read") as journal:
            items = journal.read(first)
            if first >= self._own:
                return first, items
            ahead = journal.settled_ahead(first, first + len(items))
            position = journal.position
        begin = max(0, position + 1 - first)
        return first + begin, [
            item if type(item) is ChannelEvent and number not in ahead else _SKIPPED
            for number, item in enumerate(items[begin:], first + begin)
        ]


_SKIPPED = Watermarks({})
"""Stands for an item of an earlier run that is not taken again; numbers stay consecutive."""


def _size(items: Sequence[Item]) -> int:
    data = sum([len(item.data or b"") for item in items if type(item) is ChannelEvent])
    return data + _OVERHEAD * len(items)
