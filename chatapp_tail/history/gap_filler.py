"""Fills gaps with what history has, while live events wait in the spool.

The order is the one Pusher recommends: subscribe first, fetch second. The socket's thread passes
every status and gap to `watch`, so that fetching begins when a channel is confirmed. The main
thread reaches the gap later, through the spool, and only from then on are the messages handed out:
everything that was received before the gap has been written by then. Channels that are confirmed
together are read together, so that their messages come in one order.
"""

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto
from math import inf
from queue import Empty, Queue, SimpleQueue

import msgspec

from ..items import RENEWED, ChannelEvent, Gap, Item, Lost, Ready, Stopped, Subscribed
from ..threads import Waker
from .message_times import MessageTimes

_COLLECT_WINDOW = 2.0
"""Gaps that end within so many seconds of the first one are fetched as one batch."""
_MIN_WAIT = 1.0
"""Seconds that live events wait after a gap was reached, however long ago it ended."""
_OVERLAP = 600 * 10**9
"""Nanoseconds before a gap from which history is read, at most, while the clocks agree."""
_MESSAGES_PER_RESULT = 100
_RESULT_INTERVAL = 0.2
_MAX_QUEUED_RESULTS = 50

Fetch = Callable[
    [Sequence[Gap], Mapping[str, int], Mapping[str, int]], Iterator["ChannelEvent | Gap"]
]
"""(gaps, when each channel was tailed first, in nanoseconds, the newest time of a message before
the gap, in seconds by the service's clock) -> the messages of all gaps in the order of their time,
and then each gap, with `missing` set to why some messages cannot be fetched, or to None."""


class BackfillBug(Exception):
    """The fetching thread failed with an unexpected exception; the text is its traceback."""


class Reached(Enum):
    """The state of a gap when the main thread reaches it."""

    NOT_READ = auto()
    """History is not read for it."""
    OPEN = auto()
    """Its messages, and then the gap itself, are still to be taken."""
    FILLED = auto()
    """All of it was taken already: it was fetched together with a gap that was reached earlier."""


class _Batch(msgspec.Struct, eq=False):
    """Gaps that are fetched together, and how many results were queued and taken.

    Gaps that end soon after one another are one batch, and so are those that end while another
    batch is being fetched.
    """

    due: float = 0.0
    """Live events wait until then (monotonic); 0 if all may be no gap, see `RENEWED`."""
    gaps: "list[_PendingGap]" = msgspec.field(default_factory=list)
    """In the order in which they ended."""
    newest: dict[str, int] = msgspec.field(default_factory=dict)
    """The newest time of a message by channel, as of the gap's end."""
    collected: threading.Event = msgspec.field(default_factory=threading.Event)
    """Set when no further gap is expected, so that fetching begins at once."""
    started: bool = False
    """Whether fetching has begun; a later gap belongs to the next batch."""
    complete: bool = False
    """Whether all results are queued."""
    queued: int = 0
    """Results that the fetching thread has queued."""
    taken: int = 0
    """Results that the main thread has taken."""
    ready: int = 0
    """Results that were queued when its first gap was reached: live events wait for these."""

    @property
    def holds(self) -> bool:
        """Whether live events should wait for it."""
        ready = self.queued if self.complete else self.ready
        return self.taken < ready or time.monotonic() < self.due


class _PendingGap(msgspec.Struct, eq=False):
    """One gap: `is_reached` by the main thread, `is_fetched` when all of it was taken."""

    gap: Gap
    batch: _Batch
    is_reached: bool = False
    is_fetched: bool = False


_Result = tuple[_Batch, "list[ChannelEvent] | Gap | BackfillBug"]


