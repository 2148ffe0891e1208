"""What people read on stderr, and what programs do."""

import json
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chatapp_tail import items
from chatapp_tail.items import Gap, Status, StopCause
from chatapp_tail.reporting.notices import Level, LogFormat, Notices
from tests.factories import CHANNEL

OTHER = "private-v1.companies.2224"
AT = 1_763_800_000_000_000_000
LOST = items.Lost(AT, "wss://h:6001: going away (code 1001)", 1001, 75.0)
NEVER = items.Lost(AT, "wss://h:6001: Connection refused", None, None)
GAP = Gap(CHANNEL, AT, AT + 12_000_000_000, "lost")


def notices_of(
    *statuses: Status | Gap, level: Level = Level.DEBUG, log_format: LogFormat = LogFormat.TEXT
) -> list[str]:
    lines: list[str] = []
    notices = Notices(lines.append, level, log_format)
    for status in statuses:
        notices.say(status)
    return lines


SENTENCES: dict[str, tuple[list[Status | Gap], str, Level]] = {
    "connecting": (
        [items.Connecting(AT, "wss://h:6001")],
        "connecting to wss://h:6001",
        Level.INFO,
    ),
    "connected": ([items.Connected(AT, "1.2")], "connected, socket id 1.2", Level.DEBUG),
    "subscribed": (
        [items.Subscribed(AT, CHANNEL)],
        "subscribed to 1229/telegram",
        Level.DEBUG,
    ),
    "ready, one": ([items.Ready(AT, [CHANNEL], [])], "ready: 1229/telegram", Level.INFO),
    "ready, two": ([items.Ready(AT, [CHANNEL, OTHER], [])], "ready: 2 channels", Level.INFO),
    "ready, one refused": (
        [items.Ready(AT, [CHANNEL], [OTHER])],
        "ready: 1229/telegram (1 refused)",
        Level.INFO,
    ),
    "refused": (
        [items.Refused(AT, OTHER, "no")],
        "refused: company/2224: no",
        Level.WARNING,
    ),
    "trouble": ([items.ConnectionWarning(AT, "odd")], "warning: odd", Level.WARNING),
    "trouble of a channel": (
        [items.ConnectionWarning(AT, "odd", OTHER)],
        "warning: company/2224: odd",
        Level.WARNING,
    ),
    "frame": (
        [items.FrameTrace(AT, "<", "a\x1b[31m\nb")],
        r"< a\x1b[31m\nb",
        Level.TRACE,
    ),
    "quiet": (
        [items.Idle(AT, 60.0, 1.25, None)],
        "quiet: no event for 1m 00s; last frame 1.2 s ago, last pong none yet",
        Level.DEBUG,
    ),
    "lost": (
        [LOST, items.Reconnecting(AT, 0.5)],
        "lost the connection after 1m 15s to wss://h:6001: going away (code 1001);"
        " trying again in 0.5 s",
        Level.WARNING,
    ),
    "lost, at once": (
        [LOST, items.Reconnecting(AT, 0.0)],
        "lost the connection after 1m 15s to wss://h:6001: going away (code 1001);"
        " trying again at once",
        Level.WARNING,
    ),
    "reading history": (
        [items.Fetching(AT, 40, 17, 0)],
        "reading history: 17 of 40 chats",
        Level.WARNING,
    ),
    "listing chats": ([items.Fetching(AT, 0, 0, 0)], "reading history", Level.WARNING),
    "reading history with trouble": (
        [items.Fetching(AT, 0, 0, 0, "GET / answered 500\n")],
        r"reading history; asking again, since GET / answered 500\n",
        Level.WARNING,
    ),
    "reading long history": (
        [items.Fetching(AT, 40, 40, 350)],
        "reading history: 40 of 40 chats, 350 messages so far",
        Level.WARNING,
    ),
    "never connected": (
        [NEVER, items.Reconnecting(AT, 12.0)],
        "cannot connect to wss://h:6001: Connection refused; trying again in 12 s",
        Level.WARNING,
    ),
}


@pytest.mark.parametrize(("statuses", "sentence", "level"), SENTENCES.values(), ids=SENTENCES)
def test_each_sentence_at_its_level_and_not_below(
    statuses: list[Status | Gap], sentence: str, level: Level
) -> None:
    assert notices_of(*statuses, level=level) == [f"chatapp-tail: {sentence}"]
    assert notices_of(*statuses, level=Level(level - 1)) == []


