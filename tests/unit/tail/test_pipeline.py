"""What happens to an event between its frame and its lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from chatapp_tail.chatapp.records import DecodedEvent, Record, Source, decode
from chatapp_tail.filters import KeepEvent, KeepRecord
from chatapp_tail.formats.raw import format_raw
from chatapp_tail.history.dedup import Deduplicator
from chatapp_tail.history.message_times import MessageTimes
from chatapp_tail.items import ChannelEvent
from chatapp_tail.reporting.summary import Summary
from chatapp_tail.tail import pipeline as module
from chatapp_tail.tail.pipeline import Pipeline
from tests.factories import CHANNEL, event
from tests.unit.conftest import counted


def is_even(record: Record) -> bool:
    return int(record.data) % 2 == 0


@dataclass
class Line:
    """A pipeline whose format notes what it is given and writes a line a record."""

    keep_event: KeepEvent = lambda _: True
    keep_record: KeepRecord | None = None
    summary: Summary = field(default_factory=Summary)
    deduplicator: Deduplicator | None = None
    times: MessageTimes | None = None
    given: list[tuple[DecodedEvent, Sequence[Record]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pipeline = Pipeline(
            self.keep_event,
            self.keep_record,
            self._format,
            self.summary,
            self.deduplicator,
            times=self.times,
            track_written=True,
        )

    def _format(self, decoded: DecodedEvent, kept: Sequence[Record]) -> list[bytes]:
        self.given.append((decoded, kept))
        return [record.data + b"\n" for record in kept]


def through(line: Line, channel_event: ChannelEvent, *, saved: bool) -> list[bytes]:
    if saved:
        return line.pipeline.process_saved(decode(channel_event, Source.REPLAY))
    return line.pipeline.process_live(channel_event)


@pytest.mark.defect("U9")
def test_what_is_left_out_of_the_last_event_is_not_counted() -> None:
    line = Line()
    line.pipeline.process_live(event(1, 2))
    assert len(line.pipeline.process_live(event(3, 4, 5, name="other"))) == 3
    line.pipeline.leave_out(2)
    assert counted(line.summary) == {("message", CHANNEL): 2, ("other", CHANNEL): 1}


either = pytest.mark.parametrize("saved", [False, True], ids=["live", "saved"])


@either
@pytest.mark.parametrize(
    ("keep", "numbers", "filtered"), [(None, [1, 2, 3, 4, 5], 0), (is_even, [2, 4], 3)]
)
def test_what_is_kept_is_written_and_the_rest_is_counted_apart(
    keep: KeepRecord | None, numbers: list[int], filtered: int, saved: bool
) -> None:
    line = Line(keep_record=keep)
    written = through(line, event(1, 2, 3, 4, 5), saved=saved)
    assert written == [b"%d\n" % number for number in numbers]
    assert counted(line.summary) == {("message", CHANNEL): len(numbers)}
    assert line.summary.filtered == filtered


@either
def test_an_event_whose_name_is_not_wanted(saved: bool) -> None:
    line = Line(keep_event="message".__eq__)
    assert through(line, event(1, name="chatTag"), saved=saved) == []
    assert line.given == []
    assert counted(line.summary) == {}
    assert line.summary.filtered == 1
    assert through(line, event(1), saved=saved) == [b"1\n"]
    assert line.summary.filtered == 1


def test_a_live_event_whose_name_is_not_wanted_is_not_even_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[str] = []

    def noted(channel_event: ChannelEvent) -> DecodedEvent:
        decoded.append(channel_event.event)
        return decode(channel_event)

    monkeypatch.setattr(module, "decode", noted)
    line = Line(keep_event="message".__eq__)
    line.pipeline.process_live(event(1, name="chatTag"))
    line.pipeline.process_live(event(1))
    assert decoded == ["message"]


@either
def test_a_format_gets_the_whole_frame_and_what_is_kept(saved: bool) -> None:
    line = Line(keep_record=is_even)
    through(line, event(1, 2), saved=saved)
    ((decoded, kept),) = line.given
    assert [record.data for record in decoded.records] == [b"1", b"2"]
    assert kept == [decoded.records[1]]
    assert decoded.records[0].source is (Source.REPLAY if saved else Source.LIVE)


@either
def test_a_format_is_not_asked_when_nothing_is_kept(saved: bool) -> None:
    line = Line(keep_record=is_even)
    assert through(line, event(1, 3), saved=saved) == []
    assert line.given == []
    assert counted(line.summary) == {}
    assert line.summary.filtered == 2


def test_counts_are_by_event_and_channel_and_add_up() -> None:
    line = Line()
    for channel_event in (event(1), event(2, 3), event(4, name="chatTag"), event(5, channel=None)):
        line.pipeline.process_live(channel_event)
    assert counted(line.summary) == {
        ("message", CHANNEL): 3,
        ("chatTag", CHANNEL): 1,
        ("message", None): 1,
    }


def test_what_no_record_is_made_of_the_usual_way_flows_through() -> None:
    line = Line()
    assert line.pipeline.process_live(ChannelEvent(0, "made-up", None, None)) == [b"null\n"]
    assert counted(line.summary) == {("made-up", None): 1}


def message(number: int) -> ChannelEvent:
    return event({"id": number})


def test_what_history_has_too_comes_once() -> None:
    line = Line(deduplicator=Deduplicator())
    assert line.pipeline.process_live(message(1)) == [b'{"id": 1}\n']
    assert line.pipeline.process_history(message(1)) == []
    assert line.pipeline.process_history(message(2)) == [b'{"id": 2}\n']
    assert line.pipeline.process_live(message(2)) == []
    assert counted(line.summary) == {("message", CHANNEL): 2}
    assert line.given[1][1][0].source is Source.BACKFILL


@pytest.mark.defect("A2.5")
def test_two_chats_with_the_same_message_id_lose_nothing() -> None:
    messages = [event({"id": 696, "chat": {"id": f"group-{number}"}}) for number in range(6)]
    line = Line(deduplicator=Deduplicator())
    assert line.pipeline.process_live(messages[0])
    assert all(line.pipeline.process_history(message) for message in messages[1:4])
    assert all(line.pipeline.process_live(message) for message in messages[4:])
    earlier = Deduplicator([line.given[0][1][0].id], now=messages[0].received)
    next_run = Line(deduplicator=earlier)
    assert not next_run.pipeline.process_history(messages[0])
    assert next_run.pipeline.process_history(messages[1])


def test_of_a_frame_only_what_is_no_double_is_shown() -> None:
    line = Line(deduplicator=Deduplicator())
    line.pipeline.process_history(message(1))
    assert line.pipeline.process_live(event({"id": 1}, {"id": 2})) == [b'{"id": 2}\n']


def test_history_is_filtered_too_and_what_is_filtered_out_is_no_double() -> None:
    line = Line(keep_record=lambda record: b"2" in record.data, deduplicator=Deduplicator())
    assert line.pipeline.process_history(message(1)) == []
    assert line.pipeline.process_history(message(2)) == [b'{"id": 2}\n']
    assert line.summary.filtered == 1


@pytest.mark.defect("U12")
def test_what_history_has_from_before_the_begin_is_neither_shown_nor_remembered() -> None:
    moment = 1637319280
    times = MessageTimes({}, {CHANNEL: moment})
    line = Line(deduplicator=Deduplicator(), times=times)
    before, after = (event({"id": 1, "time": moment + later}) for later in (-1, 0))
    assert line.pipeline.process_history(before) == []
    assert line.pipeline.process_history(after) == [b'{"id": 1, "time": 1637319280}\n']
    assert len(line.given) == 1


def test_the_times_of_live_messages_are_noted_also_of_those_that_are_filtered_out() -> None:
    line = Line(keep_record=lambda _: False, times=MessageTimes())
    line.pipeline.process_live(event({"id": 1, "time": 1637319281}))
    line.pipeline.process_live(event({"id": 2, "time": 1637319282}, name="messageStatus"))
    assert line.times is not None
    assert line.times.newest == {CHANNEL: 1637319281}


def test_what_was_shown_can_be_taken_once_without_what_was_left_out() -> None:
    line = Line(keep_record=lambda record: b"2" not in record.data, deduplicator=Deduplicator())
    for number in (1, 2, 3, 1, 4):
        line.pipeline.process_live(message(number))
    line.pipeline.process_history(message(1))
    shown = line.pipeline.take_written(1)
    assert [record.data for record in shown] == [b'{"id": 1}', b'{"id": 3}', b'{"id": 1}']
    assert line.pipeline.take_written(0) == []


def test_a_line_of_several_records_that_is_left_out_is_left_out_with_all_of_them() -> None:
    pipeline = Pipeline(lambda _: True, None, format_raw, Summary(), track_written=True)
    for first in (1, 4, 7):
        frame = event(*({"id": number} for number in range(first, first + 3)))
        assert len(pipeline.process_live(frame)) == 1
    assert [record.data for record in pipeline.take_written(2)] == [
        b'{"id": 1}',
        b'{"id": 2}',
        b'{"id": 3}',
    ]
