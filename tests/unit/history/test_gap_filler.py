"""Gaps on their way: seen by the socket's thread, read by another, handed out to the main one."""

import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from math import inf
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from msgspec.structs import replace

from chatapp_tail.history import gap_filler as module
from chatapp_tail.history.gap_filler import BackfillBug, Fetch, GapFiller, Reached
from chatapp_tail.history.gap_filler import _Batch as Episode
from chatapp_tail.history.message_times import MessageTimes
from chatapp_tail.items import (
    RENEWED,
    ChannelEvent,
    Connected,
    Gap,
    Item,
    Lost,
    Ready,
    StopCause,
    Stopped,
    Subscribed,
    Watermarks,
)
from chatapp_tail.threads import Waker
from tests.conftest import TIMEOUT_SCALE, wait_until
from tests.factories import gap, message

WAIT = 10.0 * TIMEOUT_SCALE
READY = Ready(1, ["a"], [])
ENDS_OF_AN_EPISODE: list[Item] = [
    READY,
    Lost(1, "gone", None, None),
    Stopped(1, StopCause.ASKED, ""),
]

News = list[ChannelEvent] | Gap


def filled(channel: str = "a", since: int = 1) -> Gap:
    return replace(gap(channel, since), missing=None)


class Backfill(GapFiller):
    """A gap filler, and both ends of it: what is read comes from the test, when that gives it."""

    def __init__(self, alarm: Waker, *, fetch: Fetch | None = None, **settings: Any) -> None:
        self.alarm = alarm
        self._reads: SimpleQueue[tuple[list[Gap], dict[str, int], dict[str, int]]] = SimpleQueue()
        self._given: SimpleQueue[ChannelEvent | Gap | Exception | None] = SimpleQueue()
        defaults: dict[str, Any] = {"first_seen": {}, "timeout": 100.0}
        read = fetch or self._read_given
        super().__init__(read, lambda name: name != "none", alarm, **(defaults | settings))

    def _read_given(
        self, gaps: Sequence[Gap], first_seen: Mapping[str, int], newest: Mapping[str, int]
    ) -> Iterator[ChannelEvent | Gap]:
        self._reads.put((list(gaps), dict(first_seen), dict(newest)))
        while (step := self._given.get()) is not None:
            if isinstance(step, Exception):
                raise step
            yield step

    def begun(self) -> tuple[list[Gap], dict[str, int], dict[str, int]]:
        """Wait until history is read; return what the reader was called with."""
        return self._reads.get(timeout=WAIT)

    @property
    def is_idle(self) -> bool:
        return self._reads.empty()

    def gives(self, *steps: ChannelEvent | Gap | Exception) -> None:
        for step in steps:
            self._given.put(step)

    def ends(self) -> None:
        """Let the reading of these gaps end."""
        self._given.put(None)

    def lose(self, *gaps: Gap) -> None:
        """Let the socket's thread see these gaps, and the end of the episode."""
        self.watch([*gaps, READY])

    def woken(self, seconds: float = WAIT) -> bool:
        return bool(select.select([self.alarm], [], [], max(0.0, seconds))[0])

    def taken(self) -> News:
        """Wait for the next news, as the main thread does: by the alarm."""
        deadline = time.monotonic() + WAIT
        while (news := self.take()) is None:
            assert self.woken(deadline - time.monotonic())
            self.alarm.clear()
        return news


