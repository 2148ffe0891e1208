"""Splits JSON text into the exact text of its parts, where msgspec refuses it.

msgspec is faster and handles nearly everything; it refuses escapes of lone surrogates
(`"\\ud800"`), which RFC 8259 allows and phones do send. The standard library reads them, and its
scanner tells where each value ends. `NaN` and `Infinity` are not JSON and are refused here too.
"""

import json
import re
from collections.abc import Iterator
from typing import NoReturn

import msgspec

DECODE_ERRORS = (msgspec.DecodeError, RecursionError)
"""The exceptions of msgspec for JSON that it refuses."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Numbers are kept as text: they may have more digits than Python converts.
_scan = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant).raw_decode
_space = re.compile(r"[ \t\n\r]*").match


def _after_space(text: str, start: int) -> int:
    space = _space(text, start)
    assert space is not None
    return space.end()


def _value(text: str, start: int) -> tuple[str, int]:
    """Return the text of the value at `start` and the offset of what follows it."""
    start = _after_space(text, start)
    try:
        _, end = _scan(text, start)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return text[start:end], _after_space(text, end)


def _parts(text: str, opening: str, closing: str) -> list[tuple[str, str]]:
    """Return (key, value text) of each member, or ("", value text) of each element."""
    at = _after_space(text, 0)
    if text[at : at + 1] != opening:
        raise ValueError(f"expected {opening}")
    at = _after_space(text, at + 1)
    parts: list[tuple[str, str]] = []
    if text[at : at + 1] == closing:
        return _whole(parts, text, at)
    while True:
        key = ""
        if opening == "{":
            if text[at : at + 1] != '"':
                raise ValueError("expected a member name")
            key, at = _scan(text, at)
            at = _after_space(text, at)
            if text[at : at + 1] != ":":
                raise ValueError("expected a colon")
            at += 1
        value, at = _value(text, at)
        parts.append((key, value))
        if text[at : at + 1] == closing:
            return _whole(parts, text, at)
        if text[at : at + 1] != ",":
            raise ValueError("expected a comma")
        at = _after_space(text, at + 1)


def _whole(parts: list[tuple[str, str]], text: str, closing_at: int) -> list[tuple[str, str]]:
    if _after_space(text, closing_at + 1) != len(text):
        raise ValueError("more text after the end")
    return parts


def members(text: str) -> dict[str, str]:
    """Return the members of a JSON object as in `text`; ValueError if it is not an object."""
    return dict(_parts(text, "{", "}"))


def elements(text: str) -> list[str]:
    """Return the elements of a JSON array as in `text`; ValueError if it is not an array."""
    return [value for _, value in _parts(text, "[", "]")]


_tokens = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]', re.DOTALL).finditer


def pieces(text: str, opening: str) -> dict[str, str]:
    """Return the values of an object by name, or of an array by position, however deep they nest.

    They are split at commas and colons, and not validated. ValueError when `text` does not
    begin with `opening` or has no end.
    """
    if not text.startswith(opening):
        raise ValueError(f"expected {opening}")
    values: dict[str, str] = {}
    name, start = "", 1
    for mark, at in _separators(text):
        if mark == ":":
            name, start = string(text[start:at].strip()) or "", at + 1
            continue
        if piece := text[start:at].strip():
            values[name or str(len(values))] = piece
        name, start = "", at + 1
        if mark != ",":
            return values
    raise ValueError("no end")


def _separators(text: str) -> Iterator[tuple[str, int]]:
    """Yield the separators within the outermost value, and its end, with their offsets."""
    depth = 0
    for token in _tokens(text):
        mark = token[0]
        if mark in ("[", "{"):
            depth += 1
        elif mark in ("]", "}"):
            depth -= 1
            if depth == 0:
                yield mark, token.start()
                return
        elif depth == 1 and mark in (",", ":"):
            yield mark, token.start()


def validate(text: str) -> None:
    """Raise ValueError unless `text` is one JSON value."""
    _, end = _value(text, 0)
    if end != len(text):
        raise ValueError("more text after the end")


def string(text: str | None) -> str | None:
    """Return the JSON string in `text` without lone surrogates, None for another value or none."""
    if text is None or not text.startswith('"'):
        return None
    value: str = json.loads(text)
    return replace_surrogates(value)


def replace_surrogates(text: str) -> str:
    """Return a text that can be encoded: lone surrogates become question marks."""
    return text.encode("utf-8", "replace").decode()
