import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, timedelta, timezone
from typing import Any
from unicodedata import normalize

import msgspec
import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyte.screens import Char
from rich.cells import cell_len
from wcwidth import wcwidth

from chatapp_tail.chatapp.records import DecodedEvent, Record, Source
from chatapp_tail.escape import escape_text
from chatapp_tail.filters.grep import compile_grep
from chatapp_tail.formats.pretty import LINE_LIMIT, Pretty, shift_spans
from chatapp_tail.formats.times import TimeStyle, make_clock

RECEIVED = 1637319283
TELEGRAM = "private-v1.licenses.1229.messengers.telegram"
WHATSAPP = "private-v1.licenses.77.messengers.caWhatsApp"
SGR = re.compile(r"\x1b\[([0-9;]*)m")

PERSON = {"id": 1480000001, "username": "username_test", "name": "Test Test", "phone": "7000000000"}
PRIVATE = {**PERSON, "id": "private-1480000001h1360000000000000001", "type": "private"}
GROUP = {"id": "group-54911000655", "type": "group", "name": "Team chat"}
ALICE = {"id": 2, "name": "Alice Example"}

MESSAGE: dict[str, Any] = {
    "id": 696,
    "fromApi": False,
    "fromMe": False,
    "time": 1637319282,
    "isForwarded": False,
    "type": "text",
    "message": {"text": "Test", "caption": "", "file": None},
    "quotedMessage": None,
    "fromUser": PERSON,
    "chat": PRIVATE,
}
STATUS: dict[str, Any] = {"id": 42213, "type": "delivered", "chat": PRIVATE, "error": None}
TAG: dict[str, Any] = {
    "type": "add",
    "tag": {
        "id": 29,
        "name": "test 1",
        "color": "#123df55",
        "sort": 100,
        "category": {"id": 9, "name": "test 1", "sort": 100},
    },
    "chat": {"id": "group-54911000655"},
}


def record(data: object, event: str = "message", **changes: Any) -> Record:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    made = Record(
        event=event,
        id="x",
        channel=TELEGRAM,
        license=1229,
        messenger="telegram",
        received=RECEIVED * 1_000_000_000 + 123_456_789,
        source=Source.LIVE,
        queue=None,
        part=1,
        parts=1,
        data=raw,
    )
    return msgspec.structs.replace(made, **changes)


def pretty(width: int = 120, **options: Any) -> Pretty:
    return Pretty(width=lambda: width, **{"color_system": None, "timezone": UTC, **options})


def shown(kept: Record, width: int = 120, **options: Any) -> str:
    (entry,) = pretty(width, **options)(DecodedEvent(kept.data, [kept]), [kept])
    return entry.decode(options.get("encoding", "utf-8"))


def message(**changes: Any) -> dict[str, Any]:
    return {**MESSAGE, **changes}


def content(**members: Any) -> dict[str, Any]:
    return {"text": "", "caption": "", "file": None, **members}


def media(kind: str, **members: Any) -> dict[str, Any]:
    return message(type=kind, message=content(**members))