Make = Callable[..., Backfill]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make a gap filler; its reading ends with the test."""
    with closing(Waker()) as alarm:
        made: list[Backfill] = []

        def make(**settings: Any) -> Backfill:
            made.append(Backfill(alarm, **settings))
            return made[-1]

        yield make
        for backfill in made:
            backfill.ends()


@pytest.fixture
def backfill(make: Make) -> Backfill:
    return make()


# --- one gap


def test_a_gap_is_read_at_once_and_handed_out_when_it_is_reached(backfill: Backfill) -> None:
    backfill.watch([Subscribed(1, "a"), gap(), READY])
    assert backfill.begun()[0] == [gap()]
    backfill.gives(message(1), message(2), filled())
    assert backfill.woken()
    assert backfill.take() is None, "what came before the gap is not written yet"
    assert backfill.mark_reached(gap()) is Reached.OPEN
    assert backfill.taken() == [message(1), message(2)]
    assert backfill.taken() == filled()
    assert backfill.take() is None


@pytest.mark.parametrize(
    "end", [filled(), gap(missing="HTTP 403")], ids=["nothing is missing", "something is missing"]
)
def test_a_gap_without_messages(backfill: Backfill, end: Gap) -> None:
    backfill.lose(gap())
    assert backfill.mark_reached(gap()) is Reached.OPEN
    backfill.gives(end)
    assert backfill.taken() == end
    assert backfill.unfinished() == []


@pytest.mark.parametrize("odd", [gap(final=True), gap("none")], ids=["final", "without history"])
def test_gaps_that_are_nobody_s(backfill: Backfill, odd: Gap) -> None:
    """Final gaps, and gaps of channels without history, are not read."""
    backfill.lose(odd)
    assert backfill.mark_reached(odd) is Reached.NOT_READ
    assert backfill.unfinished() == []
    assert backfill.deadline == 0.0
    backfill.lose(gap("b"))
    assert backfill.begun()[0] == [gap("b")]


def test_a_gap_that_was_never_seen_is_not_ours(backfill: Backfill) -> None:
    backfill.lose(gap())
    assert backfill.mark_reached(gap(since=2)) is Reached.NOT_READ
    assert backfill.mark_reached(gap("b")) is Reached.NOT_READ


def test_nothing_is_read_and_no_thread_begun_without_a_gap(backfill: Backfill) -> None:
    before = threading.active_count()
    backfill.watch(
        [message(1), Connected(1, "1.2"), Subscribed(1, "a"), Watermarks({"a": 1}), READY]
    )
    assert threading.active_count() == before
    assert backfill.take() is None
    assert backfill.is_idle


def test_whoever_reads_keeps_nothing_from_ending(backfill: Backfill) -> None:
    backfill.lose(gap())
    backfill.begun()
    workers = [each for each in threading.enumerate() if each.name == "chatapp-tail-backfill"]
    assert workers[-1].daemon


# --- several gaps


@pytest.mark.parametrize("end", ENDS_OF_AN_EPISODE, ids=lambda item: type(item).__name__)
def test_gaps_that_end_together_are_read_together(backfill: Backfill, end: Item) -> None:
    backfill.watch([gap("a")])
    backfill.watch([Subscribed(1, "b"), gap("b"), Subscribed(1, "c"), gap("c")])
    assert backfill.is_idle
    backfill.watch([end])
    assert backfill.begun()[0] == [gap("a"), gap("b"), gap("c")]


def test_a_channel_that_never_comes_back_keeps_no_other_waiting(
    backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COLLECT_WINDOW", 0.05)
    backfill.watch([gap("a")])
    assert backfill.begun()[0] == [gap("a")]
    backfill.watch([gap("b")])
    backfill.gives(filled("a"))
    backfill.ends()
    assert backfill.begun()[0] == [gap("b")]


def test_gaps_of_a_later_loss_are_read_after_those_of_an_earlier_one(backfill: Backfill) -> None:
    backfill.lose(gap("a"))
    backfill.begun()
    backfill.lose(gap("a", 20), gap("b", 20))
    assert backfill.mark_reached(gap("a")) is Reached.OPEN
    backfill.gives(message(1), filled("a"))
    backfill.ends()
    assert backfill.begun()[0] == [gap("a", 20), gap("b", 20)]
    backfill.gives(message(2), filled("a", 20), filled("b", 20))
    assert [backfill.taken(), backfill.taken()] == [[message(1)], filled("a")]
    assert backfill.take() is None
    backfill.mark_reached(gap("a", 20))
    assert [backfill.taken() for _ in range(3)] == [
        [message(2)],
        filled("a", 20),
        filled("b", 20),
    ]
    assert backfill.mark_reached(gap("b", 20)) is Reached.FILLED
    assert backfill.deadline == 0.0


def test_a_gap_is_filled_before_it_is_reached(backfill: Backfill) -> None:
    """It was read together with one that was reached earlier; it is ours, and over."""
    backfill.lose(gap("a"), gap("b"))
    backfill.mark_reached(gap("a"))
    backfill.gives(message(1, "b"), filled("a"), filled("b"))
    assert backfill.taken() == [message(1, "b")]
    assert backfill.taken() == filled("a")
    assert backfill.taken() == filled("b")
    assert backfill.deadline == 0.0, "live events need not wait any more"
    assert backfill.unfinished() == []
    assert backfill.mark_reached(gap("b")) is Reached.FILLED
    assert backfill.unfinished() == []
    assert backfill.deadline == 0.0
    assert backfill.mark_reached(gap("b")) is Reached.NOT_READ, "it is forgotten"


def test_which_gaps_are_unfinished(backfill: Backfill) -> None:
    backfill.lose(gap("a"), gap("b"), gap("c"))
    assert backfill.unfinished() == []
    backfill.mark_reached(gap("a"))
    assert backfill.unfinished() == [gap("a")]
    backfill.mark_reached(gap("b"))
    backfill.gives(filled("a"))
    assert backfill.taken() == filled("a")
    assert backfill.unfinished() == [gap("b")]


def test_what_was_read_and_not_taken_is_unfinished(backfill: Backfill) -> None:
    backfill.lose(gap("a"))
    backfill.mark_reached(gap("a"))
    backfill.gives(message(1), filled("a"))
    assert backfill.taken() == [message(1)]
    assert backfill.unfinished() == [gap("a")]


def test_the_gaps_of_all_lines_can_be_unfinished_while_others_come(backfill: Backfill) -> None:
    """The socket's thread adds gaps while the main one looks at them."""
    stop = threading.Event()

    def watch() -> None:
        since = 0
        while not stop.is_set():
            since += 1
            backfill.watch([gap("a", since)])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for _ in range(300):
            assert backfill.unfinished() == []
            assert backfill.deadline == 0.0
    finally:
        stop.set()
        thread.join(WAIT)


