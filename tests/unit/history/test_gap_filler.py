"""Gaps on their way: seen by the socket's thread, read by another, handed out to the main one."""

import select
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from queue import Empty, SimpleQueue

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

WAIT = 10.0 * TIMEOUT_SCALE
READY = Ready(1, ["a"], [])
ENDS_OF_AN_EPISODE: list[Item] = [
    READY,
    Lost(1, "gone", None, None),
    Stopped(1, StopCause.ASKED, ""),
]

News = list[ChannelEvent] | Gap


def gap(channel: str = "a", since: int = 1) -> Gap:
    return Gap(channel, since, since + 5, "lost")


def filled(channel: str = "a", since: int = 1) -> Gap:
    return Gap(channel, since, since + 5, "lost", missing=None)


def message(number: int, channel: str = "a") -> ChannelEvent:
    return ChannelEvent(number, "message", channel, b"{}")


class Reading:
    """A fetch that yields what the test gives it, when the test gives it."""

    def __init__(self) -> None:
        self._begun: SimpleQueue[tuple[list[Gap], dict[str, int], dict[str, int]]] = SimpleQueue()
        self._steps: SimpleQueue[ChannelEvent | Gap | Exception | None] = SimpleQueue()

    def __call__(
        self, gaps: Sequence[Gap], first_seen: Mapping[str, int], newest: Mapping[str, int]
    ) -> Iterator[ChannelEvent | Gap]:
        self._begun.put((list(gaps), dict(first_seen), dict(newest)))
        while (step := self._steps.get()) is not None:
            if isinstance(step, Exception):
                raise step
            yield step

    def begun(self) -> tuple[list[Gap], dict[str, int], dict[str, int]]:
        """Wait until it is called; with what."""
        return self._begun.get(timeout=WAIT)

    def gives(self, *steps: ChannelEvent | Gap | Exception) -> None:
        for step in steps:
            self._steps.put(step)

    def ends(self) -> None:
        self._steps.put(None)

    @property
    def is_idle(self) -> bool:
        return self._begun.empty()


@pytest.fixture
def reading() -> Iterator[Reading]:
    made = Reading()
    yield made
    made.ends()


@pytest.fixture
def alarm() -> Iterator[Waker]:
    made = Waker()
    yield made
    made.close()


def made(
    fetch: Fetch,
    alarm: Waker,
    *,
    first_seen: Mapping[str, int] | None = None,
    times: MessageTimes | None = None,
    timeout: float = 100.0,
) -> GapFiller:
    return GapFiller(
        fetch,
        lambda name: name != "none",
        alarm,
        first_seen=first_seen or {},
        times=times,
        timeout=timeout,
    )


def taken(backfill: GapFiller, alarm: Waker) -> News:
    """Wait for the next news, as the main thread does: by the alarm."""
    deadline = time.monotonic() + WAIT
    while (news := backfill.take()) is None:
        assert select.select([alarm], [], [], max(0.0, deadline - time.monotonic()))[0]
        alarm.clear()
    return news


# --- one gap


def test_a_gap_is_read_at_once_and_handed_out_when_it_is_reached(
    reading: Reading, alarm: Waker
) -> None:
    backfill = made(reading, alarm)
    backfill.watch([Subscribed(1, "a"), gap(), READY])
    assert reading.begun()[0] == [gap()]
    reading.gives(message(1), message(2), filled())
    assert select.select([alarm], [], [], WAIT)[0]
    assert backfill.take() is None, "what came before the gap is not written yet"
    assert backfill.mark_reached(gap()) is Reached.OPEN
    assert taken(backfill, alarm) == [message(1), message(2)]
    assert taken(backfill, alarm) == filled()
    assert backfill.take() is None


def test_a_gap_without_messages(reading: Reading, alarm: Waker) -> None:
    backfill = made(reading, alarm)
    backfill.watch([gap(), READY])
    assert backfill.mark_reached(gap()) is Reached.OPEN
    reading.gives(filled())
    assert taken(backfill, alarm) == filled()


def test_what_is_missing_is_handed_on(reading: Reading, alarm: Waker) -> None:
    backfill = made(reading, alarm)
    backfill.watch([gap(), READY])
    backfill.mark_reached(gap())
    end = Gap("a", 1, 6, "lost", missing="HTTP 403")
    reading.gives(end)
    assert taken(backfill, alarm) == end
    assert backfill.unfinished() == []


