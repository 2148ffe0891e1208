"""What the account has: any answer is read, and a refusal names the closest of it."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.chatapp.licenses import (
    License,
    Messenger,
    explain_refusal,
    parse_licenses,
    read_licenses,
)
from tests.factories import license_of

ENTRY = {
    "licenseId": 1001,
    "licenseTo": 4_102_444_800,
    "licenseName": None,
    "active": True,
    "status": {"id": 4, "code": "paid"},
    "companies": [2002],
    "messenger": [{"type": "grWhatsApp", "name": "[WEB] WhatsApp", "info": {"phone": "70"}}],
    "access": [{"userId": "5", "email": "a@example.invalid"}],
}
WHATSAPP = Messenger("grWhatsApp", "[WEB] WhatsApp", "70")


def test_the_documented_answer() -> None:
    (found,) = parse_licenses({"success": True, "data": [ENTRY]})
    assert found == License(1001, None, True, 4_102_444_800, (WHATSAPP,))
    assert found.types == ["grWhatsApp"]


def test_the_shape_of_other_lists_is_read_too() -> None:
    assert parse_licenses({"data": {"items": [ENTRY]}}) == parse_licenses({"data": [ENTRY]})


PARTS: dict[str, tuple[dict[str, Any], License | None]] = {
    "only a number": ({"licenseId": 5}, License(5, None, None, None, ())),
    "no number": ({"licenseName": "x"}, None),
    "a number as text": ({"licenseId": "5"}, None),
    "true is no number": ({"licenseId": True}, None),
    "active as text": ({"licenseId": 5, "active": "yes"}, License(5, None, None, None, ())),
    "until as text": ({"licenseId": 5, "licenseTo": "soon"}, License(5, None, None, None, ())),
    "messenger is one": ({"licenseId": 5, "messenger": {}}, License(5, None, None, None, ())),
    "phone is a number": (
        {"licenseId": 5, "messenger": [{"type": "max", "info": {"phone": 7}}]},
        License(5, None, None, None, (Messenger("max", None, "7"),)),
    ),
    "info is null": (
        {"licenseId": 5, "messenger": [{"type": "max", "info": None}]},
        License(5, None, None, None, (Messenger("max", None, None),)),
    ),
    "types that are none": (
        {"licenseId": 5, "messenger": [{"type": ""}, {"type": 5}, {}, None, "max"]},
        License(5, None, None, None, ()),
    ),
}


@pytest.mark.parametrize(("entry", "expected"), PARTS.values(), ids=PARTS)
def test_what_is_missing_or_odd(entry: dict[str, Any], expected: License | None) -> None:
    assert parse_licenses({"data": [entry]}) == ([expected] if expected else [])


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["data", "items", "licenseId", "messenger", "type", "info", "phone"])
            | st.text(),
            inner,
        )
    ),
    max_leaves=20,
)


@given(document=ANYTHING)
def test_no_answer_makes_it_fail(document: object) -> None:
    for each in parse_licenses(document):
        assert isinstance(each.id, int)
        assert all(each.types)
        explain_refusal([each], each.id, "telegram")


HALF = '{"licenseId":1,"licenseName":"a \\ud83d b","messenger":[{"type":"max","name":"\\ud83d"}]}'
DEEP = (
    '{"licenseId":1,"licenseName":'
    + "[" * 100_000
    + "]" * 100_000
    + ',"messenger":[{"type":"max"}]}'
)
DEEP_ENTRY = "[" * 100_000 + "]" * 100_000
DEEP_MESSENGER = (
    '{"licenseId":1,"messenger":[{"type":"max"},{"type":"x","info":'
    + "[" * 100_000
    + "]" * 100_000
    + "}]}"
)
OTHER = (
    '{"licenseId":2,"licenseName":"other, \\"with\\" [marks]","messenger":[{"type":"telegram"}]}'
)


@pytest.mark.parametrize(
    "shape", ['{"success":true,"data":[%s]}', ' {"data" : {"items": [ %s ]}} ']
)
@pytest.mark.parametrize(
    ("entry", "types"),
    [(HALF, ["max"]), (DEEP, ["max"]), (DEEP_ENTRY, None), (DEEP_MESSENGER, ["max", "x"])],
    ids=["half an emoji", "a deep name", "a deep entry", "a deep messenger"],
)
@pytest.mark.defect("A2.23a")
def test_what_cannot_be_read_hides_nothing_else(
    shape: str, entry: str, types: list[str] | None
) -> None:
    found = read_licenses(shape % f"{OTHER},{entry} , {OTHER}")
    others = [each for each in found if each.id == 2]
    assert [each.name for each in others] == ['other, "with" [marks]'] * 2
    assert [each.types for each in others] == [["telegram"]] * 2
    assert [each.types for each in found if each.id == 1] == ([types] if types else [])


def test_half_an_emoji_can_leave_the_program() -> None:
    (found,) = read_licenses(f'{{"data":[{HALF}]}}')
    assert (found.name, found.messengers[0].name) == ("a ? b", "?")


@pytest.mark.parametrize(
    "text", ["", "<html>", "{", '{"data":[{"licenseId":1}', "[" * 100_000, "5"]
)
def test_what_is_no_document_is_an_error(text: str) -> None:
    if text == "5":
        assert read_licenses(text) == []
        return
    with pytest.raises(ValueError, match=r"\S"):
        read_licenses(text)


@given(text=st.text() | st.text('{}[]",:\\ud83data' + "licenseId1"))
def test_no_text_makes_it_fail(text: str) -> None:
    with suppress(ValueError):
        assert all(isinstance(each.id, int) for each in read_licenses(text))


# --- refusals


ACCOUNT = [
    license_of(1229, "telegram", "telegramBot", "grWhatsApp"),
    license_of(1230, "caWhatsApp"),
    license_of(1402),
]


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("whatsapp", "grWhatsApp"),
        ("gr-whatsapp", "grWhatsApp"),
        ("Telegram", "telegram"),
        ("telegrambot", "telegramBot"),
    ],
)
def test_the_closest_type_comes_first(asked: str, first: str) -> None:
    said = explain_refusal(ACCOUNT, 1229, asked)
    assert f"1229 has: {first}, " in said
    assert said.endswith(f"you asked for {asked}")


@pytest.mark.parametrize(("asked", "first"), [(1292, "1229"), (1320, "1230"), (402, "1402")])
def test_the_closest_licence_comes_first(asked: int, first: str) -> None:
    said = explain_refusal(ACCOUNT, asked, "telegram")
    assert f"no licence {asked}; it has: {first}, " in said


def test_a_licence_without_messengers() -> None:
    assert "1402 has: none" in explain_refusal(ACCOUNT, 1402, "telegram")


def test_an_account_without_licences() -> None:
    assert explain_refusal([], 1, "telegram").endswith("it has: none")


def test_many_are_cut() -> None:
    many = [license_of(number, "telegram") for number in range(1000, 1020)]
    said = explain_refusal(many, 9, "telegram")
    assert said.count(",") == 7
    assert said.endswith("and more")
    types = license_of(1, *(f"kind{number}" for number in range(20)))
    assert "and more; you asked for" in explain_refusal([types], 1, "telegram")


@pytest.mark.parametrize(("number", "kind"), [(None, None), (None, "max"), (1229, None)])
def test_what_is_no_line_is_not_explained(number: int | None, kind: str | None) -> None:
    assert explain_refusal(ACCOUNT, number, kind) == ""


def test_a_line_that_is_there_is_not_explained() -> None:
    assert explain_refusal(ACCOUNT, 1229, "telegram") == ""


def test_numbers_too_large_for_json_readers_are_kept() -> None:
    document = msgspec.json.decode(b'{"data":[{"licenseId":18446744073709551615}]}')
    assert [each.id for each in parse_licenses(document)] == [18446744073709551615]