# --- since when a channel is tailed


def test_when_a_channel_was_tailed_first(make: Make) -> None:
    backfill = make(first_seen={"old": 5})
    backfill.watch([Subscribed(10, "a"), Subscribed(11, "old"), READY])
    backfill.watch([Subscribed(20, "a"), gap("a", 15), Subscribed(21, "b"), READY])
    assert backfill.begun()[1] == {"old": 5, "a": 10, "b": 21}


@pytest.mark.defect("A2.2b")
def test_a_gap_is_read_though_its_channel_seems_to_have_begun_later(make: Make) -> None:
    """The clock was set back since, or a line was found late."""
    backfill = make(first_seen={"old": 1000})
    backfill.watch([gap("old", 700), Subscribed(500, "a"), gap("a", 400), READY])
    assert backfill.begun()[1] == {"old": 700, "a": 400}


def test_the_newest_message_is_that_from_before_a_gap(make: Make) -> None:
    times = MessageTimes({"a": 5})
    backfill = make(times=times)
    backfill.lose(gap("a"))
    assert backfill.begun()[2] == {"a": 5}
    times.newest["b"] = 7
    backfill.lose(gap("b"), gap("c"))
    times.newest |= {"b": 8, "c": 9}
    backfill.gives(filled("a"))
    backfill.ends()
    assert backfill.begun()[2] == {"b": 7}


@pytest.mark.defect("A2.23b")
def test_a_gap_that_was_given_up_is_read_with_the_next_one(make: Make) -> None:
    second = 10**9
    backfill = make(times=MessageTimes({"a": 500}))
    for since, newest, given_up in ((90, 500, True), (700, 90, False), (900, 500, False)):
        lost = gap("a", since * second)
        backfill.lose(lost)
        assert backfill.begun()[2] == {"a": newest}
        missing = "HTTP 503" if given_up else None
        backfill.gives(replace(lost, missing=missing, given_up=given_up))
        backfill.ends()


def test_a_begin_that_a_gap_moves_moves_that_by_the_service_s_clock_too(make: Make) -> None:
    times = MessageTimes()
    backfill = make(first_seen={"old": 5}, times=times)
    backfill.watch([Subscribed(30 * 10**9, "a"), Subscribed(30 * 10**9, "old")])
    times.begins |= {"a": 1000, "old": 1000}
    backfill.lose(gap("a", 10 * 10**9), gap("old", 1))
    assert times.begins == {"a": 980, "old": 1000}


def test_what_the_caller_knows_stays_as_it_is(make: Make) -> None:
    first_seen = {"old": 5}
    make(first_seen=first_seen).watch([Subscribed(10, "a")])
    assert first_seen == {"old": 5}


# --- patience


@pytest.mark.defect("A2.6")
def test_for_a_check_of_a_subscription_nothing_waits_and_it_is_no_idleness(make: Make) -> None:
    check = Gap("a", 1, 6, RENEWED)
    backfill = make(timeout=7.0)
    backfill.lose(check)
    assert backfill.mark_reached(check)
    assert (backfill.deadline, backfill.in_progress) == (0.0, False)
    backfill.watch([gap("b")])
    assert backfill.mark_reached(gap("b"))
    assert backfill.deadline > time.monotonic()
    assert backfill.in_progress