@pytest.mark.parametrize("odd", [Gap("a", 1, 6, "lost", final=True), gap("none")])
def test_gaps_that_are_nobody_s(reading: Reading, alarm: Waker, odd: Gap) -> None:
    """Final gaps, and gaps of channels without history, are not read."""
    backfill = made(reading, alarm)
    backfill.watch([odd, READY])
    assert backfill.mark_reached(odd) is Reached.NOT_READ
    assert backfill.unfinished() == []
    assert backfill.due == 0.0
    backfill.watch([gap("b"), READY])
    assert reading.begun()[0] == [gap("b")]


def test_a_gap_that_was_never_seen_is_not_ours(reading: Reading, alarm: Waker) -> None:
    backfill = made(reading, alarm)
    backfill.watch([gap(), READY])
    assert backfill.mark_reached(gap(since=2)) is Reached.NOT_READ
    assert backfill.mark_reached(gap("b")) is Reached.NOT_READ


def test_nothing_is_read_and_no_thread_begun_without_a_gap(reading: Reading, alarm: Waker) -> None:
    before = threading.active_count()
    backfill = made(reading, alarm)
    backfill.watch(
        [message(1), Connected(1, "1.2"), Subscribed(1, "a"), Watermarks({"a": 1}), READY]
    )
    assert threading.active_count() == before
    assert backfill.take() is None
    assert reading.is_idle


def test_whoever_reads_keeps_nothing_from_ending(reading: Reading, alarm: Waker) -> None:
    made(reading, alarm).watch([gap(), READY])
    reading.begun()
    (worker,) = [each for each in threading.enumerate() if each.name == "chatapp-tail-backfill"][
        -1:
    ]
    assert worker.daemon


# --- several gaps


@pytest.mark.parametrize("end", ENDS_OF_AN_EPISODE, ids=lambda item: type(item).__name__)
def test_gaps_that_end_together_are_read_together(
    reading: Reading, alarm: Waker, end: Item
) -> None:
    backfill = made(reading, alarm)
    backfill.watch([gap("a")])
    backfill.watch([Subscribed(1, "b"), gap("b"), Subscribed(1, "c"), gap("c")])
    assert reading.is_idle
    backfill.watch([end])
    assert reading.begun()[0] == [gap("a"), gap("b"), gap("c")]


