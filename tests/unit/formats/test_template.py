"""One line a record, from named fields and nothing else."""

import contextlib
import re
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.chatapp.records import Record, decode
from chatapp_tail.errors import UsageError
from chatapp_tail.formats.template import NAMES, Template
from chatapp_tail.formats.times import TimeStyle, make_clock
from chatapp_tail.items import ChannelEvent
from tests.factories import decoded

from .test_fields import values

DECODED = decode(ChannelEvent(0, "x", None, None))


def template(text: str, *, style: TimeStyle = TimeStyle.UTC, escape: bool = False) -> Template:
    return Template(text, make_clock(style, UTC), escape=escape)


def line(text: str, item: object, *, escape: bool = False) -> str:
    (piece,) = template(text, escape=escape)(DECODED, [decoded(item)])
    return piece.decode()


def says(text: str) -> dict[str, object]:
    return {"fromMe": False, "chat": {"name": "Team chat"}, "message": {"text": text}}


LINES = [
    ("{text}", "Test\n"),
    ("{time} {arrow} {chat.name}: {text}", "10:54:43 ← Team chat: Test\n"),
    ("{event}/{license}/{messenger}", "message/1229/telegram\n"),
    ("{{{text}}}", "{Test}\n"),
    ("{{text}} {text}", "{text} Test\n"),
    ("{text:<6}|", "Test  |\n"),
    ("{text:>6}|", "  Test|\n"),
    ("{text:*^7}|", "*Test**|\n"),
    ("{text:6}|", "Test  |\n"),
    ("{text:.2}|", "Te|\n"),
    ("{text:-<5.2}|", "Te---|\n"),
    ("{text:<<5}|", "Test<|\n"),
    ("{text:}|", "Test|\n"),
    ("{time:>10}|", "  10:54:43|\n"),
    (r"{chat}\t{text}\n\\t", "Team chat\tTest\n\\t\n"),
    (r"\x{text}", "\\xTest\n"),
    ("\x1b[1m{text}\x1b[0m", "\x1b[1mTest\x1b[0m\n"),
    ("{error}{text}{error}", "Test\n"),
]


@pytest.mark.parametrize(("text", "expected"), LINES)
@pytest.mark.parametrize("escape", [False, True])
def test_a_line(text: str, expected: str, *, escape: bool) -> None:
    assert line(text, says("Test"), escape=escape) == expected


WRONG = [
    ("{chat.nme}", "there is no field 'chat.nme'; did you mean chat.name?", 1),
    ("{time} {txt}", "there is no field 'txt'; did you mean text?", 8),
    ("{zzzzzzzz}", "there is no field 'zzzzzzzz'; there are time, received, ", 1),
    ("{}{text}", "there is no field ''; there are ", 1),
    ("{0}", "there is no field '0'; ", 1),
    ("{text!r}", "there is no field 'text!r'; ", 1),
    ("{text.__class__}", "there is no field 'text.__class__'; ", 1),
    ("{text[0]}", "there is no field 'text[0]'; ", 1),
    ("{ text }", "there is no field ' text '; did you mean text?", 1),
    ("{text:abc}", "not an alignment", 6),
    ("{text:05}", "not an alignment", 6),
    ("{text:99999}", "not an alignment", 6),
    ("{text:=6}", "not an alignment", 6),
    ("{text:{chat}}", "a single {", 0),
    ("{text", "a single {", 0),
    ("{text} }", "a single }", 7),
    ("json", "it names no field", 0),
    ("", "it names no field", 0),
]


@pytest.mark.parametrize(("text", "why", "position"), WRONG)
def test_what_is_wrong_is_said_at_once_and_shown(text: str, why: str, position: int) -> None:
    with pytest.raises(UsageError) as caught:
        template(text)
    said, shown, caret = str(caught.value).split("\n")
    assert said.startswith(f"--format: {why}")
    assert shown == f"  {text}"
    assert caret == "  " + " " * position + "^"


def test_a_record_stays_one_line_in_a_pipe() -> None:
    assert line("{text}", says("a\nb\r\nc\td")) == "a\\nb\\r\\nc\\td\n"


def test_text_is_left_as_it_is_in_a_pipe_and_made_visible_on_a_terminal() -> None:
    dangerous = "\x1b[2J\u202e"
    assert line("{text}", says(dangerous)) == f"{dangerous}\n"
    assert line("{text}", says(dangerous), escape=True) == "\\x1b[2J\\u202e\n"
    assert line("{text:.4}|", says(dangerous), escape=True) == "\\x1b|\n"


def test_data_stays_json_in_a_pipe() -> None:
    (kept,) = decode(ChannelEvent(0, "x", None, b'{"a":\t"b\\n"}')).records
    assert template("{data}")(DECODED, [kept]) == [b'{"a":\t"b\\n"}\n']


def test_relative_time_counts_records_and_not_fields() -> None:
    first = decoded(says("a"))
    second = decode(ChannelEvent(first.received + 1_500_000_000, "x", None, b"{}")).records
    shown = template("{time} {time}", style=TimeStyle.RELATIVE)(DECODED, [first, *second])
    assert shown == [b"+0.0s +0.0s\n", b"+1.5s +1.5s\n"]


def test_an_item_that_no_field_asks_for_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: bytes) -> object:
        raise AssertionError("parsed")

    monkeypatch.setattr("chatapp_tail.formats.template.parse_item", refuse)
    assert line("{event} {time} {data:.1}", {}) == "message 10:54:43 {\n"


def test_what_the_encoding_does_not_have_is_shown_as_an_escape() -> None:
    plain = Template("{arrow} {text}", make_clock(TimeStyle.NONE), escape=True, encoding="ascii")
    assert plain(DECODED, [decoded(says("ж"))]) == [b"\\u2190 \\u0436\n"]
    assert line("{text}", says("\ud800")) == "\\ud800\n"


CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
ALL = "|".join(f"{{{name}}}" for name in NAMES)


@given(values, st.booleans())
def test_any_item_is_one_line(item: object, escape: bool) -> None:
    kept: Record = decoded(item)
    (piece,) = template(ALL, escape=escape)(DECODED, [kept])
    assert piece.count(b"\n") == 1
    assert piece.endswith(b"\n")
    if escape:
        assert not CONTROL.search(piece.decode()[:-1])


@given(st.text("{}:.<>^!\\tn [0]ab", max_size=20) | st.text())
def test_a_template_works_or_is_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        made = template(text + "{text}")
        assert made(DECODED, [decoded(says("Test"))])[0].endswith(b"Test\n")