WHO = "←  Test Test @username_test  "
MESSAGES: list[tuple[str, dict[str, Any], str]] = [
    ("text", MESSAGE, WHO + "Test"),
    ("outgoing", message(fromMe=True), "→  Test Test @username_test  #696  Test"),
    ("side", message(fromMe=None, side="out"), "→  Test Test @username_test  #696  Test"),
    ("group", message(fromUser=ALICE, chat=GROUP), "←  Alice Example in Team chat  Test"),
    ("to a group", message(fromMe=True, chat=GROUP), "→  Team chat  #696  Test"),
    ("no author", message(fromUser=None, chat=GROUP), "←  Team chat  Test"),
    ("only a phone", message(fromUser={"phone": 7000000000}), "←  7000000000  Test"),
    ("only an id", message(fromUser={"id": 5}), "←  5  Test"),
    ("nobody", message(fromUser=None, chat=None), "←  ?  Test"),
    ("api", message(fromMe=True, fromApi=True, chat=GROUP), "→  Team chat  #696  (api)  Test"),
    ("forwarded", message(isForwarded=True), WHO + "(forwarded)  Test"),
    ("reply", message(quotedMessage={"id": 1}), WHO + "(reply)  Test"),
    (
        "quote",
        message(quotedMessage={"message": {"text": "When will\nthe order arrive?"}}),
        WHO + '(re "When will the order arri...")  Test',
    ),
    ("late", message(time=RECEIVED - 600), WHO + "(sent 10:44)  Test"),
    ("older", message(time=RECEIVED - 86400), WHO + "(sent 2021-11-18 10:54)  Test"),
    (
        "photo",
        media("image", caption="look", file={"name": "a.jpg", "size": 184320}),
        WHO + "[photo 180 KB] look",
    ),
    ("video", media("video", file={"size": 2408448}), WHO + "[video 2.3 MB]"),
    ("voice", media("voice", file={"name": "voice.ogg"}), WHO + "[voice]"),
    ("file", media("file", file={"name": "a.pdf", "size": 9}), WHO + "[file a.pdf 9 B]"),
    (
        "files",
        media("files", file=[{"name": "a.txt"}, {"name": "b.txt", "size": 3e9}]),
        WHO + "[files a.txt, b.txt 2.8 GB]",
    ),
    ("text with a file", media("text", text="see", file={"name": "a"}), WHO + "[file a] see"),
    (
        "location",
        media("location", caption="Bridge", location={"latitude": 43.2, "longitude": -7}),
        WHO + "[location 43.2, -7] Bridge",
    ),
    (
        "location with more",
        media("location", location={"latitude": 1, "longitude": 2, "floor": 0}),
        WHO + '[location 1, 2] {"location":{"latitude":1, "longitude":2, "floor":0}}',
    ),
    ("call", media("call_log", missed=False), WHO + '[call] {"missed":false}'),
    (
        "template",
        media("template", text="Hi", params=["é"]),
        WHO + '[template] Hi {"params":["é"]}',
    ),
    ("new kind", media("poll", options=None), WHO + "[poll]"),
    ("system", media("system", text="joined"), WHO + "[system] joined"),
    ("nothing", media("text"), WHO + "(no text)"),
    ("another member", media("text", contact={"a": 1}), WHO + '{"contact":{"a":1}}'),
    ("text as message", message(message="short"), WHO + "short"),
    ("no message", {"a": 1}, '•  message  {"a":1}'),
]


@pytest.mark.parametrize(
    ("item", "expected"), [row[1:] for row in MESSAGES], ids=[row[0] for row in MESSAGES]
)
def test_message(item: dict[str, Any], expected: str) -> None:
    assert shown(record(item), width=160) == f"10:54:43  1229/telegram  {expected}\n"


FAILED = {**STATUS, "type": "failed"}
OTHERS: list[tuple[str, object, str]] = [
    ("messageStatus", {**STATUS, "type": "sent"}, "·  sent  Test Test @username_test  #42213"),
    ("messageStatus", STATUS, "✓  delivered  Test Test @username_test  #42213"),
    ("messageStatus", {**STATUS, "type": "viewed"}, "✓✓ viewed  Test Test @username_test  #42213"),
    ("messageStatus", {**STATUS, "type": "new", "chat": GROUP}, "•  new  Team chat  #42213"),
    (
        "messageStatus",
        {"id": "wamid.0123456789ABCDEF", "type": "failed"},
        "✗  failed  ?  #...456789ABCDEF",
    ),
    (
        "messageStatus",
        {**FAILED, "chat": GROUP, "error": "blocked"},
        "✗  failed  Team chat  #42213  blocked",
    ),
    (
        "messageStatus",
        {**FAILED, "chat": GROUP, "error": {"code": 131026, "message": "Undeliverable"}},
        "✗  failed  Team chat  #42213  Undeliverable (131026)",
    ),
    (
        "messageStatus",
        {**FAILED, "chat": GROUP, "error": {"code": 1, "why": "é"}},
        '✗  failed  Team chat  #42213  {"code":1, "why":"é"}',
    ),
    (
        "messageStatus",
        {**FAILED, "chat": GROUP, "error": {"title": "a", "details": "b", "message": None}},
        "✗  failed  Team chat  #42213  a: b",
    ),
    ("messageStatus", {"type": 5.5}, "•  5.5  ?"),
    ("messageStatus", {"type": None}, '•  messageStatus  {"type":null}'),
    ("chatTag", TAG, "+  tag ● test 1 (test 1)  group-54911000655"),
    (
        "chatTag",
        {"type": "destroy", "tag": {"name": "VIP"}, "chat": GROUP},
        "−  tag ● VIP  Team chat",
    ),
    ("chatTag", {"type": "moved", "tag": {"id": 29}}, "•  tag moved ● 29  ?"),
    ("chatTag", {"type": "add", "tag": None}, '•  chatTag  {"type":"add", "tag":null}'),
    ("chatConversation", {"open": True}, '•  chatConversation  {"open":true}'),
    ("employeeStatus", [1, "ж"], '•  employeeStatus  [1, "ж"]'),
    ("", None, "•  ?  null"),
]


@pytest.mark.parametrize(("event", "item", "expected"), OTHERS)
def test_other_events(event: str, item: object, expected: str) -> None:
    assert shown(record(item, event)) == f"10:54:43  1229/telegram  {expected}\n"