def test_a_channel_that_never_comes_back_keeps_no_other_waiting(
    reading: Reading, alarm: Waker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COLLECT_WINDOW", 0.05)
    backfill = made(reading, alarm)
    backfill.watch([gap("a")])
    assert reading.begun()[0] == [gap("a")]
    backfill.watch([gap("b")])
    reading.gives(filled("a"))
    reading.ends()
    assert reading.begun()[0] == [gap("b")]


def test_gaps_of_a_later_loss_are_read_after_those_of_an_earlier_one(
    reading: Reading, alarm: Waker
) -> None:
    backfill = made(reading, alarm)
    backfill.watch([gap("a"), READY])
    reading.begun()
    backfill.watch([gap("a", 20), gap("b", 20), READY])
    assert backfill.mark_reached(gap("a")) is Reached.OPEN
    reading.gives(message(1), filled("a"))
    reading.ends()
    assert reading.begun()[0] == [gap("a", 20), gap("b", 20)]
    reading.gives(message(2), filled("a", 20), filled("b", 20))
    assert [taken(backfill, alarm), taken(backfill, alarm)] == [[message(1)], filled("a")]
    assert backfill.take() is None
    backfill.mark_reached(gap("a", 20))
    assert [taken(backfill, alarm) for _ in range(3)] == [
        [message(2)],
        filled("a", 20),
        filled("b", 20),
    ]
    assert backfill.mark_reached(gap("b", 20)) is Reached.FILLED
    assert backfill.due == 0.0


def test_a_gap_is_filled_before_it_is_reached(reading: Reading, alarm: Waker) -> None:
    """It was read together with one that was reached earlier; it is ours, and over."""
    backfill = made(reading, alarm)
    backfill.watch([gap("a"), gap("b"), READY])
    backfill.mark_reached(gap("a"))
    reading.gives(message(1, "b"), filled("a"), filled("b"))
    assert taken(backfill, alarm) == [message(1, "b")]
    assert taken(backfill, alarm) == filled("a")
    assert taken(backfill, alarm) == filled("b")
    assert backfill.due == 0.0, "live events need not wait any more"
    assert backfill.unfinished() == []
    assert backfill.mark_reached(gap("b")) is Reached.FILLED
    assert backfill.unfinished() == []
    assert backfill.due == 0.0
    assert backfill.mark_reached(gap("b")) is Reached.NOT_READ, "it is forgotten"


def test_which_gaps_are_unfinished(reading: Reading, alarm: Waker) -> None:
    backfill = made(reading, alarm)
    backfill.watch([gap("a"), gap("b"), gap("c"), READY])
    assert backfill.unfinished() == []
    backfill.mark_reached(gap("a"))
    assert backfill.unfinished() == [gap("a")]
    backfill.mark_reached(gap("b"))
    reading.gives(filled("a"))
    assert taken(backfill, alarm) == filled("a")
    assert backfill.unfinished() == [gap("b")]


def test_what_was_read_and_not_taken_is_unfinished(reading: Reading, alarm: Waker) -> None:
    backfill = made(reading, alarm)
    backfill.watch([gap("a"), READY])
    backfill.mark_reached(gap("a"))
    reading.gives(message(1), filled("a"))
    assert taken(backfill, alarm) == [message(1)]
    assert backfill.unfinished() == [gap("a")]


def test_the_gaps_of_all_lines_can_be_unfinished_while_others_come(
    reading: Reading, alarm: Waker
) -> None:
    """The socket's thread adds gaps while the main one looks at them."""
    backfill = made(reading, alarm)
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
            assert backfill.due == 0.0
    finally:
        stop.set()
        thread.join(WAIT)


# --- since when a channel is tailed


def test_when_a_channel_was_tailed_first(reading: Reading, alarm: Waker) -> None:
    backfill = made(reading, alarm, first_seen={"old": 5})
    backfill.watch([Subscribed(10, "a"), Subscribed(11, "old"), READY])
    backfill.watch([Subscribed(20, "a"), gap("a", 15), Subscribed(21, "b"), READY])
    assert reading.begun()[1] == {"old": 5, "a": 10, "b": 21}


@pytest.mark.defect("A2.2b")
def test_a_gap_is_read_though_its_channel_seems_to_have_begun_later(
    reading: Reading, alarm: Waker
) -> None:
    """The clock was set back since, or a line was found late."""
    backfill = made(reading, alarm, first_seen={"old": 1000})
    backfill.watch([gap("old", 700), Subscribed(500, "a"), gap("a", 400), READY])
    assert reading.begun()[1] == {"old": 700, "a": 400}


def test_the_newest_message_is_that_from_before_a_gap(reading: Reading, alarm: Waker) -> None:
    times = MessageTimes({"a": 5})
    backfill = made(reading, alarm, times=times)
    backfill.watch([gap("a"), READY])
    assert reading.begun()[2] == {"a": 5}
    times.newest["b"] = 7
    backfill.watch([gap("b"), gap("c"), READY])
    times.newest |= {"b": 8, "c": 9}
    reading.gives(filled("a"))
    reading.ends()
    assert reading.begun()[2] == {"b": 7}


@pytest.mark.defect("A2.23b")
def test_a_gap_that_was_given_up_is_read_with_the_next_one(reading: Reading, alarm: Waker) -> None:
    second = 10**9
    backfill = made(reading, alarm, times=MessageTimes({"a": 500}))
    backfill.watch([gap("a", 90 * second), READY])
    assert reading.begun()[2] == {"a": 500}
    reading.gives(replace(gap("a", 90 * second), missing="HTTP 503", given_up=True))
    reading.ends()
    backfill.watch([gap("a", 700 * second), READY])
    assert reading.begun()[2] == {"a": 90}
    reading.gives(replace(gap("a", 700 * second), missing=None))
    reading.ends()
    backfill.watch([gap("a", 900 * second), READY])
    assert reading.begun()[2] == {"a": 500}


def test_a_begin_that_a_gap_moves_moves_that_by_the_service_s_clock_too(
    reading: Reading, alarm: Waker
) -> None:
    times = MessageTimes()
    backfill = made(reading, alarm, first_seen={"old": 5}, times=times)
    backfill.watch([Subscribed(30 * 10**9, "a"), Subscribed(30 * 10**9, "old")])
    times.begins |= {"a": 1000, "old": 1000}
    backfill.watch([gap("a", 10 * 10**9), gap("old", 1), READY])
    assert times.begins == {"a": 980, "old": 1000}


def test_what_the_caller_knows_stays_as_it_is(reading: Reading, alarm: Waker) -> None:
    first_seen = {"old": 5}
    made(reading, alarm, first_seen=first_seen).watch([Subscribed(10, "a")])
    assert first_seen == {"old": 5}


# --- patience


@pytest.mark.defect("A2.6")
def test_for_a_check_of_a_subscription_nothing_waits_and_it_is_no_idleness(
    reading: Reading, alarm: Waker
) -> None:
    check = Gap("a", 1, 6, RENEWED)
    backfill = made(reading, alarm, timeout=7.0)
    backfill.watch([check, READY])
    assert backfill.mark_reached(check)
    assert (backfill.due, backfill.busy) == (0.0, False)
    backfill.watch([gap("b")])
    assert backfill.mark_reached(gap("b"))
    assert backfill.due > time.monotonic()
    assert backfill.busy


def test_live_events_wait_from_the_end_of_a_gap_on_and_only_when_it_is_reached(
    reading: Reading, alarm: Waker
) -> None:
    backfill = made(reading, alarm, timeout=7.0)
    before = time.monotonic()
    backfill.watch([gap("a"), READY])
    after = time.monotonic()
    assert backfill.due == 0.0
    backfill.mark_reached(gap("a"))
    assert before + 7.0 <= backfill.due <= after + 7.0
    reading.gives(message(1), filled("a"))
    taken(backfill, alarm)
    assert backfill.due > 0.0
    taken(backfill, alarm)
    assert backfill.due == 0.0


def test_live_events_wait_for_all_gaps_that_are_read_together(
    reading: Reading, alarm: Waker
) -> None:
    backfill = made(reading, alarm, timeout=7.0)
    backfill.watch([gap("a"), gap("b"), READY])
    backfill.mark_reached(gap("a"))
    due = backfill.due
    backfill.mark_reached(gap("b"))
    assert backfill.due == due
    reading.gives(filled("a"))
    taken(backfill, alarm)
    assert backfill.due == due
    reading.gives(filled("b"))
    taken(backfill, alarm)
    assert backfill.due == 0.0


def test_after_the_patience_live_events_go_first_and_history_still_comes(
    reading: Reading, alarm: Waker
) -> None:
    backfill = made(reading, alarm, timeout=0.0)
    backfill.watch([gap("a"), READY])
    backfill.mark_reached(gap("a"))
    assert 0.0 < backfill.due <= time.monotonic()
    reading.gives(message(1), filled("a"))
    assert taken(backfill, alarm) == [message(1)]
    assert taken(backfill, alarm) == filled("a")


def test_a_later_gap_has_its_own_patience(reading: Reading, alarm: Waker) -> None:
    backfill = made(reading, alarm, timeout=7.0)
    backfill.watch([gap("a"), READY])
    backfill.mark_reached(gap("a"))
    first = backfill.due
    backfill.watch([gap("a", 20), READY])
    assert backfill.due == first
    backfill.mark_reached(gap("a", 20))
    assert backfill.due >= first
    reading.gives(filled("a"))
    reading.ends()
    assert taken(backfill, alarm) == filled("a")
    assert backfill.due > 0.0


def queued(backfill: GapFiller, count: int) -> None:
    """Wait until the thread that reads has put so much into the queue."""
    wait_until(lambda: backfill._results.qsize() >= count, "history is read")


@pytest.mark.defect("A.13")
def test_what_was_read_before_a_gap_is_reached_goes_first_however_late_that_is(
    reading: Reading, alarm: Waker
) -> None:
    backfill = made(reading, alarm, timeout=0.0)
    backfill.watch([gap("a"), READY])
    reading.gives(message(1), filled("a"))
    reading.ends()
    queued(backfill, 2)
    backfill.mark_reached(gap("a"))
    assert backfill.due <= time.monotonic()
    assert backfill.holds
    assert taken(backfill, alarm) == [message(1)]
    assert backfill.holds
    assert taken(backfill, alarm) == filled("a")
    assert not backfill.holds


@pytest.mark.defect("A.13")
def test_of_what_is_still_being_read_only_what_is_there_goes_first(
    reading: Reading, alarm: Waker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RESULT_INTERVAL", 0.0)
    backfill = made(reading, alarm, timeout=0.0)
    backfill.watch([gap("a"), READY])
    reading.gives(message(1), message(2))
    queued(backfill, 2)
    backfill.mark_reached(gap("a"))
    reading.gives(message(3))
    queued(backfill, 3)
    for number in (1, 2):
        assert backfill.holds
        assert taken(backfill, alarm) == [message(number)]
    assert not backfill.holds
    assert taken(backfill, alarm) == [message(3)]


@pytest.mark.defect("A.13")
def test_live_events_wait_a_second_from_when_a_gap_is_reached(
    reading: Reading, alarm: Waker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    backfill = made(reading, alarm, timeout=7.0)
    backfill.watch([gap("a"), gap("b"), READY])
    monkeypatch.setattr(time, "monotonic", lambda: now + 100.0)
    backfill.mark_reached(gap("a"))
    assert backfill.due == now + 101.0
    monkeypatch.setattr(time, "monotonic", lambda: now + 100.5)
    backfill.mark_reached(gap("b"))
    assert backfill.due == now + 101.0, "a second for all that are read together"


@pytest.mark.parametrize("timeout", [0.0, 0.25])
def test_live_events_wait_no_longer_than_they_may(
    reading: Reading, alarm: Waker, timeout: float
) -> None:
    backfill = made(reading, alarm, timeout=timeout)
    backfill.watch([gap("a"), READY])
    backfill.mark_reached(gap("a"))
    assert backfill.due <= time.monotonic() + timeout


# --- which gap is which


@pytest.mark.defect("A2.7")
def test_gaps_of_one_channel_that_begin_at_the_same_moment_are_told_apart(
    reading: Reading, alarm: Waker
) -> None:
    backfill = made(reading, alarm)
    first, second, third = (Gap("a", 1, until, "refused") for until in (2, 3, 3))
    backfill.watch([first, READY])
    assert reading.begun()[0] == [first]
    backfill.watch([second, third, READY])
    reading.gives(message(1), first)
    reading.ends()
    assert reading.begun()[0] == [second, third]
    reading.gives(message(2), second, third)
    reading.ends()
    assert backfill.mark_reached(first) is Reached.OPEN
    assert [taken(backfill, alarm) for _ in range(2)] == [[message(1)], first]
    assert backfill.unfinished() == []
    assert backfill.mark_reached(second) is Reached.OPEN
    assert [taken(backfill, alarm) for _ in range(3)] == [[message(2)], second, third]
    assert backfill.mark_reached(third) is Reached.FILLED
    assert not backfill.busy
    backfill.watch([gap("a", 9), READY])
    assert reading.begun()[0] == [gap("a", 9)], "later ones are read and handed out"
    reading.gives(filled("a", 9))
    assert backfill.mark_reached(gap("a", 9)) is Reached.OPEN
    assert taken(backfill, alarm) == filled("a", 9)


def test_a_reader_that_forgets_a_gap_is_a_bug(reading: Reading, alarm: Waker) -> None:
    """Otherwise the gap would wait for its end for good."""
    backfill = made(reading, alarm)
    backfill.watch([gap("a"), gap("b"), READY])
    reading.gives(message(1), filled("a"))
    reading.ends()
    backfill.mark_reached(gap("a"))
    assert [taken(backfill, alarm) for _ in range(2)] == [[message(1)], filled("a")]
    with pytest.raises(BackfillBug, match="1 gaps and 0 messages"):
        taken(backfill, alarm)


# --- since when what was shown live may come again


def test_what_a_gap_may_read_again_is_known_from_when_it_is_seen_until_it_is_filled(
    reading: Reading, alarm: Waker
) -> None:
    backfill = made(reading, alarm)
    assert backfill.keep_since() == inf
    overlap = module._OVERLAP
    backfill.watch([gap("a", 3 * overlap), Gap("b", 4 * overlap, 5 * overlap, "lost"), READY])
    assert backfill.keep_since() == 2 * overlap
    reading.begun()
    backfill.watch([Gap("c", 5 * overlap, 6 * overlap, "lost", read_from=2 * overlap), READY])
    assert backfill.keep_since() == overlap
    backfill.mark_reached(gap("a", 3 * overlap))
    reading.gives(filled("a", 3 * overlap), Gap("b", 4 * overlap, 5 * overlap, "lost"))
    reading.ends()
    taken(backfill, alarm)
    taken(backfill, alarm)
    assert backfill.keep_since() == overlap
    reading.begun()
    backfill.mark_reached(Gap("b", 4 * overlap, 5 * overlap, "lost"))
    backfill.mark_reached(Gap("c", 5 * overlap, 6 * overlap, "lost", read_from=2 * overlap))
    reading.gives(Gap("c", 5 * overlap, 6 * overlap, "lost"))
    taken(backfill, alarm)
    assert backfill.keep_since() == inf


# --- handing out


def test_many_messages_come_at_once_in_their_order(reading: Reading, alarm: Waker) -> None:
    backfill = made(reading, alarm)
    backfill.watch([gap(), READY])
    backfill.mark_reached(gap())
    sent = [message(number) for number in range(1000)]
    reading.gives(*sent, filled())
    got: list[ChannelEvent] = []
    batches = 0
    while isinstance(news := taken(backfill, alarm), list):
        got += news
        batches += 1
    assert got == sent
    assert news == filled()
    assert batches <= 100


def test_messages_do_not_wait_for_others_for_long(
    reading: Reading, alarm: Waker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RESULT_INTERVAL", 0.0)
    backfill = made(reading, alarm)
    backfill.watch([gap(), READY])
    backfill.mark_reached(gap())
    for number in range(3):
        reading.gives(message(number))
        assert taken(backfill, alarm) == [message(number)]


def test_history_is_not_read_far_ahead_of_what_is_written(alarm: Waker) -> None:
    yielded = threading.Semaphore(0)
    count = 0

    def fetch(gaps: Sequence[Gap], *_: Mapping[str, int]) -> Iterator[ChannelEvent | Gap]:
        nonlocal count
        for number in range(100_000):
            count += 1
            yielded.release()
            yield message(number)
        yield from gaps

    backfill = made(fetch, alarm)
    backfill.watch([gap(), READY])
    while yielded.acquire(timeout=0.3):
        continue
    assert count < 20_000, "the rest waits where it is"
    backfill.mark_reached(gap())
    got = 0
    while isinstance(news := taken(backfill, alarm), list):
        got += len(news)
    assert got == 100_000
    assert news == gap()


# --- bugs


def test_a_bug_of_whoever_reads_is_raised_with_its_traceback(
    reading: Reading, alarm: Waker
) -> None:
    backfill = made(reading, alarm)
    backfill.watch([gap(), READY])
    reading.begun()
    reading.gives(ZeroDivisionError("made up"))
    assert select.select([alarm], [], [], WAIT)[0]
    assert backfill.take() is None
    backfill.mark_reached(gap())
    with pytest.raises(BackfillBug, match=r"(?s)Traceback.*ZeroDivisionError: made up"):
        taken(backfill, alarm)
    assert backfill.take() is None
    assert backfill.unfinished() == [gap()]


def test_what_was_read_before_a_bug_comes_first(reading: Reading, alarm: Waker) -> None:
    backfill = made(reading, alarm)
    backfill.watch([gap("a"), gap("b"), READY])
    backfill.mark_reached(gap("a"))
    reading.gives(message(1), filled("a"), ZeroDivisionError("made up"))
    assert taken(backfill, alarm) == [message(1)]
    assert taken(backfill, alarm) == filled("a")
    with pytest.raises(BackfillBug):
        taken(backfill, alarm)


def test_gaps_after_a_bug_do_not_stop_the_socket_s_thread(reading: Reading, alarm: Waker) -> None:
    backfill = made(reading, alarm)
    backfill.watch([gap(), READY])
    reading.gives(ZeroDivisionError("made up"))
    backfill.mark_reached(gap())
    with pytest.raises(BackfillBug):
        taken(backfill, alarm)
    backfill.watch([gap("a", 9), READY])
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
    alarm: Waker, monkeypatch: pytest.MonkeyPatch, gathered: float
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

    backfill = made(fetch, alarm)
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
            select.select([alarm], [], [], 0.01)
            alarm.clear()
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
    assert backfill.due == 0.0
    assert not backfill.busy
    assert backfill.keep_since() == inf


def test_a_ready_that_comes_with_its_gap_is_not_missed(alarm: Waker) -> None:
    """Otherwise each loss would cost the whole time of gathering."""

    def fetch(gaps: Sequence[Gap], *_: Mapping[str, int]) -> Iterator[ChannelEvent | Gap]:
        yield from gaps

    backfill = made(fetch, alarm)
    began = time.monotonic()
    for since in range(200):
        backfill.watch([gap("a", since), READY])
        assert backfill.mark_reached(gap("a", since)) is Reached.OPEN
        assert taken(backfill, alarm) == gap("a", since)
    assert time.monotonic() - began < module._COLLECT_WINDOW * TIMEOUT_SCALE
