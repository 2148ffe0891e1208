"""JSON text cut into the exact text of its parts."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail import raw_json

SPACES = st.sampled_from(("", " ", "\n", "\t", "\r\n", " \n "))
ODD_VALUES = (
    "1.10",
    "-0",
    "1e400",
    "-1E-400",
    "123456789012345678901234567890",
    '{"b":1, "a":2,"b":3}',
    r'"\ud800 \u0041 \/"',
    '"é\u2028"',
    "[ ]",
)
values = st.sampled_from(ODD_VALUES) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
).map(json.dumps)


@given(st.lists(values, max_size=6), st.data())
def test_elements_are_the_exact_text(parts: list[str], data: st.DataObject) -> None:
    spaced = [data.draw(SPACES) + part + data.draw(SPACES) for part in parts]
    text = data.draw(SPACES) + "[" + ",".join(spaced) + "]" + data.draw(SPACES)
    assert raw_json.elements(text) == parts
    raw_json.validate(text)


@given(st.dictionaries(st.text(max_size=6), values, max_size=6), st.data())
def test_members_are_the_exact_text(parts: dict[str, str], data: st.DataObject) -> None:
    spaced = [
        f"{data.draw(SPACES)}{json.dumps(key)}{data.draw(SPACES)}:{data.draw(SPACES)}{value}"
        for key, value in parts.items()
    ]
    text = "{" + ",".join(spaced) + data.draw(SPACES) + "}"
    assert raw_json.members(text) == parts
    assert list(raw_json.members(text)) == list(parts)
    raw_json.validate(text)


def test_of_members_named_twice_the_last_counts() -> None:
    assert raw_json.members('{"a":1,"a":2}') == {"a": "2"}


def test_empty_containers() -> None:
    assert raw_json.members(" { } ") == {}
    assert raw_json.elements(" [ ] ") == []


NO_JSON = ["", " ", "{", "}", "[", "]", "nul", "01", "1.", ".5", "+1", "-", "0x1", "'a'", '"a']
NO_JSON += ["NaN", "Infinity", "-Infinity", "[1,]", "[,]", '{"a":1,}', '{"a"}', "{a:1}", '{"a" 1}']
NO_JSON += ['"\\q"', '"\\u12"', '"a\nb"', '"a\x00"', "1 2", "[1]]", '{"a":1}}', "[1 2]", "[NaN]"]
NO_JSON += ["\ufeff1", "\xa01", "//", "tru", "True", '{"a":NaN}', "{1:2}", '{"a":1 "b":2}']


@pytest.mark.parametrize("text", NO_JSON)
@pytest.mark.parametrize("read", [raw_json.validate, raw_json.members, raw_json.elements])
def test_what_is_not_json_is_refused(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read(text)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *((raw_json.members, text) for text in ("1", '"x"', "null", "[]")),
        *((raw_json.elements, text) for text in ("1", '"x"', "null", "{}")),
    ],
)
def test_parts_of_something_else(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        read(text)


@pytest.mark.parametrize("depth", [2_000, 100_000])
@pytest.mark.parametrize("read", [raw_json.validate, raw_json.members, raw_json.elements])
def test_nesting_without_end_is_refused(read: Callable[[str], object], depth: int) -> None:
    inside = "[" * depth + "]" * depth
    text = f'{{"a":{inside}}}' if read is raw_json.members else f"[{inside}]"
    with pytest.raises(ValueError, match="nested"):
        read(text)


@given(st.text(max_size=40) | st.text('[]{}",:1eN\\u \n', max_size=30))
def test_any_text_is_read_or_refused_with_a_value_error(text: str) -> None:
    try:
        json.loads(text, parse_constant=lambda _: json.loads("refused"))
    except ValueError:
        with pytest.raises(ValueError, match=r"\S"):
            raw_json.validate(text)
    else:
        raw_json.validate(text)
    for read in (raw_json.members, raw_json.elements):
        try:
            read(text)
        except ValueError:
            continue


@pytest.mark.parametrize("number", ["1" * 5_000, "-" + "9" * 10_000], ids=["5000", "10000"])
def test_a_number_may_have_any_number_of_digits(number: str) -> None:
    raw_json.validate(number)
    assert raw_json.elements(f"[{number}]") == [number]
    assert raw_json.members(f'{{"a":{number}}}') == {"a": number}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"a"', "a"),
        ('""', ""),
        (r'"\u00e9\n"', "é\n"),
        (r'"\ud83d\ude00"', "😀"),
        (r'"a\ud800b"', "a?b"),
        ("5", None),
        ("null", None),
        ('["a"]', None),
        (None, None),
    ],
)
def test_string(text: str | None, expected: str | None) -> None:
    assert raw_json.string(text) == expected