def test_live_events_wait_from_the_end_of_a_gap_on_and_only_when_it_is_reached(make: Make) -> None:
    backfill = make(timeout=7.0)
    before = time.monotonic()
    backfill.lose(gap("a"))
    after = time.monotonic()
    assert backfill.deadline == 0.0
    backfill.mark_reached(gap("a"))
    assert before + 7.0 <= backfill.deadline <= after + 7.0
    backfill.gives(message(1), filled("a"))
    backfill.taken()
    assert backfill.deadline > 0.0
    backfill.taken()
    assert backfill.deadline == 0.0


def test_live_events_wait_for_all_gaps_that_are_read_together(make: Make) -> None:
    backfill = make(timeout=7.0)
    backfill.lose(gap("a"), gap("b"))
    backfill.mark_reached(gap("a"))
    due = backfill.deadline
    backfill.mark_reached(gap("b"))
    assert backfill.deadline == due
    backfill.gives(filled("a"))
    backfill.taken()
    assert backfill.deadline == due
    backfill.gives(filled("b"))
    backfill.taken()
    assert backfill.deadline == 0.0


def test_after_the_patience_live_events_go_first_and_history_still_comes(make: Make) -> None:
    backfill = make(timeout=0.0)
    backfill.lose(gap("a"))
    backfill.mark_reached(gap("a"))
    assert 0.0 < backfill.deadline <= time.monotonic()
    backfill.gives(message(1), filled("a"))
    assert backfill.taken() == [message(1)]
    assert backfill.taken() == filled("a")


def test_a_later_gap_has_its_own_patience(make: Make) -> None:
    backfill = make(timeout=7.0)
    backfill.lose(gap("a"))
    backfill.mark_reached(gap("a"))
    first = backfill.deadline
    backfill.lose(gap("a", 20))
    assert backfill.deadline == first
    backfill.mark_reached(gap("a", 20))
    assert backfill.deadline >= first
    backfill.gives(filled("a"))
    backfill.ends()
    assert backfill.taken() == filled("a")
    assert backfill.deadline > 0.0


def queued(backfill: GapFiller, count: int) -> None:
    """Wait until the thread that reads has put so much into the queue."""
    wait_until(lambda: backfill._results.qsize() >= count, "history is read")


@pytest.mark.defect("A.13")
def test_what_was_read_before_a_gap_is_reached_goes_first_however_late_that_is(make: Make) -> None:
    backfill = make(timeout=0.0)
    backfill.lose(gap("a"))
    backfill.gives(message(1), filled("a"))
    backfill.ends()
    queued(backfill, 2)
    backfill.mark_reached(gap("a"))
    assert backfill.deadline <= time.monotonic()
    assert backfill.holds
    assert backfill.taken() == [message(1)]
    assert backfill.holds
    assert backfill.taken() == filled("a")
    assert not backfill.holds


