"""What the answers of ChatApp's history hold: pages, chats and messages, however odd they are."""

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
"""Items per page; to more the service answers 422."""

_NEVER = 2**33
"""Seconds since the epoch that no message's time reaches: it must be in milliseconds, or odd."""

_LARGEST = 2**63 - 1


class Line(NamedTuple):
    """One messenger of one licence."""

    license: int
    messenger: str


class Page(NamedTuple):
    """One page: its items as JSON, and the cursor of the next page, empty where none is named.

    `ended` when the answer says that none follows (null), and not merely nothing about it.
    """

    items: list[bytes]
    following: str
    ended: bool


class Chat(NamedTuple):
    """A chat of a list: `name` is its id as it stands in a URL's path, empty where it has none.

    `last_time` is in seconds since the epoch, None where it cannot be read.
    """

    name: str
    last_time: int | None


class Message(NamedTuple):
    """One message: `item` is its JSON as it came, `time` in seconds since the epoch.

    `number` is its id where that is a number, to order what was sent in the same second.
    """

    time: int
    number: int
    line: Line
    item: bytes


class Item(NamedTuple):
    """A message as a page has it: `key` tells it from others of its chat, `time` may be None."""

    key: bytes
    time: int | None
    number: int
    item: bytes


class _Items(msgspec.Struct, gc=False):
    items: list[Raw]
    following: object = msgspec.field(default=msgspec.UNSET, name="nextPage")


class _Page(msgspec.Struct, gc=False):
    data: _Items | list[Raw]


class _Known(msgspec.Struct, gc=False):
    """What a chat or a message is known by; each has the one or the other time."""

    id: object = None
    internal_id: object = msgspec.field(default=None, name="internalId")
    last_time: object = msgspec.field(default=None, name="lastTime")
    time: object = None


_decode_page = msgspec.json.Decoder(_Page).decode
_decode_known = msgspec.json.Decoder(_Known).decode


def read_page(reply: Response) -> Page:
    """Return the page in an answer; ApiError if it has no list of items."""
    # What is not UTF-8 must not reach stdout, and msgspec does not look into all of it.
    text = reply.content.decode("utf-8", "replace")
    try:
        data = _decode_page(text.encode()).data
    except raw_json.REFUSED:
        return _read_unusual_page(reply.said, text)
    if isinstance(data, list):
        return _page([bytes(item) for item in data], msgspec.UNSET)
    return _page([bytes(item) for item in data.items], data.following)


def _read_unusual_page(said: str, content: str) -> Page:
    """Read what msgspec refuses: half of a surrogate pair in a message."""
    try:
        data = raw_json.members(raw_json.members(content)["data"])
        items = [item.encode() for item in raw_json.elements(data["items"])]
        following = json.loads(data["nextPage"]) if "nextPage" in data else msgspec.UNSET
    except (ValueError, KeyError, RecursionError) as error:
        raise ApiError(f"{said} without a list of items") from error
    return _page(items, following)


def _page(items: list[bytes], following: object) -> Page:
    """Return a page; a cursor of a kind that no query can carry says as little as none."""
    if isinstance(following, str | int) and not isinstance(following, bool):
        cursor = raw_json.printable(str(following))
        return Page(items, cursor, not cursor)
    return Page(items, "", following is None)


def read_chat(item: bytes) -> Chat:
    """Return a chat of a list of chats."""
    chat = _known(item)
    text = _text(chat.id)
    # Half a surrogate pair has no form in a URL; what comes of it the answer will tell.
    return Chat(quote(text, safe="", errors="surrogatepass"), read_seconds(chat.last_time))


def read_message(item: bytes) -> Item:
    """Return a message of a page."""
    message = _known(item)
    name = _text(message.id) or _text(message.internal_id)
    key = name.encode("utf-8", "surrogatepass") or blake2b(item, digest_size=16).digest()
    number = message.id if isinstance(message.id, int) else 0
    return Item(key, read_seconds(message.time), max(-_LARGEST, min(number, _LARGEST)), item)


def read_seconds(moment: object) -> int | None:
    """Return whole seconds since the epoch, None for what cannot be meant as such."""
    if isinstance(moment, bool) or not isinstance(moment, int | float | str):
        return None
    try:
        seconds = int(float(moment))
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < _NEVER else None


def _text(name: object) -> str:
    """Return an id as text, empty if it is none."""
    return str(name) if isinstance(name, str | int) and not isinstance(name, bool) else ""


def _known(item: bytes) -> _Known:
    """Return what is known of an item; nothing of one that is no object."""
    try:
        return _decode_known(item)
    except (*raw_json.REFUSED, UnicodeDecodeError):
        try:
            members = raw_json.members(item.decode())
            values = (members.get(name) for name in ("id", "internalId", "lastTime", "time"))
            return _Known(*map(_value, values))
        except (ValueError, RecursionError):
            return _Known()


def _value(text: str | None) -> object:
    """Return a number or a string; rawjson tells that it is JSON."""
    return None if text is None else json.loads(text, parse_int=_short_int)


def _short_int(text: str) -> int:
    return int(text) if len(text) < 20 else 0