def test_text_that_is_not_json_is_shown_as_it_came() -> None:
    entry = shown(record("[/nope] two\nlines", "custom", encoding="text"))
    assert entry.splitlines()[0].endswith("•  custom  [/nope] two")
    assert entry.splitlines()[1].strip() == "lines"


@pytest.mark.parametrize("data", [b"", b"{", b'"\xff"', b"[" * 5000, b"[" * 900 + b"]" * 900])
def test_bytes_that_cannot_be_read_are_shown(data: bytes) -> None:
    assert shown(record(data, "custom")).startswith("10:54:43  1229/telegram  •  custom")


def test_what_only_the_standard_library_reads() -> None:
    item = rb'{"message":{"text":"half \ud83d pair"}}'
    assert shown(record(item)).endswith("←  ?  half \\ud83d pair\n")


def test_says_what_was_filled_in_later() -> None:
    item = message(time=RECEIVED - 600)
    assert "(backfill, sent 10:44)" in shown(record(item, source=Source.BACKFILL))
    assert "replay" not in shown(record(item, source=Source.REPLAY))


def test_time_is_in_the_given_zone() -> None:
    zone = timezone(timedelta(hours=5))
    assert shown(record(MESSAGE), timezone=zone).startswith("15:54:43  ")


def test_local_time_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.match(r"\d\d:54:43  ", shown(record(MESSAGE), timezone=None))


SECOND = 1_000_000_000


def times(*moments: float, **options: Any) -> list[str]:
    kept = [record(MESSAGE, received=round(moment * SECOND)) for moment in moments]
    show = pretty(width=options.pop("width", 120), **options)
    return [entry.decode() for entry in show(DecodedEvent(b"", kept), kept)]


CLOCKS = [
    (TimeStyle.LOCAL, "10:54:43  1229/telegram  ←  "),
    (TimeStyle.UTC, "10:54:43  1229/telegram  ←  "),
    (TimeStyle.ISO, "2021-11-19T10:54:43.000000Z  1229/telegram  ←  "),
    (TimeStyle.RELATIVE, "+0.0s  1229/telegram  ←  "),
    (TimeStyle.NONE, "1229/telegram  ←  "),
]


@pytest.mark.parametrize(("style", "start"), CLOCKS)
def test_time_is_said_in_each_style(style: TimeStyle, start: str) -> None:
    (line,) = times(RECEIVED, clock=make_clock(style, UTC))
    assert line.startswith(start)


NARROW = [
    (TimeStyle.ISO, 40, ["2021-11-19T10:54:43.000000Z  1229...gram", f"{WHO}Test"]),
    (TimeStyle.ISO, 30, ["2021-11-19T10:54:43.000000Z", "1229...ram"]),
    (TimeStyle.RELATIVE, 40, ["+0.0s  1229/telegram", f"{WHO}Test"]),
    (TimeStyle.NONE, 40, ["1229/telegram", f"{WHO}Test"]),
]


@pytest.mark.parametrize(("style", "width", "start"), NARROW)
def test_each_style_on_a_narrow_terminal(style: TimeStyle, width: int, start: list[str]) -> None:
    (entry,) = times(RECEIVED, clock=make_clock(style), width=width)
    assert entry.splitlines()[:2] == start


def test_spans_stand_to_the_right_of_a_column_that_grows() -> None:
    lines = times(0, 1, 75, 76, clock=make_clock(TimeStyle.RELATIVE))
    starts = [line.partition("1229")[0] for line in lines]
    assert starts == ["+0.0s  ", "+1.0s  ", "+1m14s  ", " +1.0s  "]


def test_a_column_of_times_grows_up_to_a_limit() -> None:
    lines = times(0, 1, clock=lambda moment: "" if moment else "x" * 500)
    assert [line.index("1229") for line in lines] == [29, 29]


def test_dates_in_notes_are_in_the_given_zone() -> None:
    zone = timezone(timedelta(hours=5))
    item = message(time=RECEIVED - 600)
    line = shown(record(item), timezone=zone, clock=make_clock(TimeStyle.NONE))
    assert "(sent 15:44)" in line


def test_columns_line_up_from_the_longest_channel_on() -> None:
    show = pretty(width=100)
    kept = [record(MESSAGE, channel=name) for name in (WHATSAPP, "private-v1.users.6", TELEGRAM)]
    kept += [record(MESSAGE, channel=name) for name in (WHATSAPP + "LongerName", None)]
    lines = [entry.decode() for entry in show(DecodedEvent(b"", kept), kept)]
    assert [line.index("←") for line in lines] == [25, 25, 25, 35, 35]
    assert lines[-1].startswith("10:54:43  -   ")