def test_a_gap_names_channel_and_span() -> None:
    (line,) = notices_of(GAP, level=Level.WARNING)
    assert re.fullmatch(
        r"chatapp-tail: gap: events of 1229/telegram from [-\d]{10} [:\d]{8} to [-\d]{10} [:\d]{8}"
        r" \(12 s\) may be missing",
        line,
    )


HOLE = r"1229/telegram from [-\d]{10} [:\d]{8} to [-\d]{10} [:\d]{8} \(12 s\)"
FILLED = {
    "all": (
        replace(GAP, recovered=3, missing=None),
        rf"gap: {HOLE}: recovered 3 messages; statuses, tags and edits cannot be recovered",
    ),
    "one": (
        replace(GAP, recovered=1, missing=None),
        rf"gap: {HOLE}: recovered 1 message; statuses, tags and edits cannot be recovered",
    ),
    "some": (
        replace(GAP, recovered=0, missing="GET / answered 403\x1b[2J"),
        rf"gap: events of {HOLE} may be missing: recovered 0 messages; GET / answered 403\\x1b\[2J",
    ),
    "asked for": (
        replace(GAP, reason=items.ASKED, recovered=3, missing=None),
        rf"history: 3 messages of {HOLE}; it has no statuses and tags",
    ),
    "asked for in vain": (
        replace(GAP, reason=items.ASKED, missing="GET / answered 403"),
        rf"history: 0 messages of {HOLE}; GET / answered 403",
    ),
}


@pytest.mark.parametrize(("gap", "sentence"), FILLED.values(), ids=FILLED)
def test_a_gap_says_what_came_back_and_what_cannot(gap: Gap, sentence: str) -> None:
    (line,) = notices_of(gap, level=Level.INFO)
    assert re.fullmatch(f"chatapp-tail: {sentence}", line)


def test_only_what_was_asked_for_and_came_is_no_trouble() -> None:
    asked = replace(GAP, reason=items.ASKED, missing=None)
    assert notices_of(asked, level=Level.WARNING) == []
    assert notices_of(
        replace(asked, missing="403"), replace(GAP, missing=None), level=Level.WARNING
    )


def test_a_gap_of_today_has_no_date() -> None:
    now = time.time_ns()
    (line,) = notices_of(Gap(CHANNEL, now, now, "lost"), level=Level.WARNING)
    assert time.strftime("%F") not in line


def test_ready_after_trouble_is_said_as_loudly_as_the_trouble() -> None:
    ready = items.Ready(AT, [CHANNEL], [])
    trouble: list[Status | Gap] = [
        LOST,
        items.Reconnecting(AT, 1.0),
        items.Connecting(AT, "ws://h"),
        ready,
    ]
    assert notices_of(*trouble, level=Level.WARNING)[-1] == "chatapp-tail: ready: 1229/telegram"
    assert len(notices_of(*trouble, ready, level=Level.WARNING)) == 2


def test_quiet_says_nothing_but_the_end() -> None:
    lines: list[str] = []
    notices = Notices(lines.append, Level.QUIET, LogFormat.TEXT)
    for statuses, _, _ in SENTENCES.values():
        for status in statuses:
            notices.say(status)
    notices.say(GAP)
    assert lines == []
    notices.end("made up", 4)
    assert lines == ["chatapp-tail: made up"]


FROM_THE_SERVER: dict[str, Callable[[str], list[Status | Gap]]] = {
    "socket id": lambda text: [items.Connected(AT, text)],
    "refusal": lambda text: [items.Refused(AT, CHANNEL, text)],
    "trouble": lambda text: [items.ConnectionWarning(AT, text)],
    "frame": lambda text: [items.FrameTrace(AT, "<", text)],
    "loss": lambda text: [items.Lost(AT, text, None, 1.0), items.Reconnecting(AT, 1.0)],
    "failed dial": lambda text: [items.Lost(AT, text, None, None), items.Reconnecting(AT, 1.0)],
}


