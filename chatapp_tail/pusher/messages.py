"""The JSON of one Pusher event: name, channel and data out, whatever a server sends.

Pusher's protocol encodes the data of channel events, a JSON document, as a JSON string; some
servers send it as a plain value, or omit it. Here it is always the document itself. JSON that
msgspec refuses is decoded in a slower way.
"""

import json
import re

import msgspec

from .. import raw_json

PusherEvent = tuple[str, str | None, bytes | None]
"""Its name, its channel (None if it has none), and the document in `data` (None if absent)."""


class MalformedMessage(Exception):
    """A message is not an event; the text says what it is."""


class _StringData(msgspec.Struct, gc=False):
    event: str
    data: str
    channel: str | None = None


class _RawData(msgspec.Struct, gc=False):
    event: str
    channel: str | None = None
    data: msgspec.Raw = msgspec.Raw()  # empty when absent: no JSON value is


_decode_string_data = msgspec.json.Decoder(_StringData).decode
_decode_raw_data = msgspec.json.Decoder(_RawData).decode
_decode_string = msgspec.json.Decoder(str).decode
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def decode_event(text: bytes) -> PusherEvent:
    """Return the event in a text message of valid UTF-8; `MalformedMessage` if there is none."""
    try:
        usual = _decode_string_data(text)
    except raw_json.DECODE_ERRORS:
        return _decode_slow(text)
    return usual.event, usual.channel, usual.data.encode()


def _decode_slow(text: bytes) -> PusherEvent:
    try:
        plain = _decode_raw_data(text)
    except raw_json.DECODE_ERRORS:
        return _decode_by_parts(text)
    data = bytes(plain.data)
    return plain.event, plain.channel, _document_of(data) if data else None


def _decode_by_parts(text: bytes) -> PusherEvent:
    """Decode what msgspec refuses: lone surrogates are legal JSON, wrong member types are not."""
    try:
        members = raw_json.members(text.decode())
    except ValueError as error:
        raise MalformedMessage("a frame that is not a JSON object") from error
    event, channel = raw_json.string(members.get("event")), members.get("channel", "null")
    if event is None or channel[0] not in 'n"':
        raise MalformedMessage("a frame without a proper event or channel name")
    data = _document_of(members["data"].encode()) if "data" in members else None
    return event, raw_json.string(channel), data


def _document_of(value: bytes) -> bytes:
    """Return the content of a JSON string, and any other JSON value as it is."""
    if not value.startswith(b'"'):
        return value
    try:
        return _decode_string(value).encode()
    except raw_json.DECODE_ERRORS:
        return _with_lone_surrogates(json.loads(value))


def _with_lone_surrogates(text: str) -> bytes:
    """Return in UTF-8 a text with half of a surrogate pair, which is not a character.

    In a JSON document it remains an escape, which is legal there; in any other text it becomes a
    question mark.
    """
    document = _LONE_SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)
    try:
        raw_json.validate(document)
    except ValueError:
        return raw_json.replace_surrogates(text).encode()
    return document.encode()


def document(data: bytes | None) -> object:
    """Return the decoded data of a `pusher:` event; None if it is absent or not JSON."""
    try:
        # Not msgspec: it refuses lone surrogates and 1e400, which must not hide an error code.
        return None if data is None else json.loads(data.decode())
    except (ValueError, RecursionError):
        return None


def member(document: object, name: str) -> object:
    """Return a member of a value that may be an object; None if there is none."""
    return document.get(name) if isinstance(document, dict) else None


def error_code(document: object) -> int | None:
    """Return the code of an error; None if it has none in the range of close codes."""
    code = member(document, "code")
    if isinstance(code, bool) or not isinstance(code, int):
        return None
    return code if 0 <= code < 65536 else None


def text_of(value: object) -> str:
    """Return a printable text; an empty one for any other value."""
    return raw_json.replace_surrogates(value) if isinstance(value, str) else ""
