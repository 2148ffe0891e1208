"""Parses paginated responses of ChatApp's history: chats and messages, however malformed."""

import json
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Raw

from .. import raw_json
from ..chatapp.http import Response
from ..errors import ApiError

PAGE = 100
"""Items per page; the service answers 422 to a larger limit."""

_MAX_EPOCH_SECONDS = 2**33
"""Upper bound of a time in seconds since the epoch; a larger one is in milliseconds, or invalid."""

_MAX_INT64 = 2**63 - 1


class MessengerRef(NamedTuple):
    """One messenger of one licence."""

    license: int
    messenger: str


class Page(NamedTuple):
    """One page: its items as JSON, and the cursor of the next page, empty where none is named.

    `ended` when the response says that no page follows (null), rather than nothing about it.
    """

    items: list[bytes]
    next_page: str
    ended: bool


class Chat(NamedTuple):
    """A chat of a list: `name` is its id as in the path of a URL, empty where it has none.

    `last_time` is in seconds since the epoch, None where it cannot be read.
    """

    name: str
    last_time: int | None


class Message(NamedTuple):
    """One message: `item` is its JSON as it came, `time` in seconds since the epoch.

    `number` is its id where that is a number: the order of messages of the same second.
    """

    time: int
    number: int
    ref: MessengerRef
    item: bytes


class Item(NamedTuple):
    """A message of a page: `key` is unique within its chat, `time` may be None."""

    key: bytes
    time: int | None
    number: int
    item: bytes


class _Items(msgspec.Struct, gc=False):
    items: list[Raw]
    next_page: object = msgspec.field(default=msgspec.UNSET, name="nextPage")


class _Page(msgspec.Struct, gc=False):
    data: _Items | list[Raw]


class _Identity(msgspec.Struct, gc=False):
    """The members that identify a chat (`last_time`) or a message (`time`)."""

    id: object = None
    internal_id: object = msgspec.field(default=None, name="internalId")
    last_time: object = msgspec.field(default=None, name="lastTime")
    time: object = None


_decode_page = msgspec.json.Decoder(_Page).decode
_decode_identity = msgspec.json.Decoder(_Identity).decode


def read_page(reply: Response) -> Page:
    """Return the page in a response; ApiError if it has no list of items."""
    # Invalid UTF-8 must not reach stdout, and msgspec does not validate all of it.
    text = reply.content.decode("utf-8", "replace")
    try:
        data = _decode_page(text.encode()).data
    except raw_json.DECODE_ERRORS:
        return _read_unusual_page(reply.summary, text)
    if isinstance(data, list):
        return _page([bytes(item) for item in data], msgspec.UNSET)
    return _page([bytes(item) for item in data.items], data.next_page)


def _read_unusual_page(summary: str, content: str) -> Page:
    """Read what msgspec refuses: half of a surrogate pair in a message."""
    try:
        data = raw_json.members(raw_json.members(content)["data"])
        items = [item.encode() for item in raw_json.elements(data["items"])]
        next_page = json.loads(data["nextPage"]) if "nextPage" in data else msgspec.UNSET
    except (ValueError, KeyError, RecursionError) as error:
        raise ApiError(f"{summary} without a list of items") from error
    return _page(items, next_page)


def _page(items: list[bytes], next_page: object) -> Page:
    """Return a page; a cursor of a type that no query can carry counts as none."""
    if isinstance(next_page, str | int) and not isinstance(next_page, bool):
        cursor = raw_json.replace_surrogates(str(next_page))
        return Page(items, cursor, not cursor)
    return Page(items, "", next_page is None)


def read_chat(item: bytes) -> Chat:
    """Return a chat of a list of chats."""
    chat = _identity(item)
    text = _text(chat.id)
    # A lone surrogate has no form in a URL; the service will answer with an error.
    return Chat(quote(text, safe="", errors="surrogatepass"), read_seconds(chat.last_time))


def read_message(item: bytes) -> Item:
    """Return a message of a page."""
    message = _identity(item)
    name = _text(message.id) or _text(message.internal_id)
    key = name.encode("utf-8", "surrogatepass") or blake2b(item, digest_size=16).digest()
    number = message.id if isinstance(message.id, int) else 0
    return Item(key, read_seconds(message.time), max(-_MAX_INT64, min(number, _MAX_INT64)), item)


def read_seconds(moment: object) -> int | None:
    """Return whole seconds since the epoch, None for a value that cannot be a time."""
    if isinstance(moment, bool) or not isinstance(moment, int | float | str):
        return None
    try:
        seconds = int(float(moment))
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < _MAX_EPOCH_SECONDS else None


def _text(name: object) -> str:
    """Return an id as text, empty if it is none."""
    return str(name) if isinstance(name, str | int) and not isinstance(name, bool) else ""


def _identity(item: bytes) -> _Identity:
    """Return what identifies an item; nothing if it is not an object."""
    try:
        return _decode_identity(item)
    except (*raw_json.DECODE_ERRORS, UnicodeDecodeError):
        try:
            members = raw_json.members(item.decode())
            values = (members.get(name) for name in ("id", "internalId", "lastTime", "time"))
            return _Identity(*map(_value, values))
        except (ValueError, RecursionError):
            return _Identity()


def _value(text: str | None) -> object:
    """Return a number or a string; `raw_json` has checked that it is JSON."""
    return None if text is None else json.loads(text, parse_int=_short_int)


def _short_int(text: str) -> int:
    return int(text) if len(text) < 20 else 0
