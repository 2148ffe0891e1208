"""Fills gaps with what history has, while live events wait in the spool.

The order is that of Pusher's own advice: subscribe first, fetch second. The socket's thread shows
every batch to `watch`, so that fetching begins when a channel is confirmed; the main thread comes
to the gap in its own time, through the spool, and only from then on are the messages handed out:
what was received before the gap has been written by then. All channels that come back together are
read together, so that their messages come in one order.
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
"""Seconds after the first gap in which others are read together with it, if it takes that long."""
_MIN_WAIT = 1.0
"""Seconds that live events wait after a gap was reached, however long ago it ended."""
_OVERLAP = 600 * 10**9
"""Nanoseconds before a gap of which history is read at most, where the clocks agree."""
_MESSAGES_PER_RESULT = 100
_RESULT_INTERVAL = 0.2
_MAX_QUEUED_RESULTS = 50

Fetch = Callable[
    [Sequence[Gap], Mapping[str, int], Mapping[str, int]], Iterator["ChannelEvent | Gap"]
]
"""(gaps, when each channel was tailed first, in nanoseconds, the newest time of a message that came
before the gap, in seconds by the service's clock) -> the messages of all of them in the order of
their time, and at last each gap, its `missing` set to why some cannot be had, or None."""


class BackfillBug(Exception):
    """The thread that fetches died; its text is the traceback."""


class Reached(Enum):
    """What is known of a gap when the main thread comes to it."""

    NOT_READ = auto()
    """History is not read for it."""
    OPEN = auto()
    """Its messages are still to be taken, and then the gap itself."""
    FILLED = auto()
    """All of it was taken before: it was read together with one that was reached earlier."""


class _Batch(msgspec.Struct, eq=False):
    """Gaps that are read together, and how much of them was put into the queue and taken.

    Those that end soon after one another are, and those that end while others are being read.
    Live events wait until `due` (0: all of them may be no gap, so they need not wait), and as long
    as any of the first `ready` news is still to be taken.
    """

    due: float = 0.0
    gaps: "list[_PendingGap]" = msgspec.field(default_factory=list)
    newest: dict[str, int] = msgspec.field(default_factory=dict)
    collected: threading.Event = msgspec.field(default_factory=threading.Event)
    started: bool = False
    complete: bool = False
    queued: int = 0
    taken: int = 0
    ready: int = 0

    @property
    def holds(self) -> bool:
        """Whether live events should wait for it."""
        ready = self.queued if self.complete else self.ready
        return self.taken < ready or time.monotonic() < self.due


class _PendingGap(msgspec.Struct, eq=False):
    """One gap: `is_reached` in the spool by the main thread, `is_fetched` when all of it came."""

    gap: Gap
    batch: _Batch
    is_reached: bool = False
    is_fetched: bool = False


_Result = tuple[_Batch, "list[ChannelEvent] | Gap | BackfillBug"]


class GapFiller:
    """Reads the gaps of those channels that `has_history` says have one.

    `alarm` is woken when there is something to take. `began` has when channels were tailed first,
    as far as that was before now; `times` is told of those that begin now. Live events should wait
    for `timeout` seconds from the end of a gap on, and for a second at least from when it is
    reached.
    """

    def __init__(
        self,
        fetch: Fetch,
        has_history: Callable[[str], bool],
        alarm: Waker,
        *,
        began: Mapping[str, int],
        times: MessageTimes | None = None,
        timeout: float,
    ) -> None:
        self._fetch = fetch
        self._has_history = has_history
        self._alarm = alarm
        self._began = dict(began)
        self._times = times or MessageTimes()
        self._timeout = timeout
        self._lock = threading.Lock()
        self._collecting: _Batch | None = None
        self._batches: SimpleQueue[_Batch] = SimpleQueue()
        self._thread: threading.Thread | None = None
        # In the order of the spool, which is the same for both threads.
        self._upcoming: deque[_PendingGap] = deque()
        self._open: dict[_PendingGap, None] = {}
        # Channel -> where its gap began (seconds since the epoch) that was given up.
        self._given_up: dict[str, int] = {}
        self._results: Queue[_Result] = Queue(_MAX_QUEUED_RESULTS)
        self._peeked: _Result | None = None
        self._active: set[_Batch] = set()

    # --- the socket's thread

    def watch(self, items: Iterable[Item]) -> None:
        """Begin to fetch the gaps in a batch; to be called before it goes into the spool."""
        for item in items:
            if type(item) is ChannelEvent:
                continue
            if isinstance(item, Subscribed):
                self._begin(item)
            elif isinstance(item, Gap) and not item.final and self._has_history(item.channel):
                self._collect(item)
            elif isinstance(item, Ready | Lost | Stopped) and self._collecting:
                self._collecting.collected.set()

    def _begin(self, item: Subscribed) -> None:
        if item.channel not in self._began:
            self._began[item.channel] = item.at
            self._times.begin(item.channel, item.at)

    def _collect(self, gap: Gap) -> None:
        if gap.begin < self._began.get(gap.channel, gap.begin):
            # A line that was found late, or a clock that was set back.
            self._began[gap.channel] = gap.begin
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
        """Fetch an episode and queue what comes: many messages at once, but none for long."""
        messages: list[ChannelEvent] = []
        started_at = time.monotonic()
        missing = len(batch.gaps)
        gaps = [pending.gap for pending in batch.gaps]
        for item in self._fetch(gaps, self._began, self._newest(batch)):
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
        """Return the newest message times before the gaps of an episode.

        Where an earlier gap was given up, its begin takes their place: it is read again with the
        next one of its channel, which the audit alone brings every few minutes.
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

    def reached(self, gap: Gap) -> Reached:
        """Note that all before this gap is written; return what is known of it.

        To be called for each gap in the order in which `watch` saw them.
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
        """Return the gaps that were reached and are not filled."""
        with self._lock:
            return [pending.gap for pending in self._open if pending.is_reached]

    def keep_since(self) -> float:
        """Return since when (wall-clock nanoseconds) what came live may come from history too.

        Infinity when no gap is to be filled.
        """
        with self._lock:
            gaps = [pending.gap for pending in self._open]
        return min((gap.begin - _OVERLAP for gap in gaps), default=inf)

    @property
    def busy(self) -> bool:
        """Whether a gap that was reached is still to be filled, one that surely is a gap."""
        return any(batch.due for batch in self._active)

    @property
    def holds(self) -> bool:
        """Whether live events should wait for gaps that were reached."""
        return any(batch.holds for batch in self._active)

    @property
    def due(self) -> float:
        """The moment (monotonic) until which live events should wait for a gap that was reached."""
        return max((batch.due for batch in self._active), default=0.0)

    def take(self) -> "list[ChannelEvent] | Gap | None":
        """Return messages, or a gap of which all came that could be had; None: nothing just now.

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
