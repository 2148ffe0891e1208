"""`-f TEMPLATE`: one line per record, from named fields, compiled once.

    {time} {arrow} {chat.name:<20} {text:.40}

A field is one of `NAMES`, with an alignment, a width and a precision as Python's format has them,
and nothing else: no attribute, index or conversion is ever looked up. `{{` and `}}` are braces,
`\\t`, `\\n` and `\\\\` a tab, a newline and a backslash. One record stays one line: newlines,
carriage returns and tabs within a field are shown as `\\n`, `\\r` and `\\t`.
"""

import re
from collections.abc import Callable, Sequence

from ..chatapp.records import DecodedEvent, Record, Source
from ..errors import error_at, suggest
from ..escape import escape_line
from .fields import FIELDS, RECORD_FIELDS, parse_item
from .times import Clock

NAMES = ("time", *FIELDS)
"""All fields; `time` is the time of receipt in the style of `--time`."""

_Part = Callable[[Record, object, str], str]
"""(record, its item, its time) -> a part of the line."""

_SAMPLE = Record(
    event="message",
    id="message:1229:telegram:private-1480000001h1360000000000000001:696",
    channel="private-v1.licenses.1229.messengers.telegram",
    license=1229,
    messenger="telegram",
    received=0,
    source=Source.LIVE,
    queue=None,
    part=1,
    parts=1,
    data=b'{"id":696,"message":{"text":"Test"}}',
)

_LARGEST = 9999
_token = re.compile(r"\{\{|\}\}|\\[tn\\]|\{(?P<name>[^{}:]*)(?::(?P<layout>[^{}]*))?\}|[{}]")
_LITERALS = {"{{": "{", "}}": "}", "\\t": "\t", "\\n": "\n", "\\\\": "\\"}
_is_layout = re.compile(r"(?:.?[<>^])?(?:[1-9][0-9]{0,3})?(?:\.[0-9]{1,4})?", re.DOTALL).fullmatch


class Template:
    """Formats records by a template; UsageError shows what is wrong with it.

    With `escape` fields are made safe for a terminal; the text of the template itself, with its
    colours, is not changed. Characters that `encoding` lacks are written as backslash escapes.
    """

    def __init__(
        self, template: str, clock: Clock, *, escape: bool, encoding: str = "utf-8"
    ) -> None:
        names, self._parts = _compile(template, escape_line if escape else _on_one_line)
        self._clock: Clock = clock if "time" in names else _no_time
        self._read = parse_item if names - RECORD_FIELDS.keys() - {"time"} else _no_item
        self._encoding = encoding
        self._render(_SAMPLE, "00:00:00")

    def __call__(self, _: DecodedEvent, kept: Sequence[Record]) -> list[bytes]:
        """Return one line per record."""
        return [self._render(record, self._clock(record.received)) for record in kept]

    def _render(self, record: Record, time: str) -> bytes:
        item = self._read(record.data)
        line = "".join([part(record, item, time) for part in self._parts])
        return f"{line}\n".encode(self._encoding, "backslashreplace")


def _no_time(_: int) -> str:
    return ""


def _no_item(_: bytes) -> object:
    return None


Clean = Callable[[str], str]


def _compile(template: str, clean: Clean) -> tuple[set[str], list[_Part]]:
    names: set[str] = set()
    parts: list[_Part] = []
    text = ""
    end = 0
    for token in _token.finditer(template):
        text += template[end : token.start()]
        end = token.end()
        if token["name"] is None:
            text += _literal(template, token)
            continue
        names.add(token["name"])
        parts += [*_constant(text), _field(template, token, clean)]
        text = ""
    parts += _constant(text + template[end:])
    if not names:
        why = "it names no field, such as {text}; a format by its name, such as json, is for -o"
        raise error_at("--format", why, template, 0)
    return names, parts


def _literal(template: str, token: re.Match[str]) -> str:
    if token[0] not in _LITERALS:
        why = f"a single {token[0]}; fields are written as {{text}}, braces doubled"
        raise error_at("--format", why, template, token.start())
    return _LITERALS[token[0]]


def _constant(text: str) -> list[_Part]:
    return [lambda *_: text] if text else []


def _field(template: str, token: re.Match[str], clean: Clean) -> _Part:
    name, layout = token["name"], token["layout"] or ""
    if name not in NAMES:
        raise error_at("--format", _unknown(name), template, token.start("name"))
    if not _is_layout(layout):
        why = f"not an alignment (<, >, ^), a width and a precision, such as <20 or .{_LARGEST}"
        raise error_at("--format", why, template, token.start("layout"))
    if name == "time":
        return lambda _record, _item, time: format(time, layout)
    # JSON is on one line already, and an escape would make it another value.
    say, clean = FIELDS[name], str if name == "data" and clean is _on_one_line else clean
    if not layout:
        return lambda record, item, _: clean(say(record, item))
    return lambda record, item, _: format(clean(say(record, item)), layout)


def _unknown(name: str) -> str:
    if close := suggest(name, NAMES):
        return f"there is no field {name!r}; did you mean {close}?"
    return f"there is no field {name!r}; there are {', '.join(NAMES)}"


_BREAKS = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_a_break = re.compile("[\n\r\t]")


def _on_one_line(value: str) -> str:
    return _a_break.sub(lambda found: _BREAKS[found[0]], value)
