"""Rows that any reader of RFC 4180 takes and no spreadsheet runs."""

import csv
import io
import json
import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.chatapp.records import decode
from chatapp_tail.formats.csv import COLUMNS, Csv, Opening, escape_formula, opening_for
from chatapp_tail.items import ChannelEvent
from tests.factories import CHANNEL, decoded

from .test_fields import values

HEADER = (
    "received,sent,event,id,channel,license,messenger,direction,chat_id,chat_name,chat_phone,"
    "from_id,from_name,from_phone,type,text,status,error,tag,file_name,file_link,data,hash"
)


def table(*items: object, form: Csv | None = None) -> bytes:
    form = form or Csv()
    made = [decoded(item) for item in items]
    return b"".join(form(decode(ChannelEvent(0, "x", None, None)), made))


def parsed(table: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(table.decode(), newline=""), strict=True))


def cell(item: object, column: str) -> str:
    header, row = parsed(table(item))
    return row[header.index(column)]


def says(text: str) -> dict[str, object]:
    return {"message": {"text": text}}


def test_the_columns_never_change() -> None:
    assert ",".join(COLUMNS) == HEADER
    assert table({}).split(b"\r\n")[0].decode() == HEADER


def test_the_header_stands_once_before_the_first_record() -> None:
    form = Csv()
    assert form(decode(ChannelEvent(0, "x", None, None)), []) == []
    first = form(decode(ChannelEvent(0, "x", None, None)), [decoded({}), decoded({})])
    assert [piece.count(b"received") for piece in first] == [1, 0]
    assert b"received" not in table({}, form=form)


def test_a_row_is_one_piece_and_ends_as_rfc_4180_wants() -> None:
    assert re.fullmatch(rb"[^\r\n]+\r\n[^\r\n]+\r\n", table({"id": 1}))


def test_a_message() -> None:
    item = {
        "id": 696,
        "fromMe": False,
        "time": 1637319282,
        "type": "image",
        "message": {
            "text": "",
            "caption": 'Look, "this"\nis it',
            "file": {"name": "a.jpg", "link": "https://example.invalid/a"},
        },
        "fromUser": {"id": 1480000001, "name": "Test Test", "phone": "7000000000"},
        "chat": {"id": "group-54911000655", "name": "Team chat"},
    }
    _, row = parsed(table(item))
    assert dict(zip(COLUMNS, row, strict=True)) == {
        **dict.fromkeys(COLUMNS, ""),
        "received": "2021-11-19T10:54:43.123456Z",
        "sent": "2021-11-19T10:54:42Z",
        "event": "message",
        "id": "message:1229:telegram:group-54911000655:696",
        "channel": CHANNEL,
        "license": "1229",
        "messenger": "telegram",
        "direction": "in",
        "chat_id": "group-54911000655",
        "chat_name": "Team chat",
        "from_id": "1480000001",
        "from_name": "Test Test",
        "from_phone": "7000000000",
        "type": "image",
        "text": 'Look, "this"\nis it',
        "file_name": "a.jpg",
        "file_link": "https://example.invalid/a",
        "data": json.dumps(item),
        "hash": sha256(json.dumps(item).encode()).hexdigest()[:12],
    }


FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "＠x"]
FORMULAS += ["+7 700 000-00-00", "-", "=", "+1.", "--1", "'=1", "''@x"]
HARMLESS = ["", "a=1", "1-1", "-54911000655", "+70000000000", "-1.5", "'", "'a", "a\n=1", " a"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_defused(text: str) -> None:
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_formula_stays(text: str) -> None:
    assert escape_formula(text) == text


def test_cells_of_strangers_are_defused() -> None:
    assert cell(says("=HYPERLINK(1)"), "text") == "'=HYPERLINK(1)"
    assert cell({"chat": {"name": "@evil"}}, "chat_name") == "'@evil"
    assert cell({"chat": {"phone": "+70000000000"}}, "chat_phone") == "+70000000000"


@given(st.text() | st.from_regex(r"'*\s*[=+\-@].*"))
def test_nothing_dangerous_begins_a_cell_and_nothing_is_lost(text: str) -> None:
    shown = escape_formula(text)
    assert shown in (text, f"'{text}")
    if shown[:1] in tuple("=+-@\t\r\n"):
        assert re.fullmatch(r"[+-][0-9]+(\.[0-9]+)?", shown)
    # Taking an apostrophe away wherever one would have been put gives back what was there.
    if shown.startswith("'") and escape_formula(shown) != shown:
        assert shown[1:] == text


def test_nothing_acts_on_a_terminal() -> None:
    shown = table(says("a\x1b[2J\nb\t"), form=Csv(escape=True))
    assert b'"a\\x1b[2J\nb"' in shown
    assert b"\x1b" in table(says("a\x1b[2J"))


@given(values)
def test_any_item_is_one_row_that_can_be_read_back(item: object) -> None:
    header, row = parsed(table(item))
    assert len(row) == len(header)
    assert row[-2].removeprefix("'") == decoded(item).data.decode()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_is_quoted_so_that_it_comes_back(text: str) -> None:
    assert cell(says(f"x{text}x"), "text") == f"x{text}x"
    quoted = table(says(text))
    assert quoted.decode().encode() == quoted


def test_half_a_character_is_shown_as_an_escape() -> None:
    assert b"\\ud800" in table(says("\ud800")).split(b"\r\n")[1]


# --- going on in a file

ROW = table(says('1 "a", b\r\nc\n"d"'), form=Csv(opening=lambda: Opening(b"")))
"""A row with quotes and newlines of every kind in its cells."""


def opening(content: bytes) -> Opening:
    return opening_for(io.BytesIO(content), len(content))


BEFORE = {
    "a byte order mark": ("\ufeff", f"{HEADER}\r\n"),
    "a line of something else": ("a title\r\n", f"{HEADER}\r\n"),
    "a torn line of something else": ("a title", f"\r\n{HEADER}\r\n"),
    "a header": (f"{HEADER}\r\n", ""),
    "a header behind a byte order mark": (f"\ufeff{HEADER}\r\n", ""),
    "the header of an earlier release": (HEADER.removesuffix(",hash") + "\n", ""),
    "a torn header": (HEADER[:60], "\r\n"),
}


@pytest.mark.defect("A.24")
@pytest.mark.defect("U11")
@pytest.mark.parametrize(("before", "expected"), BEFORE.values(), ids=BEFORE)
def test_a_file_has_one_header(before: str, expected: str) -> None:
    begun = before.encode()
    assert opening(begun).head == expected.encode()
    content = begun + table({}, form=Csv(opening=lambda: opening(begun)))
    assert content.count(b"received,sent,") == 1
    assert opening(content).head == b""


EARLIER = HEADER.removesuffix(",hash")
BEGUN = {
    "nothing of ours": ("a title\r\n", 23),
    "all columns": (f"{HEADER}\r\n", 23),
    "those of an earlier release": (f"{EARLIER}\r\n", 22),
    "those of an earlier release, behind a title": (f"\ufeffa title\r\n{EARLIER}\n1,2", 22),
    "those of an earlier release, torn at the end": (EARLIER, 22),
    "those of a later release": (f"{HEADER},new\r\n", 23),
    "torn between two names": (HEADER.partition(",chat_id")[0], 23),
    "torn in a name": (HEADER[:-1], 23),
}


@pytest.mark.parametrize(("before", "columns"), BEGUN.values(), ids=BEGUN)
def test_a_file_keeps_the_columns_that_it_begins_with(before: str, columns: int) -> None:
    begun = before.encode()
    added = table({"id": 1}, form=Csv(opening=lambda: opening(begun)))
    *_, row = parsed(added)
    assert row == parsed(table({"id": 1}))[1][:columns]


@pytest.mark.defect("A.24")
@pytest.mark.parametrize("rows", [1, 500])
def test_a_row_that_was_torn_anywhere_spoils_no_other(rows: int) -> None:
    """With a newline after it or without: what ends a torn line may have come first."""
    begun = table({"id": 1}) + ROW * rows
    for length in range(1, len(ROW) + 1):
        for newline in (b"", b"\n"):
            torn = begun + ROW[:length] + newline
            found = parsed(torn + opening(torn).head + ROW)
            assert found[: rows + 2] == parsed(begun)
            assert found[-1] == parsed(ROW)[0]
            assert len([row for row in found if row]) <= rows + 5


def test_a_large_file_that_was_ended_well_is_not_read_whole() -> None:
    class Counting(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.taken += len(data)
            return data

    content = table({}) + ROW * 20_000
    file = Counting(content)
    assert opening_for(file, len(content)).head == b""
    assert file.taken < len(content) / 4


@given(st.lists(st.text('\r\n",a2026-11-22T08:39:00Z, '), max_size=3), st.integers(0, 400))
def test_whatever_strangers_write_a_torn_row_spoils_no_other(texts: list[str], cut: int) -> None:
    whole = table(*map(says, texts))
    torn = whole[: max(1, len(whole) - cut)] if texts else table({})
    found = parsed(torn + opening(torn).head + ROW)
    assert found[-1] == parsed(ROW)[0]