def test_shortens_the_middle_of_a_long_channel_name() -> None:
    line = shown(record(MESSAGE, channel="private-" + "x" * 150 + "-end"), width=80)
    assert "  private-xxxx...xxxxxxx-end  ←" in line


def test_channel_colours_do_not_change_between_runs() -> None:
    lines = [
        shown(record(MESSAGE, channel=name), color_system="standard")
        for name in (TELEGRAM, WHATSAPP)
    ]
    assert "\x1b[34m1229/telegram\x1b[0m" in lines[0]
    assert "\x1b[36m77/caWhatsApp\x1b[0m" in lines[1]


def test_wraps_with_a_hanging_indent() -> None:
    item = media("text", text="one two three four five six\nsecond line\n\n  indented")
    lines = shown(record(item), width=64).splitlines()
    assert lines == [
        "10:54:43  1229/telegram  ←  Test Test @username_test  one two",
        "                            three four five six",
        "                            second line",
        "",
        "                              indented",
    ]


def test_narrow_terminals_get_time_and_channel_above() -> None:
    item = media("text", text="one two three")
    assert shown(record(item), width=40).splitlines() == [
        "10:54:43  1229/telegram",
        "←  Test Test @username_test  one two",
        "   three",
    ]


def test_chinese_breaks_anywhere_but_before_punctuation() -> None:
    text = "订单什么时候到我已经等了三天了。" * 3
    item = message(message=content(text=text), fromUser={"name": "王"})
    lines = [line.strip() for line in shown(record(item), width=61).splitlines()]
    assert "".join(lines).endswith(text)
    assert not any(line.startswith("。") for line in lines)


def test_joined_emoji_are_not_torn_apart() -> None:
    family = "👨‍👩‍👧‍👦"
    item = message(message=content(text=family * 20))
    for line in shown(record(item), width=66).splitlines():
        text = line.split()[-1]
        assert text == family * text.count(family)


@pytest.mark.parametrize("text", ["word " * 500, "x" * 200_000, "\n".join("abcdefghi") * 9])
def test_counts_what_it_does_not_show(text: str) -> None:
    item = message(message=content(text=text), fromUser={"name": "A"})
    *lines, note = shown(record(item), width=80).splitlines()
    assert len(lines) == LINE_LIMIT
    found = re.fullmatch(r" +… \((\d+) more characters, -o json shows all\)", note)
    assert found
    visible = sum(line.count(letter) for letter in "abcdefghiwordx" for line in lines[1:])
    assert len(text.strip()) - int(found[1]) >= visible


def test_the_count_is_exact_for_a_long_word() -> None:
    item = message(message=content(text="x" * 1000), fromUser={"name": "A"})
    entry = shown(record(item), width=80)
    assert f"({1000 - entry.count('x')} more characters" in entry


def test_no_note_in_the_place_of_one_line() -> None:
    item = message(message=content(text="\n".join("abcdefg")))
    assert shown(record(item)).splitlines()[-1].strip() == "g"


def test_a_name_cannot_break_the_line_or_look_like_text() -> None:
    item = message(fromUser={"name": "Boss\n10:54:43  1/x\x1b[2K  " + "long " * 20})
    (line,) = shown(record(item)).splitlines()
    assert r"←  Boss 10:54:43 1/x\x1b[2K long long long lon...  Test" in line


@pytest.mark.parametrize("width", [40, 80])
def test_text_never_reaches_the_first_column(width: int) -> None:
    # rich counts joined characters once, and most terminals each for itself.
    text = "\n10:54:43  1/x  ←  Boss\n" + "中\u200d" * 60 + "👍🏽" * 30 + "10:54:43  1/x"
    lines = shown(record(message(message=content(text=text))), width=width).splitlines()
    assert all(line[:3] in ("10:", "←  ", "   ") for line in lines)
    for line in lines:
        assert sum(cell_len(part) for part in line.split("\u200d")) <= width


@pytest.mark.parametrize(
    "text", ["[/nope]", "[red]x[/red]", "[link=https://x.invalid]y[/link]", ":smile:"]
)
@pytest.mark.parametrize("colors", [None, "truecolor"])
def test_markup_is_text(text: str, colors: str | None) -> None:
    assert shown(record(media("text", text=text)), color_system=colors).endswith(f"  {text}\n")


def test_other_encodings_get_ascii_symbols_and_escapes() -> None:
    assert shown(record(media("text", text="→ é ж")), encoding="ascii").endswith(
        "<- Test Test @username_test  \\u2192 \\xe9 \\u0436\n"
    )
    assert shown(record(media("text", text="é ж")), encoding="cp1251").endswith("\\xe9 ж\n")
    assert "+  tag * test 1" in shown(record(TAG, "chatTag"), encoding="latin-1")
    assert "... (" in shown(record(media("text", text="x" * 9999)), encoding="ascii")