@pytest.mark.defect("A.13")
def test_of_what_is_still_being_read_only_what_is_there_goes_first(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RESULT_INTERVAL", 0.0)
    backfill = make(timeout=0.0)
    backfill.lose(gap("a"))
    backfill.gives(message(1), message(2))
    queued(backfill, 2)
    backfill.mark_reached(gap("a"))
    backfill.gives(message(3))
    queued(backfill, 3)
    for number in (1, 2):
        assert backfill.holds
        assert backfill.taken() == [message(number)]
    assert not backfill.holds
    assert backfill.taken() == [message(3)]


@pytest.mark.defect("A.13")
def test_live_events_wait_a_second_from_when_a_gap_is_reached(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    backfill = make(timeout=7.0)
    backfill.lose(gap("a"), gap("b"))
    monkeypatch.setattr(time, "monotonic", lambda: now + 100.0)
    backfill.mark_reached(gap("a"))
    assert backfill.deadline == now + 101.0
    monkeypatch.setattr(time, "monotonic", lambda: now + 100.5)
    backfill.mark_reached(gap("b"))
    assert backfill.deadline == now + 101.0, "a second for all that are read together"


@pytest.mark.parametrize("timeout", [0.0, 0.25])
def test_live_events_wait_no_longer_than_they_may(make: Make, timeout: float) -> None:
    backfill = make(timeout=timeout)
    backfill.lose(gap("a"))
    backfill.mark_reached(gap("a"))
    assert backfill.deadline <= time.monotonic() + timeout


# --- which gap is which


@pytest.mark.defect("A2.7")
def test_gaps_of_one_channel_that_begin_at_the_same_moment_are_told_apart(
    backfill: Backfill,
) -> None:
    first, second, third, later = gap(length=1), gap(length=2), gap(length=2), gap(since=9)
    backfill.lose(first)
    assert backfill.begun()[0] == [first]
    backfill.lose(second, third)
    backfill.gives(message(1), first)
    backfill.ends()
    assert backfill.begun()[0] == [second, third]
    backfill.gives(message(2), second, third)
    backfill.ends()
    assert backfill.mark_reached(first) is Reached.OPEN
    assert [backfill.taken() for _ in range(2)] == [[message(1)], first]
    assert backfill.unfinished() == []
    assert backfill.mark_reached(second) is Reached.OPEN
    assert [backfill.taken() for _ in range(3)] == [[message(2)], second, third]
    assert backfill.mark_reached(third) is Reached.FILLED
    assert not backfill.in_progress
    backfill.lose(later)
    assert backfill.begun()[0] == [later], "later ones are read and handed out"
    backfill.gives(later)
    assert backfill.mark_reached(later) is Reached.OPEN
    assert backfill.taken() == later


def test_a_reader_that_forgets_a_gap_is_a_bug(backfill: Backfill) -> None:
    """Otherwise the gap would wait for its end for good."""
    backfill.lose(gap("a"), gap("b"))
    backfill.gives(message(1), filled("a"))
    backfill.ends()
    backfill.mark_reached(gap("a"))
    assert [backfill.taken() for _ in range(2)] == [[message(1)], filled("a")]
    with pytest.raises(BackfillBug, match="1 gaps and 0 messages"):
        backfill.taken()


# --- since when what was shown live may come again


def test_what_a_gap_may_read_again_is_known_from_when_it_is_seen_until_it_is_filled(
    backfill: Backfill,
) -> None:
    overlap = module._OVERLAP
    first, second = gap("a", 3 * overlap, overlap), gap("b", 4 * overlap, overlap)
    third = gap("c", 5 * overlap, overlap, read_from=2 * overlap)
    assert backfill.keep_since() == inf
    backfill.lose(first, second)
    assert backfill.keep_since() == 2 * overlap
    backfill.begun()
    backfill.lose(third)
    assert backfill.keep_since() == overlap
    backfill.mark_reached(first)
    backfill.gives(first, second)
    backfill.ends()
    assert [backfill.taken(), backfill.taken()] == [first, second]
    assert backfill.keep_since() == overlap
    backfill.begun()
    backfill.mark_reached(second)
    backfill.mark_reached(third)
    backfill.gives(third)
    backfill.taken()
    assert backfill.keep_since() == inf


# --- handing out


def test_many_messages_come_at_once_in_their_order(backfill: Backfill) -> None:
    backfill.lose(gap())
    backfill.mark_reached(gap())
    sent = [message(number) for number in range(1000)]
    backfill.gives(*sent, filled())
    batches = []
    while isinstance(news := backfill.taken(), list):
        batches.append(news)
    assert list(chain(*batches)) == sent
    assert news == filled()
    assert len(batches) <= 100


def test_messages_do_not_wait_for_others_for_long(
    backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RESULT_INTERVAL", 0.0)
    backfill.lose(gap())
    backfill.mark_reached(gap())
    for number in range(3):
        backfill.gives(message(number))
        assert backfill.taken() == [message(number)]


def test_history_is_not_read_far_ahead_of_what_is_written(make: Make) -> None:
    yielded = threading.Semaphore(0)
    count = 0

    def fetch(gaps: Sequence[Gap], *_: Mapping[str, int]) -> Iterator[ChannelEvent | Gap]:
        nonlocal count
        for number in range(100_000):
            count += 1
            yielded.release()
            yield message(number)
        yield from gaps

    backfill = make(fetch=fetch)
    backfill.lose(gap())
    while yielded.acquire(timeout=0.3):
        continue
    assert count < 20_000, "the rest waits where it is"
    backfill.mark_reached(gap())
    got = 0
    while isinstance(news := backfill.taken(), list):
        got += len(news)
    assert got == 100_000
    assert news == gap()


# --- bugs


def test_a_bug_of_whoever_reads_is_raised_with_its_traceback(backfill: Backfill) -> None:
    backfill.lose(gap())
    backfill.begun()
    backfill.gives(ZeroDivisionError("made up"))
    assert backfill.woken()
    assert backfill.take() is None
    backfill.mark_reached(gap())
    with pytest.raises(BackfillBug, match=r"(?s)Traceback.*ZeroDivisionError: made up"):
        backfill.taken()
    assert backfill.take() is None
    assert backfill.unfinished() == [gap()]


def test_what_was_read_before_a_bug_comes_first(backfill: Backfill) -> None:
    backfill.lose(gap("a"), gap("b"))
    backfill.mark_reached(gap("a"))
    backfill.gives(message(1), filled("a"), ZeroDivisionError("made up"))
    assert backfill.taken() == [message(1)]
    assert backfill.taken() == filled("a")
    with pytest.raises(BackfillBug):
        backfill.taken()


def test_gaps_after_a_bug_do_not_stop_the_socket_s_thread(backfill: Backfill) -> None:
    backfill.lose(gap())
    backfill.gives(ZeroDivisionError("made up"))
    backfill.mark_reached(gap())
    with pytest.raises(BackfillBug):
        backfill.taken()
    backfill.lose(gap("a", 9))
    assert backfill.mark_reached(gap("a", 9)) is Reached.OPEN
    assert backfill.unfinished() == [gap(), gap("a", 9)]


# --- threads


class Hesitant(threading.Event):
    """Leaves whoever asks alone with the answer for a while, in which others go on."""

    def is_set(self) -> bool:
        answer = super().is_set()
        time.sleep(0.0005)
        return answer


@pytest.mark.parametrize("gathered", [0.0, 0.002])
def test_no_gap_is_lost_that_comes_while_the_reading_of_others_begins(
    make: Make, monkeypatch: pytest.MonkeyPatch, gathered: float
) -> None:
    monkeypatch.setattr(module, "_COLLECT_WINDOW", gathered)
    monkeypatch.setattr(module, "_Batch", lambda: Episode(collected=Hesitant()))
    seen: list[Gap] = []

    def fetch(gaps: Sequence[Gap], *_: Mapping[str, int]) -> Iterator[ChannelEvent | Gap]:
        at_first = list(gaps)
        for each in at_first:
            seen.append(each)
            yield message(each.since, each.channel)
        yield from at_first

    backfill = make(fetch=fetch)
    spool: SimpleQueue[Gap] = SimpleQueue()
    count = 600

    def watch() -> None:
        for since in range(count):
            each = gap(f"c{since % 7}", since)
            backfill.watch([Subscribed(since, each.channel), each])
            if since % 5 == 0:
                backfill.watch([READY])
            spool.put(each)

    socket = threading.Thread(target=watch)
    socket.start()
    messages, ends = set[int](), set[int]()
    reached = 0
    deadline = time.monotonic() + 2 * WAIT
    while len(ends) < count or reached < count:
        assert time.monotonic() < deadline, (len(ends), reached, len(seen))
        try:
            assert backfill.mark_reached(spool.get_nowait()) is not Reached.NOT_READ
            reached += 1
        except Empty:
            backfill.woken(0.01)
            backfill.alarm.clear()
        while (news := backfill.take()) is not None:
            if isinstance(news, Gap):
                assert news.since not in ends
                ends.add(news.since)
            else:
                messages |= {each.received for each in news}
    socket.join(WAIT)
    assert messages == ends == set(range(count))
    assert len(seen) == count
    assert backfill.unfinished() == []
    assert backfill.deadline == 0.0
    assert not backfill.in_progress
    assert backfill.keep_since() == inf


def test_a_ready_that_comes_with_its_gap_is_not_missed(make: Make) -> None:
    """Otherwise each loss would cost the whole time of gathering."""

    def fetch(gaps: Sequence[Gap], *_: Mapping[str, int]) -> Iterator[ChannelEvent | Gap]:
        yield from gaps

    backfill = make(fetch=fetch)
    began = time.monotonic()
    for since in range(200):
        backfill.lose(gap("a", since))
        assert backfill.mark_reached(gap("a", since)) is Reached.OPEN
        assert backfill.taken() == gap("a", since)
    assert time.monotonic() - began < module._COLLECT_WINDOW * TIMEOUT_SCALE
