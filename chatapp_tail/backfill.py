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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from queue import Empty, Queue, SimpleQueue

import msgspec

from .pusher.items import (
    RENEWED,
    ChannelEvent,
    Gap,
    Item,
    Lost,
    Ready,
    Stopped,
    Subscribed,
)
from .waker import Waker

_GATHERED = 2.0
"""Seconds after the first gap in which others are read together with it, if it takes that long."""
_BATCH = 100
_BATCH_LASTS = 0.2
_HANDED_OUT_AHEAD = 50

Fetch = Callable[[Sequence[Gap], Mapping[str, int]], Iterator["ChannelEvent | Gap"]]
"""(gaps, when each channel was tailed first, in nanoseconds) -> the messages of all of them in the
order of their time, and at last each gap, its `missing` set to why some cannot be had, or None."""


class BackfillBug(Exception):
    """The thread that fetches died; its text is the traceback."""


class _Episode(msgspec.Struct, eq=False):
    """Gaps that are read together; `due` is when live events go first, 0 when they need not wait.

    Those that end soon after one another are, and those that end while others are being read.
    """

    due: float = 0.0
    gaps: list[Gap] = msgspec.field(default_factory=list)
    gathered: threading.Event = msgspec.field(default_factory=threading.Event)
    begun: bool = False


class _Known(msgspec.Struct):
    """One gap: `reached` in the spool by the main thread, `closed` when all of it came."""

    gap: Gap
    episode: _Episode
    reached: bool = False
    closed: bool = False


_News = tuple[_Episode, "list[ChannelEvent] | Gap | BackfillBug"]


class Backfill:
    """Reads the gaps of those channels that `has_history` says have one.

    `alarm` is woken when there is something to take. `began` has when channels were tailed first,
    as far as that was before now. Live events should wait for `patience` seconds from the end of a
    gap on.
    """

    def __init__(
        self,
        fetch: Fetch,
        has_history: Callable[[str], bool],
        alarm: Waker,
        *,
        began: Mapping[str, int],
        patience: float,
    ) -> None:
        self._fetch = fetch
        self._has_history = has_history
        self._alarm = alarm
        self._began = dict(began)
        self._patience = patience
        self._lock = threading.Lock()
        self._gathering: _Episode | None = None
        self._episodes: SimpleQueue[_Episode] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._known: dict[tuple[str, int], _Known] = {}
        self._news: Queue[_News] = Queue(_HANDED_OUT_AHEAD)
        self._next: _News | None = None
        self._reached: set[_Episode] = set()

    # --- the socket's thread

    def watch(self, batch: Iterable[Item]) -> None:
        """Begin to fetch the gaps in a batch; to be called before it goes into the spool."""
        for item in batch:
            if type(item) is ChannelEvent:
                continue
            if isinstance(item, Subscribed):
                self._began.setdefault(item.channel, item.at)
            elif isinstance(item, Gap) and not item.final and self._has_history(item.channel):
                # A line may be found some time after it was added: its gap begins before it does.
                self._began[item.channel] = min(
                    self._began.get(item.channel, item.since), item.since
                )
                self._gather(item)
            elif isinstance(item, Ready | Lost | Stopped) and self._gathering:
                self._gathering.gathered.set()

    def _gather(self, gap: Gap) -> None:
        with self._lock:
            episode = self._gathering
            if episode is None or episode.begun:
                episode = self._gathering = _Episode()
                self._episodes.put(episode)
            if gap.reason != RENEWED:
                episode.due = episode.due or time.monotonic() + self._patience
            episode.gaps.append(gap)
            self._known[gap.channel, gap.since] = _Known(gap, episode)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name="chatapp-tail-backfill", daemon=True
            )
            self._thread.start()

    # --- the thread that fetches

    def _work(self) -> None:
        while True:
            episode = self._episodes.get()
            episode.gathered.wait(_GATHERED)
            with self._lock:
                episode.begun = True
            try:
                self._hand_out(episode)
            except Exception:
                self._put(episode, BackfillBug(traceback.format_exc()))
                return

    def _hand_out(self, episode: _Episode) -> None:
        """Fetch an episode and queue what comes: many messages at once, but none for long."""
        batch: list[ChannelEvent] = []
        begun = time.monotonic()
        for each in self._fetch(episode.gaps, self._began):
            if isinstance(each, Gap):
                self._put(episode, batch)
                batch = []
                self._put(episode, each)
                continue
            batch.append(each)
            if len(batch) >= _BATCH or time.monotonic() - begun > _BATCH_LASTS:
                self._put(episode, batch)
                batch, begun = [], time.monotonic()

    def _put(self, episode: _Episode, news: "list[ChannelEvent] | Gap | BackfillBug") -> None:
        if news != []:
            self._news.put((episode, news))
            self._alarm.wake()

    # --- the main thread

    def reached(self, gap: Gap) -> bool:
        """Note that all before this gap is written; return whether it is ours to say."""
        known = self._known.get((gap.channel, gap.since))
        if known is None:
            return False
        known.reached = True
        if known.closed:  # it was read together with one that was reached earlier
            self._forget(known)
        else:
            self._reached.add(known.episode)
        return True

    def fills(self, gap: Gap) -> bool:
        """Return whether messages of a gap that was reached may still come."""
        return (gap.channel, gap.since) in self._known

    def unfinished(self) -> list[Gap]:
        """Return the gaps that were reached and are not filled."""
        return [known.gap for known in list(self._known.values()) if known.reached]

    @property
    def busy(self) -> bool:
        """Whether a gap that was reached is still to be filled, one that surely is a gap."""
        return any(episode.due for episode in self._reached)

    @property
    def due(self) -> float:
        """The moment (monotonic) until which live events should wait for a gap that was reached."""
        return max((episode.due for episode in self._reached), default=0.0)

    def take(self) -> "list[ChannelEvent] | Gap | None":
        """Return messages, or a gap of which all came that could be had; None: nothing just now.

        Never waits. Raises BackfillBug.
        """
        if not self._reached:  # nearly always; live events should not wait for more than this
            return None
        if self._next is None:
            try:
                self._next = self._news.get_nowait()
            except Empty:
                return None
        episode, news = self._next
        if episode not in self._reached:
            return None
        self._next = None
        if isinstance(news, BackfillBug):
            raise news
        if isinstance(news, Gap):
            self._close(self._known[news.channel, news.since])
        return news

    def _close(self, known: _Known) -> None:
        known.closed = True
        if known.reached:
            self._forget(known)
        others = list(self._known.values())
        if all(each.closed for each in others if each.episode is known.episode):
            self._reached.discard(known.episode)

    def _forget(self, known: _Known) -> None:
        del self._known[known.gap.channel, known.gap.since]