@pytest.mark.parametrize(
    ("colors", "dot"),
    [(None, "●"), ("standard", "●"), ("256", "●"), ("truecolor", "\x1b[38;2;18;61;245m●\x1b[0m")],
)
def test_a_tag_has_its_own_colour_where_there_are_enough(colors: str | None, dot: str) -> None:
    assert f" {dot}" in shown(record(TAG, "chatTag"), color_system=colors).replace(
        "\x1b[2mtag \x1b[0m", "tag "
    )


def test_a_failure_is_red() -> None:
    line = shown(record({**FAILED, "error": "blocked"}, "messageStatus"), color_system="standard")
    assert "\x1b[1;31m✗\x1b[0m" in line
    assert "\x1b[31mblocked\x1b[0m" in line


@pytest.mark.parametrize("colors", [None, "standard"])
def test_the_environment_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, colors: str | None
) -> None:
    before = shown(record(MESSAGE), color_system=colors)
    for name, value in {
        "COLUMNS": "30",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "FORCE_COLOR": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert shown(record(MESSAGE), color_system=colors) == before
    assert ("\x1b" in before) is bool(colors)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
ITEMS: list[tuple[str, dict[str, Any]]] = [
    ("message", message(quotedMessage={"message": {"text": "a"}}, side="in", fromMe=None)),
    ("message", message(fromMe=True, time=1, internalId="a")),
    ("message", media("files", file=[{"name": "a", "size": 1}], files=[{"name": "b"}])),
    ("message", media("location", location={"latitude": 1, "longitude": 2, "x": 3})),
    ("messageStatus", {**FAILED, "error": {"code": 1, "message": "x", "details": "y"}}),
    ("chatTag", TAG),
]


@st.composite
def spoilt(draw: st.DrawFn, value: object) -> object:
    """Return a copy of `value` with members dropped or replaced by junk."""
    fate = draw(st.sampled_from(["keep", "keep", "keep", "junk", "text"]))
    if fate == "junk":
        return draw(JUNK)
    if fate == "text":
        return draw(st.text(st.characters(), max_size=200))
    if isinstance(value, dict):
        kept = [name for name in value if draw(st.integers(0, 9))]
        return {name: draw(spoilt(value[name])) for name in kept}
    if isinstance(value, list):
        return [draw(spoilt(element)) for element in value]
    return value


@st.composite
def records(draw: st.DrawFn) -> Record:
    event, item = draw(st.sampled_from(ITEMS))
    event = draw(st.just(event) | st.text())
    data = draw(spoilt(item) | JUNK)
    return record(
        draw(st.just(json.dumps(data).encode()) | st.binary()),
        event,
        channel=draw(st.none() | st.just(TELEGRAM) | st.text(st.characters())),
        received=draw(st.just(RECEIVED * 10**9) | st.integers()),
        source=draw(st.sampled_from(Source)),
        encoding=draw(st.sampled_from([None, "text"])),
    )


@given(
    kept=st.lists(records(), min_size=1, max_size=3),
    width=st.integers(-5, 130),
    colors=st.sampled_from([None, "standard", "256", "truecolor"]),
    encoding=st.sampled_from(["utf-8", "ascii", "cp1251", "shift_jis"]),
)
def test_is_total(kept: list[Record], width: int, colors: str | None, encoding: str) -> None:
    show = pretty(width, color_system=colors, encoding=encoding)
    entries = show(DecodedEvent(b"", kept), kept)
    assert len(entries) == len(kept)
    for line in (line for entry in entries for line in lines_of(entry, encoding)):
        plain = SGR.sub("", line)
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", plain)
        assert cell_len(plain) <= max(width, 20)
        codes = SGR.findall(line)
        assert not codes or (colors and codes[-1] == "0")
        assert all(map(is_allowed, codes))


def lines_of(entry: bytes, encoding: str) -> Iterator[str]:
    *lines, end = entry.decode(encoding).split("\n")
    assert lines
    assert end == ""
    yield from lines


def is_allowed(code: str) -> bool:
    return bool(re.fullmatch(r"0|(1;|2;)?3[1-6]|1|2|38;2;\d+;\d+;\d+", code))


# What a terminal makes of it.


HOSTILE = {
    "erase": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07\x1b]2;owned\x1b\\",
    "link": "\x1b]8;;https://x.invalid\x1b\\x\x1b]8;;\x1b\\",
    "other screen": "\x1b[?1049h\x1b[?25l\x1b[?5h",
    "one character each": "\x9b31m\x9d0;owned\x9c\x84\x85\x8d",
    "colours": "\x1b[31;5;7;41mred\x1b[38;5;9m\x1b[48;2;1;2;3m",
    "moves": "\x1b[5A\x1b[3;3r\x1b[10C\x1b7\x1b8\x1bM\x1bD\x08\x08\r\x0b\x0c",
    "answers": "\x1b[c\x1b[6n\x05\x1b[21t\x1bP$q\x1b\\",
    "character sets": "\x0e\x1b(0lqqk\x0f\x1b%@\x1b#8",
    "unfinished": "\x1b[",
    "unfinished at the end": "abc\x1b]0;",
    "resets": "\x1bc\x1b[!p\x7f\x00",
    "half": "\ud83d\x1b[1m",
}
TEXTS = {
    "Latin": "Grüße aus Zürich, naïve façade " * 5,
    "Cyrillic": "Когда приедет мой заказ? " * 9,
    "Greek": "Πότε θα έρθει η παραγγελία μου; " * 5,
    "Hebrew": "מתי תגיע ההזמנה שלי? שָׁלוֹם " * 6,
    "Arabic": "متى يصل طلبي؟ السَّلامُ عليكم " * 6,
    "Persian": "می\u200cخواهم بدانم سفارش من کجاست " * 5,
    "both directions": "Order 123 של Alice הגיע at 10:00 \u200f" * 5,
    "override": "\u202egnp.exe\u202c and \u2066more\u2069",
    "Hindi": "मेरा ऑर्डर कब आएगा? क्\u200dष " * 6,
    "Thai": "คำสั่งซื้อของฉันจะมาถึงเมื่อไหร่น้ำ" * 5,
    "Chinese": "订单什么时候到？我已经等了三天了。" * 8,
    "Japanese": "注文はいつ届きますか。ｶﾀｶﾅ、ひらがな" * 7,
    "Korean": "주문이 언제 도착하나요? " * 12,
    "decomposed Korean": normalize("NFD", "주문이 언제 도착하나요? ") * 12,
    "emoji": "😀👍🏽❤️1️⃣🇰🇿" * 20,
    "joined emoji": "👨\u200d👩\u200d👧\u200d👦 🏃🏽\u200d♀️" * 15,
    "flags": "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f🇫🇷" * 20,
    "combining": "e\u0301a\u0308o\u0302" * 60,
    "a tower": "Z" + "\u0301\u0327" * 60 + "algo",
    "full width": "ＡＢＣ＝１２３" * 20,
    "one long word": "x" * 700,
    "spaces and tabs": "a\tb  c \u3000 d\xa0e" * 20,
    "lines": "one\n\n  two\r\nthree\n" * 4,
    "exactly the width": "x" * 40 + "\n" + "中" * 20 + "\n" + "y" * 80,
} | {f"hostile: {name}": text + "after" for name, text in HOSTILE.items()}


