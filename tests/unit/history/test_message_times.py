"""What the messages' own times tell: the newest one seen, and when a channel began by them."""

import time

import pytest

from chatapp_tail.chatapp.records import Record, Source
from chatapp_tail.history import message_times as module
from chatapp_tail.history.message_times import MessageTimes
from tests.factories import record

SECOND = 10**9
T = 1_700_000_000


def message(
    sent: object, received: float = 0.0, source: Source = Source.LIVE, channel: str | None = "a"
) -> Record:
    """A message with such a time, which came so many seconds after T by our clock."""
    data = b'{"id":1,"time":%b}' % str(sent).encode()
    at = T * SECOND + round(received * SECOND)
    return record(received=at, source=source, channel=channel, data=data)


def live(times: MessageTimes, *sent: tuple[object, float]) -> MessageTimes:
    for moment, received in sent:
        times.note(message(moment, received))
    return times


# --- the newest


def test_the_newest_is_kept_by_channel() -> None:
    times = live(MessageTimes({"b": 5}), (T, 0), (T + 9, 10), (T + 4, 20))
    times.note(message(T + 3, 3, channel="c"))
    assert times.newest == {"a": T + 9, "b": 5, "c": T + 3}


def test_messages_from_history_count_too() -> None:
    times = MessageTimes()
    for sent in range(5):
        assert times.wants(message(T + sent, 100, Source.BACKFILL))
    assert times.newest == {"a": T + 4}, "each of them, though they come at once"


ODD = ["null", '"soon"', "true", "-1", "1e400", "1e300", "{}", str(2**33), "9" * 30]


@pytest.mark.parametrize("sent", ODD)
def test_what_is_no_time_tells_nothing(sent: str) -> None:
    times = live(MessageTimes(), (sent, 0))
    assert times.newest == {}
    assert times.wants(message(sent, 0, Source.BACKFILL))


@pytest.mark.parametrize("data", [b"5", b"[", b"{}", b"[]", b'{"time":1e5,"a":"\\ud800"}'])
def test_what_is_no_message_tells_nothing(data: bytes) -> None:
    times = MessageTimes()
    times.note(record(received=0, data=data))
    assert times.newest == {}


def test_a_time_in_the_future_is_not_believed() -> None:
    """Otherwise one odd message would be the newest for good."""
    times = live(MessageTimes(), (T + 600, 0), (T + 2601, 2000))
    assert times.newest == {"a": T + 600}


def test_a_stream_is_looked_at_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bytes] = []
    time_of = module._time_of

    def counted(item: bytes) -> int | None:
        looked.append(item)
        return time_of(item)

    monkeypatch.setattr(module, "_time_of", counted)
    times = MessageTimes()
    for number in range(1000):
        times.note(message(T, number / 100))
    assert len(looked) == 10


def test_an_edit_of_an_old_message_does_not_hide_the_next_one() -> None:
    times = live(MessageTimes(), (T, 0), (T - 10**6, 5), (T + 5, 5.1))
    assert times.newest == {"a": T + 5}


def test_a_clock_that_was_set_back_does_not_stop_the_looking() -> None:
    times = live(MessageTimes(), (T, 3600), (T + 1, 0), (T + 2, 1))
    assert times.newest == {"a": T + 2}


# --- the begin


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)


def begun(times: MessageTimes, *, at: float = 0.0) -> MessageTimes:
    times.begin("a", T * SECOND + round(at * SECOND))
    return times


@pytest.mark.defect("U12")
@pytest.mark.usefixtures("stopped_clock")
@pytest.mark.parametrize("ahead", [0, 8, 3600], ids="our clock is {} s ahead".format)
def test_a_live_message_tells_when_a_channel_began(ahead: int) -> None:
    times = live(begun(MessageTimes(), at=0.3), (T + 1 - ahead, 1.2))
    assert times.begins == {"a": T - ahead}
    for sent, wanted in ((-7, False), (-1, False), (0, True), (1, True)):
        assert times.wants(message(T + sent - ahead, 9, Source.BACKFILL)) is wanted


def test_without_a_live_message_nothing_is_known_and_all_is_wanted() -> None:
    times = begun(MessageTimes())
    assert times.wants(message(1, 9, Source.BACKFILL))
    assert times.begins == {}


@pytest.mark.usefixtures("stopped_clock")
@pytest.mark.parametrize(
    ("sent", "received"),
    [(T - 10**6, 5.0), (T + 100, 100.0), (T + 8, 5.0), ("null", 5.0)],
    ids=["an edit of an old one", "late", "by a clock ahead of ours", "without a time"],
)
def test_what_tells_nothing_of_the_begin_drops_nothing(sent: object, received: float) -> None:
    times = live(begun(MessageTimes()), (sent, received))
    assert times.wants(message(T - 30, 99, Source.BACKFILL))


@pytest.mark.usefixtures("stopped_clock")
def test_the_best_of_several_counts() -> None:
    times = live(begun(MessageTimes()), (T - 99, 1), (T + 3, 3.5), (T + 4, 9))
    assert times.begins == {"a": T - 1}


def test_a_clock_that_is_set_back_meanwhile_drops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    times = begun(MessageTimes())
    since = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: since + 40.0)
    live(times, (T + 40, 40 - 35))
    assert times.begins.get("a", 0) <= T


@pytest.mark.usefixtures("stopped_clock")
def test_what_is_wanted_from_before_its_begin_is_not_dropped() -> None:
    times = live(begun(MessageTimes()), (T + 1, 1.5))
    assert times.begins == {"a": T - 1}
    for since in (-31, -9):
        times.begin_earlier("a", (T + since) * SECOND)
    times.begin_earlier("b", T * SECOND)
    assert times.begins == {"a": T - 32}
    live(times, (T + 3, 3))
    assert times.begins == {"a": T - 31}


def test_a_begin_of_an_earlier_run_counts() -> None:
    times = live(MessageTimes({}, {"a": T}), (T + 50, 50))
    assert times.begins == {"a": T}
    assert not times.wants(message(T - 1, 99, Source.BACKFILL))
    assert times.wants(message(T - 1, 99, Source.BACKFILL, "b"))
