"""Filters and formats as typed → compiled."""

import csv
import io
import json
import subprocess
import sys
from typing import Any

import pytest
from msgspec.structs import replace

from chatapp_tail.chatapp.records import Source, decode
from chatapp_tail.cli.config import View, ViewArguments, compile_view
from chatapp_tail.errors import UsageError
from chatapp_tail.formats import Output
from chatapp_tail.formats.colors import ColorMode
from chatapp_tail.formats.times import TimeStyle
from chatapp_tail.items import ChannelEvent
from chatapp_tail.reporting.summary import Summary
from tests.factories import CHANNEL
from tests.unit.conftest import counted

TYPED = ViewArguments(
    events=(),
    excluded_events=(),
    incoming=False,
    outgoing=False,
    chats=(),
    patterns=(),
    excluded_patterns=(),
    where=(),
    output=Output.JSON,
    template=None,
    color=ColorMode.AUTO,
    time_style=TimeStyle.UTC,
)
MESSAGE = {
    "id": 696,
    "fromMe": False,
    "type": "text",
    "message": {"text": "A \x1b[31mtest"},
    "chat": {"id": "7", "name": "Team chat"},
}
ESCAPE = b"\x1b"


def event(item: object = MESSAGE, name: str = "message") -> ChannelEvent:
    envelope = {"queue": "Telegram.Broadcast.Message", "payload": {"data": [item]}}
    return ChannelEvent(1637319283_123456789, name, CHANNEL, json.dumps(envelope).encode())


def compiled(*, terminal: bool = False, **typed: Any) -> View:
    return compile_view(replace(TYPED, **typed), terminal=terminal)


def shown(
    *events: ChannelEvent,
    terminal: bool = False,
    environment: dict[str, str] | None = None,
    **typed: Any,
) -> bytes:
    pipeline = compiled(terminal=terminal, **typed).pipeline(Summary(), environment or {})
    return b"".join(line for each in events for line in pipeline.process_live(each))


@pytest.mark.parametrize(
    ("output", "terminal", "expected"),
    [
        (Output.AUTO, True, Output.PRETTY),
        (Output.AUTO, False, Output.JSON),
        *((each, True, each) for each in Output if each is not Output.AUTO),
        *((each, False, each) for each in Output if each is not Output.AUTO),
    ],
)
def test_output(output: Output, terminal: bool, expected: Output) -> None:
    view = compiled(output=output, template="{text}", terminal=terminal)
    assert view.output is expected
    assert view.terminal is terminal


FILTERS: dict[str, tuple[dict[str, Any], bool]] = {
    "none": ({}, True),
    "event": ({"events": ["message"]}, True),
    "another event": ({"events": ["chatTag"]}, False),
    "event excluded": ({"excluded_events": ["message"]}, False),
    "another event excluded": ({"excluded_events": ["chatTag"]}, True),
    "incoming": ({"incoming": True}, True),
    "outgoing": ({"outgoing": True}, False),
    "both ways": ({"incoming": True, "outgoing": True}, True),
    "chat": ({"chats": ["team chat"]}, True),
    "another chat": ({"chats": ["8"]}, False),
    "pattern": ({"patterns": ["test$"]}, True),
    "another pattern": ({"patterns": ["^test"]}, False),
    "pattern excluded": ({"excluded_patterns": ["no such words", "test$"]}, False),
    "another pattern excluded": ({"excluded_patterns": ["^test"]}, True),
    "where": ({"where": ["data.id == `696`"]}, True),
    "another where": ({"where": ["data.error"]}, False),
    "all": (
        {
            "events": ["message"],
            "incoming": True,
            "chats": ["7"],
            "patterns": ["test"],
            "excluded_patterns": ["Test"],
            "where": ["data"],
        },
        True,
    ),
    "all but one": ({"events": ["message"], "patterns": ["test"], "where": ["data.error"]}, False),
}


@pytest.mark.parametrize(("typed", "kept"), FILTERS.values(), ids=FILTERS)
def test_each_filter_gets_where_it_belongs(typed: dict[str, Any], kept: bool) -> None:
    assert bool(shown(event(), **typed)) == kept