def as_data(item: object) -> bytes:
    return json.dumps(item).encode()


def of_every_kind(text: str) -> list[Record]:
    """Return records with this text wherever a stranger can write one."""
    person = {"id": text, "name": text, "username": text, "phone": text}
    failed = {**FAILED, "chat": person, "id": text, "error": {"code": 1, "message": text}}
    tag = {"type": "add", "tag": {**TAG["tag"], "name": text, "category": {"name": text}}}
    return [
        record(message(message=content(text=text))),
        record(message(fromMe=True, chat=person, id=text, message=content(caption=text))),
        record(message(fromUser=person, chat=GROUP, quotedMessage={"text": text})),
        record(media("file", caption=text, file={"name": text, "size": 2408448})),
        record(media(text, text=text, more=[text])),
        record(failed, "messageStatus"),
        record({**STATUS, "type": "viewed", "chat": {"name": text}}, "messageStatus"),
        record({**tag, "chat": person}, "chatTag"),
        record([text, {text: text}], text, channel=f"private-{text}"),
        record(as_data(text), "custom", encoding="text", channel=None),
    ]


MIXED = [each for text in TEXTS.values() for each in of_every_kind(text)[:2]] + [
    *(record(item, width) for item, width in ((TAG, "chatTag"), (STATUS, "messageStatus"))),
    *(each for name in ("Hebrew", "joined emoji") for each in of_every_kind(TEXTS[name])[2:]),
]
WIDTHS = [40, 80, 200]
COLORS = ["standard", "256", "truecolor"]
DEFAULT = Char(" ")


def entries(kept: list[Record], width: int, **options: Any) -> list[str]:
    show = pretty(width, **{"color_system": "standard", **options})
    return [entry.decode() for entry in show(DecodedEvent(b"", kept), kept)]


def lines_shown(kept: list[Record], width: int, **options: Any) -> list[str]:
    return "".join(entries(kept, width, **options)).split("\n")[:-1]