@pytest.mark.parametrize("statuses", FROM_THE_SERVER.values(), ids=FROM_THE_SERVER.keys())
@pytest.mark.parametrize("log_format", LogFormat)
@given(text=st.text("a\x1b\n\r\x07\x9b\u202e\x00", max_size=8))
def test_text_of_the_server_is_one_safe_line(
    statuses: Callable[[str], list[Status | Gap]], log_format: LogFormat, text: str
) -> None:
    lines = notices_of(*statuses(text), level=Level.TRACE, log_format=log_format)
    assert lines
    for line in lines:
        assert not re.search("[\x00-\x1f\x7f]", line)
        if log_format is LogFormat.TEXT:
            assert line.isprintable()


EVERY: list[Status | Gap] = [
    *(status for statuses, _, _ in SENTENCES.values() for status in statuses),
    GAP,
    items.Stopped(AT, StopCause.ASKED, "asked to stop"),
]


def test_as_json_every_line_is_a_record() -> None:
    lines = notices_of(*EVERY, level=Level.TRACE, log_format=LogFormat.JSON)
    records = [json.loads(line) for line in lines]
    assert len(records) == len(EVERY)
    assert {record["type"] for record in records} == {"status", "gap"}
    assert all(record["v"] == 1 for record in records)


def test_as_json_the_end_and_the_frames_are_records_too() -> None:
    lines: list[str] = []
    notices = Notices(lines.append, Level.TRACE, LogFormat.JSON)
    notices.say(items.FrameTrace(AT, "<", '{"event":"x"}\n'))
    notices.end("made up", 4)
    frame, end = map(json.loads, lines)
    moment = frame.pop("at")
    assert moment.startswith("2025-11-22T")
    assert frame == {
        "v": 1,
        "type": "status",
        "state": "frame",
        "direction": "<",
        "text": '{"event":"x"}\n',
        "message": r'< {"event":"x"}\n',
    }
    assert end == {"v": 1, "type": "error", "message": "made up", "exit_status": 4}


def test_as_json_frames_are_only_said_when_asked_for() -> None:
    frame = items.FrameTrace(AT, "<", "{}")
    assert notices_of(frame, level=Level.DEBUG, log_format=LogFormat.JSON) == []
    assert len(notices_of(frame, level=Level.TRACE, log_format=LogFormat.JSON)) == 1


def test_a_sentence_has_an_end_and_a_record_has_all() -> None:
    frame = items.FrameTrace(AT, ">", "x" * 5000)
    (line,) = notices_of(frame, level=Level.TRACE)
    assert line == "chatapp-tail: > " + "x" * 998
    (line,) = notices_of(frame, level=Level.TRACE, log_format=LogFormat.JSON)
    assert json.loads(line)["text"] == "x" * 5000


def summed_up(log_format: LogFormat, sentence: str, level: Level = Level.QUIET) -> str:
    lines: list[str] = []
    Notices(lines.append, level, log_format).summary(sentence, {"records": 2, "gaps": 0})
    (line,) = lines
    return line


@pytest.mark.parametrize("level", Level)
def test_a_summary_is_said_at_every_level(level: Level) -> None:
    line = summed_up(LogFormat.TEXT, "12 s: 2 records", level)
    assert line == "chatapp-tail: 12 s: 2 records"


def test_as_json_a_summary_is_a_record() -> None:
    record = json.loads(summed_up(LogFormat.JSON, "12 s: 2 records"))
    assert list(record.items()) == [
        ("v", 1),
        ("type", "summary"),
        ("records", 2),
        ("gaps", 0),
        ("message", "12 s: 2 records"),
    ]


def test_names_in_a_summary_are_the_servers_and_made_safe() -> None:
    name = "a\x1b[2J\r\n\u202e" + "x" * 5000
    line = summed_up(LogFormat.TEXT, f"1 record ({name} 1)")
    assert line.startswith(r"chatapp-tail: 1 record (a\x1b[2J\r\n")
    assert line.isprintable()
    assert len(line) == len("chatapp-tail: ") + 1000
    line = summed_up(LogFormat.JSON, name)
    assert not re.search("[\x00-\x1f\x7f]", line)
    assert json.loads(line)["message"] == name


@given(st.floats(min_value=0, max_value=1e12))
def test_any_wait_can_be_said(delay: float) -> None:
    assert len(notices_of(LOST, items.Reconnecting(AT, delay))) == 1