class GapFiller:
    """Fetches the gaps of channels for which `has_history` is true.

    `alarm` is woken when there is a result to take. `first_seen` has the time at which channels
    were tailed first, if that was in an earlier run; `times` is told of channels that begin now.
    Live events should wait for `timeout` seconds from the end of a gap, and for at least a second
    from when it is reached.
    """

    def __init__(
        self,
        fetch: Fetch,
        has_history: Callable[[str], bool],
        alarm: Waker,
        *,
        first_seen: Mapping[str, int],
        times: MessageTimes | None = None,
        timeout: float,
    ) -> None:
        self._fetch = fetch
        """Reads the history of gaps."""
        self._has_history = has_history
        self._alarm = alarm
        self._first_seen = dict(first_seen)
        self._times = times or MessageTimes()
        self._timeout = timeout
        self._lock = threading.Lock()
        """Held while `_open` and the last batch change."""
        self._collecting: _Batch | None = None
        """The batch that takes further gaps until it is started."""
        self._batches: SimpleQueue[_Batch] = SimpleQueue()
        """Batches to be fetched."""
        self._thread: threading.Thread | None = None
        """Fetches; started at the first gap."""
        self._upcoming: deque[_PendingGap] = deque()
        """Gaps that are not reached, in the order of the spool, the same for both threads."""
        self._open: dict[_PendingGap, None] = {}
        """Gaps that are not fetched and taken, oldest first."""
        self._given_up: dict[str, int] = {}
        """Channel -> begin (seconds since the epoch) of a gap that was given up."""
        self._results: Queue[_Result] = Queue(_MAX_QUEUED_RESULTS)
        """What was fetched, for the main thread."""
        self._peeked: _Result | None = None
        """The first result, while its batch is not reached."""
        self._active: set[_Batch] = set()
        """Batches with a gap that was reached, as long as one of theirs is not fetched."""

    # --- the socket's thread

    def watch(self, items: Iterable[Item]) -> None:
        """Begin to fetch the gaps among these items; call it before they go into the spool."""
        for item in items:
            if isinstance(item, Subscribed):
                self._begin(item)
            elif isinstance(item, Gap) and not item.final and self._has_history(item.channel):
                self._collect(item)
            elif isinstance(item, Ready | Lost | Stopped) and self._collecting:
                self._collecting.collected.set()

    def _begin(self, item: Subscribed) -> None:
        if item.channel not in self._first_seen:
            self._first_seen[item.channel] = item.at
            self._times.begin(item.channel, item.at)

    def _collect(self, gap: Gap) -> None:
        if gap.begin < self._first_seen.get(gap.channel, gap.begin):
            # A new licence that was noticed late, or a clock that was set back.
            self._first_seen[gap.channel] = gap.begin
            self._times.begin_earlier(gap.channel, gap.begin)
        with self._lock:
            batch = self._collecting
            if batch is None or batch.started:
                batch = self._collecting = _Batch()
                self._batches.put(batch)
            if gap.reason != RENEWED:
                batch.due = batch.due or time.monotonic() + self._timeout
            pending = _PendingGap(gap, batch)
            batch.gaps.append(pending)
            if gap.channel in self._times.newest:
                batch.newest.setdefault(gap.channel, self._times.newest[gap.channel])
            self._open[pending] = None
            self._upcoming.append(pending)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name="chatapp-tail-backfill", daemon=True
            )
            self._thread.start()

    # --- the thread that fetches

    def _work(self) -> None:
        while True:
            batch = self._batches.get()
            batch.collected.wait(_COLLECT_WINDOW)
            with self._lock:
                batch.started = True
            try:
                self._hand_out(batch)
            except Exception:
                self._put_result(batch, BackfillBug(traceback.format_exc()))
                return

    def _hand_out(self, batch: _Batch) -> None:
        """Fetch a batch and queue the results: many messages per result, but without delay."""
        messages: list[ChannelEvent] = []
        started_at = time.monotonic()
        missing = len(batch.gaps)
        gaps = [pending.gap for pending in batch.gaps]
        for item in self._fetch(gaps, self._first_seen, self._newest(batch)):
            if isinstance(item, Gap):
                self._note_given_up(item)
                self._put_result(batch, messages)
                messages = []
                self._put_result(batch, item)
                missing -= 1
                continue
            messages.append(item)
            if (
                len(messages) >= _MESSAGES_PER_RESULT
                or time.monotonic() - started_at > _RESULT_INTERVAL
            ):
                self._put_result(batch, messages)
                messages, started_at = [], time.monotonic()
        if missing or messages:
            raise RuntimeError(f"{missing} gaps and {len(messages)} messages were not handed out")
        batch.complete = True
        self._alarm.wake()

    def _newest(self, batch: _Batch) -> dict[str, int]:
        """Return the newest message times before the gaps of a batch.

        Where an earlier gap was given up, its begin counts instead: it is read again with the next
        gap of its channel, which the resubscribe check alone brings every few minutes.
        """
        newest = dict(batch.newest)
        for pending in batch.gaps:
            channel = pending.gap.channel
            if (begin := self._given_up.get(channel)) is not None:
                newest[channel] = min(begin, newest.get(channel, begin))
        return newest

    def _note_given_up(self, gap: Gap) -> None:
        if gap.given_up:
            begin = gap.begin // 10**9
            self._given_up[gap.channel] = min(begin, self._given_up.get(gap.channel, begin))
        else:
            self._given_up.pop(gap.channel, None)

    def _put_result(self, batch: _Batch, result: "list[ChannelEvent] | Gap | BackfillBug") -> None:
        if result != []:
            self._results.put((batch, result))
            batch.queued += 1
            self._alarm.wake()

    # --- the main thread

    def mark_reached(self, gap: Gap) -> Reached:
        """Note that everything before this gap is written; return the state of the gap.

        Call it for each gap in the order in which `watch` saw them.
        """
        if not self._upcoming or self._upcoming[0].gap != gap:
            return Reached.NOT_READ
        pending = self._upcoming.popleft()
        pending.is_reached = True
        if pending.is_fetched:
            return Reached.FILLED
        batch = pending.batch
        if batch not in self._active:
            self._active.add(batch)
            batch.ready = batch.queued
            if batch.due:
                batch.due = max(batch.due, time.monotonic() + min(_MIN_WAIT, self._timeout))
        return Reached.OPEN

    def unfinished(self) -> list[Gap]:
        """Return the gaps that were reached and are not filled yet."""
        with self._lock:
            return [pending.gap for pending in self._open if pending.is_reached]

    def keep_since(self) -> float:
        """Return since when (wall-clock nanoseconds) live messages may come from history as well.

        Infinity when no gap is to be filled.
        """
        with self._lock:
            gaps = [pending.gap for pending in self._open]
        return min((gap.begin - _OVERLAP for gap in gaps), default=inf)

    @property
    def in_progress(self) -> bool:
        """Whether a gap that was reached and certainly is one is still to be filled."""
        return bool(self._active) and any(batch.due for batch in self._active)

    @property
    def holds(self) -> bool:
        """Whether live events should wait for gaps that were reached."""
        return bool(self._active) and any(batch.holds for batch in self._active)

    @property
    def deadline(self) -> float:
        """The moment (monotonic) until which live events should wait for a gap that was reached."""
        return max((batch.due for batch in self._active), default=0.0)

    def take(self) -> "list[ChannelEvent] | Gap | None":
        """Return messages, or a gap whose messages have all been taken; None if there is no result.

        Never waits. Raises BackfillBug.
        """
        if not self._active:  # nearly always; live events should not wait for more than this
            return None
        if self._peeked is None:
            try:
                self._peeked = self._results.get_nowait()
            except Empty:
                return None
        batch, result = self._peeked
        if isinstance(result, BackfillBug):
            self._peeked = None
            raise result
        if batch not in self._active:
            return None
        self._peeked = None
        batch.taken += 1
        if isinstance(result, Gap):
            self._mark_fetched(batch, result)
        return result

    def _mark_fetched(self, batch: _Batch, gap: Gap) -> None:
        key = _key(gap)
        pending = next(
            pending for pending in batch.gaps if not pending.is_fetched and _key(pending.gap) == key
        )
        pending.is_fetched = True
        with self._lock:
            del self._open[pending]
        if all(pending.is_fetched for pending in batch.gaps):
            self._active.discard(batch)


def _key(gap: Gap) -> tuple[str, int, int]:
    return gap.channel, gap.since, gap.until