def test_what_is_shown_and_filtered_is_counted() -> None:
    summary = Summary()
    pipeline = compiled(excluded_events=["chatTag"], outgoing=True).pipeline(summary, {})
    sent = MESSAGE | {"fromMe": True}
    for each in (event(), event(sent), event(name="chatTag")):
        pipeline.process_live(each)
    assert counted(summary) == {("message", CHANNEL): 1}
    assert summary.filtered == 2


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ({"events": ["a"], "excluded_events": ["a"]}, "--event and --exclude-event"),
        ({"chats": [""]}, "--chat"),
        ({"patterns": ["("]}, "--grep:"),
        ({"excluded_patterns": ["("]}, "--grep-not:"),
        ({"where": ["=="]}, "--where"),
        ({"output": Output.TEMPLATE, "template": "{nothing}"}, "--format"),
    ],
    ids=["events", "chat", "grep", "grep-not", "where", "template"],
)
def test_what_is_wrong_is_said_before_the_first_event(typed: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        compiled(**typed)


def test_json() -> None:
    record = json.loads(shown(event(), output=Output.JSON))
    assert (record["event"], record["data"]) == ("message", MESSAGE)


def test_raw() -> None:
    line = shown(event(), output=Output.RAW)
    assert json.loads(line)["payload"]["data"] == [MESSAGE]


def test_csv() -> None:
    table = shown(event(), event(), output=Output.CSV).decode()
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert [row["chat_name"] for row in rows] == ["Team chat"] * 2


def test_template() -> None:
    line = shown(event(), output=Output.TEMPLATE, template="{time} {chat.name}")
    assert line == b"10:54:43 Team chat\n"


def test_pretty() -> None:
    line = shown(event(), output=Output.PRETTY)
    assert b"Team chat" in line
    assert b"10:54:43" in line


@pytest.mark.parametrize(
    ("style", "time"),
    [
        (TimeStyle.UTC, "10:54:43"),
        (TimeStyle.ISO, "2021-11-19T10:54:43.123456Z"),
        (TimeStyle.RELATIVE, "+0.0s"),
        (TimeStyle.NONE, ""),
    ],
)
def test_times_are_of_the_wanted_style(style: TimeStyle, time: str) -> None:
    line = shown(event(), output=Output.TEMPLATE, template="{time}|", time_style=style)
    assert line.decode() == f"{time}|\n"
    pretty = shown(event(), output=Output.PRETTY, time_style=style).decode()
    assert time in pretty
    assert ("10:54:43" in pretty) == ("10:54:43" in time)


@pytest.mark.parametrize("output", [Output.CSV, Output.TEMPLATE, Output.PRETTY])
def test_on_a_terminal_nothing_that_strangers_wrote_moves_the_cursor(output: Output) -> None:
    line = shown(event(), output=output, template="{text}", terminal=True)
    assert b"test" in line
    assert ESCAPE not in line


@pytest.mark.parametrize("output", [Output.CSV, Output.TEMPLATE])
def test_in_a_file_text_stays_as_it_is(output: Output) -> None:
    assert ESCAPE in shown(event(), output=output, template="{text}", terminal=False)


@pytest.mark.parametrize(
    ("color", "environment", "terminal", "colors"),
    [
        (ColorMode.AUTO, {"TERM": "xterm"}, True, True),
        (ColorMode.AUTO, {"TERM": "xterm"}, False, False),
        (ColorMode.AUTO, {"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        (ColorMode.AUTO, {"FORCE_COLOR": "1"}, False, True),
        (ColorMode.ALWAYS, {}, False, True),
        (ColorMode.NEVER, {"TERM": "xterm", "FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colors(
    color: ColorMode, environment: dict[str, str], terminal: bool, colors: bool
) -> None:
    line = shown(
        event(), output=Output.PRETTY, color=color, environment=environment, terminal=terminal
    )
    assert (ESCAPE in line) == colors


def test_what_was_searched_for_is_highlighted() -> None:
    def colored(*patterns: str) -> bytes:
        return shown(event(), output=Output.PRETTY, color=ColorMode.ALWAYS, patterns=patterns)

    assert b"test" in colored("test")
    assert colored("test") != colored() != b""
    assert colored("test") != colored("A")


def test_a_saved_event_goes_the_same_way() -> None:
    pipeline = compiled(patterns=["test"]).pipeline(Summary(), {})
    (line,) = pipeline.process_saved(decode(event(), Source.REPLAY))
    assert json.loads(line)["source"] == "replay"
    assert pipeline.process_saved(decode(event({"message": {"text": "x"}}), Source.REPLAY)) == []


def test_pipelines_share_nothing() -> None:
    view = compiled(output=Output.CSV)
    for _ in range(2):
        (line,) = view.pipeline(Summary(), {}).process_live(event())
        assert line.startswith(b"received,")


HEAVY = {"chatapp_tail.formats.pretty", "chatapp_tail.formats.template", "chatapp_tail.formats.csv"}


@pytest.mark.parametrize(
    ("output", "loaded"),
    [
        (Output.JSON, set()),
        (Output.RAW, set()),
        (Output.CSV, {"chatapp_tail.formats.csv"}),
        (Output.TEMPLATE, {"chatapp_tail.formats.template"}),
        (Output.PRETTY, {"chatapp_tail.formats.pretty"}),
    ],
)
def test_only_the_wanted_format_is_loaded(output: Output, loaded: set[str]) -> None:
    program = f"""
import sys
from tests.unit.cli.test_view import HEAVY, Output, Summary, compiled
assert not HEAVY & sys.modules.keys()
compiled(output=Output({str(output)!r}), template="{{text}}").pipeline(Summary(), {{}})
print(*sorted(HEAVY & sys.modules.keys()), "rich" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    *found, rich = done.stdout.decode().split()
    assert set(found) == loaded
    assert (rich == "True") == (output is Output.PRETTY)