def uncoloured(line: str) -> str:
    return SGR.sub("", line)


def feed(target: object, text: str) -> None:
    # One by one, as pyte forgets what comes after a joiner in what it is given.
    stream = pyte.Stream(target)  # type: ignore[arg-type]
    for character in text:
        # And it wraps before a mark on the last column, as no terminal does.
        if wcwidth(character) or not is_at_edge(target):
            stream.feed(character)


def is_at_edge(target: object) -> bool:
    return isinstance(target, pyte.Screen) and target.cursor.x == target.columns


def screen(lines: list[str], width: int) -> pyte.Screen:
    """Return a screen that these lines were written to, with room for as many more."""
    made = pyte.Screen(width, 2 * len(lines))
    feed(made, "".join(f"{line}\r\n" for line in lines))
    return made


def row(screen: pyte.Screen, number: int) -> str:
    cells = screen.buffer[number]
    return without_marks("".join(cells[x].data for x in range(screen.columns)))


def without_marks(text: str) -> str:
    """Return what takes up room, as pyte leaves some marks, joiners and selectors out."""
    return "".join(c for c in normalize("NFD", text) if wcwidth(c) > 0).rstrip()


@pytest.mark.parametrize("colors", COLORS)
@pytest.mark.parametrize("width", WIDTHS)
def test_each_line_is_one_row_of_the_terminal(width: int, colors: str) -> None:
    lines = lines_shown(MIXED, width, color_system=colors)
    made = screen(lines, width)
    assert made.cursor.y == len(lines)
    assert [row(made, y) for y in range(len(lines))] == [
        without_marks(uncoloured(line)) for line in lines
    ]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_text_of_any_kind_wraps(width: int, text: str) -> None:
    lines = lines_shown(of_every_kind(text), width, highlight=compile_grep([r"\w+ "]).spans)
    for line in lines:
        assert sum(max(wcwidth(character), 0) for character in uncoloured(line)) <= width
    made = screen(lines, width)
    assert made.cursor.y == len(lines)


@pytest.mark.parametrize("colors", COLORS)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_left_on_after_a_newline(width: int, colors: str) -> None:
    lines = lines_shown(MIXED, width, color_system=colors, highlight=compile_grep(["."]).spans)
    made = pyte.Screen(width, 2 * len(lines))
    for line in lines:
        feed(made, f"{line}\r\n")
        assert made.cursor.attrs == DEFAULT


@pytest.mark.parametrize("style", TimeStyle)
@pytest.mark.parametrize("width", WIDTHS[1:])
def test_columns_are_straight(width: int, style: TimeStyle) -> None:
    # The first is the widest; after it no column moves.
    before = [(RECEIVED - seconds) * SECOND for seconds in (9999, 1)]
    wide = [record(MESSAGE, channel=WHATSAPP, received=moment) for moment in before]
    kept = [*wide, *of_every_kind("word " * 60)[:-3]]
    made = entries(kept, width, clock=make_clock(style))
    starts = []
    for entry in made[1:]:
        lines = entry.split("\n")[:-1]
        there = screen(lines, width)
        mark = next(x for x in range(width) if there.buffer[0][x].data in "←→✓✗•")
        starts += [mark, *(x - 3 for x in map(indent, map(uncoloured, lines[1:])))]
    assert len(set(starts)) == 1


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


class Calls:
    """Remembers what a terminal was asked to do."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: self.names.add(name)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_terminal_is_asked_for_text_colour_and_new_lines_alone(text: str) -> None:
    calls = Calls()
    feed(calls, "\n".join(lines_shown(of_every_kind(text), 80)))
    assert calls.names == {"draw", "select_graphic_rendition", "linefeed"}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_screen_is_as_before_but_for_the_text(text: str) -> None:
    made = screen(lines_shown(of_every_kind(text), 80), 80)
    fresh = pyte.Screen(80, made.lines)
    for name in ("title", "icon_name", "mode", "margins", "charset", "tabstops", "savepoints"):
        assert getattr(made, name) == getattr(fresh, name)
    cells = [cell for cells in made.buffer.values() for cell in cells.values()]
    assert {cell.bg for cell in cells} == {"default"}
    assert not any(c.reverse or c.blink or c.underscore or c.strikethrough for c in cells)


# What was searched for.


def found_on_screen(text: str, *patterns: str, width: int = 80, **options: Any) -> list[str]:
    """Return what stands out, row by row; the wide characters' empty halves are empty text."""
    item = message(message=content(text=text), fromUser={"name": "A"}, chat=None)
    spans = compile_grep(patterns).spans
    made = screen(lines_shown([record(item)], width, highlight=spans, **options), width)
    rows = []
    for y in range(made.cursor.y):
        cells = [made.buffer[y][x] for x in range(made.columns)]
        marks = [cell.data if cell.bold and cell.fg == "red" else "\0" for cell in cells]
        rows.append(" ".join(re.findall("[^\0]+", "".join(marks))))
    return rows


FOUND = [
    ("where is my order", ["order"], ["order"]),
    ("Order, order", ["order"], ["Order order"]),
    ("a\x1b[2Jb", ["b"], ["b"]),
    ("a\x1b[2Jb", [r"\x1b"], [r"\x1b"]),
    ("a\x1b[2Jb", ["J"], ["J"]),
    ("\u202eabc\u202c def", ["def"], ["def"]),
    ("tab\tafter", ["after"], ["after"]),
    ("tab\tafter", [r"b\sa"], ["b    a"]),
    ("one\r\ntwo\nthree", ["two", "thr"], ["", "two", "thr"]),
    ("one\r\ntwo", [r"e\s+t"], ["e", "t"]),
    ("订单什么时候到", ["什么"], ["什么"]),
    ("привет, мир", ["мир"], ["мир"]),
    ("e\u0301x\x00y", ["y"], ["y"]),
    ("[red]x[/red]", [r"\[red"], ["[red"]),
    ("word " * 20, ["d w"], None),
    ("nothing", ["other"], [""]),
    ("half \ud83d pair", ["pair"], ["pair"]),
    ("😀 smile", ["smile"], ["smile"]),
    ("abc", [""], [""]),
]


@pytest.mark.parametrize("colors", COLORS)
@pytest.mark.parametrize(("text", "patterns", "expected"), FOUND)
def test_what_was_searched_for_stands_out(
    text: str, patterns: list[str], expected: list[str] | None, colors: str
) -> None:
    found = found_on_screen(text, *patterns, color_system=colors)
    if expected is not None:
        assert found == expected
    else:
        # Broken between lines: the ends of a span stand out on both.
        assert found[0].split(" d w ")[0].startswith("d w")
        assert found[1].startswith("w")


def test_only_text_and_caption_are_searched() -> None:
    item = media("file", text="report one", caption="report two", file={"name": "report"})
    line = shown(record(item), color_system="standard", highlight=compile_grep(["report"]).spans)
    assert line.count("\x1b[1;31mreport\x1b[0m") == 2


def test_the_search_sees_all_of_a_text_that_is_too_long() -> None:
    item = message(message=content(text="a" + "x" * 9999 + "z"))
    spans = compile_grep(["a.*z"]).spans
    entry = shown(record(item), width=80, color_system="standard", highlight=spans)
    assert entry.count("\x1b[1;31m") == LINE_LIMIT
    assert "\x1b[2m…" in entry


def test_text_without_colours_is_not_searched() -> None:
    def refuse(_: str) -> list[tuple[int, int]]:
        raise AssertionError("searched")

    assert shown(record(MESSAGE), highlight=refuse) == shown(record(MESSAGE))


@pytest.mark.parametrize("spans", [[(2, 999)], [(500, 999)], [(0, 0)], []])
def test_spans_may_end_anywhere(spans: list[tuple[int, int]]) -> None:
    for text in ("Test", "\x1bTest"):
        item = message(message=content(text=text))
        line = shown(record(item), color_system="standard", highlight=lambda _: spans)
        assert SGR.sub("", line) == shown(record(item))


@given(st.text(st.characters()) | st.text("\r\n\t\\ab\x1b¥é\u200d\ud800"))
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1251"])
def test_every_character_is_known_again_after_escaping(encoding: str, text: str) -> None:
    safe = escape_text(text).encode(encoding, "backslashreplace").decode(encoding)
    spans = shift_spans([(at, at + 1) for at in range(len(text))], text, safe)
    for character, (start, end) in zip(text, spans, strict=True):
        expected = {character, ascii(character)[1:-1]}
        expected |= {"\t": {"    "}, "\r": {""}}.get(character, set())
        assert safe[start:end] in expected
    assert [0, *(end for _, end in spans)] == [*(start for start, _ in spans), len(safe)]


@given(kept=st.lists(records(), min_size=1, max_size=2), pattern=st.sampled_from(["", ".", r"\w"]))
def test_searching_changes_nothing_but_colour(kept: list[Record], pattern: str) -> None:
    plain = pretty(60)(DecodedEvent(b"", kept), kept)
    spans = compile_grep([pattern]).spans
    show = pretty(60, color_system="standard", highlight=spans)
    assert [SGR.sub("", e.decode()) for e in show(DecodedEvent(b"", kept), kept)] == [
        entry.decode() for entry in plain
    ]
