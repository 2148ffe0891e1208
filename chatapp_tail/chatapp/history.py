"""What ChatApp keeps of a line: the messages of its chats, read back to fill a gap.

The protocol has no history. The API has one, of messages and nothing else, and no question such as
"what is new since": the chats are listed, newest first, as far back as they moved, and each of them
is read. Where nothing says how it is meant, the careful way is taken: a `lastTime` may leave out
the second it names or not, so one second more is asked for, and what comes twice is dropped.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from heapq import merge
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Raw

from .. import rawjson
from ..daemons import Daemons
from ..errors import ApiError, ChatAppTailError
from .http import Reply
from .pace import Pace

PAGE = 100
"""Items a page; to more the service answers 422."""

_AT_ONCE = 4
_PATIENCE = 600.0
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_RETRY_AFTER_MAX = 300.0
_UNREADABLE = (msgspec.DecodeError, RecursionError)

T = TypeVar("T")

Ask = Callable[[str, Mapping[str, str]], Reply]
"""(path, query) -> the answer, as `Api.ask` gives it."""


class Line(NamedTuple):
    """One messenger of one licence."""

    license: int
    messenger: str


@dataclass(frozen=True, slots=True)
class Span:
    """Which messages of a line to read: those whose own time is in `since` to `until`.

    Both are included and in whole seconds since the epoch, as the messages' own times are.
    """

    line: Line
    since: int
    until: int


class Message(NamedTuple):
    """One message: `item` is its JSON as it came, `time` in seconds since the epoch.

    `number` is its id where that is a number, to order what was sent in the same second.
    """

    time: int
    number: int
    line: Line
    item: bytes


Failed = Callable[[Line, str], None]
"""Told why some of a line cannot be read."""


class History:
    """Reads several lines at once, a few requests under way, at a polite pace.

    Whoever reads waits, in a thread of its own: what fails in passing is asked again for up to ten
    minutes. `chats`, `chats_read` and `found` tell others how far it is,
    `trouble` what came back where it has to ask again.
    """

    def __init__(self, ask: Ask, pace: Pace) -> None:
        self.found = 0
        self.trouble: str | None = None
        self._first_pages: list[Future[tuple[list[bytes], str]]] = []
        self._ask = ask
        self._pace = pace
        self._daemons = Daemons("chatapp-tail-history", _AT_ONCE)

    @property
    def chats(self) -> int:
        """How many chats there are to read, as far as that is known."""
        return len(self._first_pages)

    @property
    def chats_read(self) -> int:
        """How many of them have been begun."""
        return sum(page.done() for page in self._first_pages)

    @property
    def requests(self) -> int:
        """How many requests were made so far."""
        return self._pace.begun

    def messages(self, spans: Sequence[Span], failed: Failed) -> Iterator[Message]:
        """Yield the messages of all spans in the order of their time.

        What can be read is, also when something else of the same line cannot.
        """
        self._first_pages, self.found, self.trouble = [], 0, None
        listings = [self._call(partial(self._moved_chats, span, failed)) for span in spans]
        chats: list[Iterator[Message]] = []
        for span, listing in zip(spans, listings, strict=True):
            try:
                names = listing.result()
            except ChatAppTailError as error:
                failed(span.line, str(error))
                continue
            # Should `lastTime` leave out its own second, that of `since` must still be in.
            first = {"direction": "next", "lastTime": str(span.since - 1)}
            pages = [self._ask_messages(span.line, name, first) for name in names]
            self._first_pages += pages
            chats += [self._chat(span, *each, failed) for each in zip(names, pages, strict=True)]
        for message in merge(*chats, key=_place):
            self.found += 1
            yield message

    # The messages of one chat.

    def _ask_messages(
        self, line: Line, chat: str, start: Mapping[str, str]
    ) -> "Future[tuple[list[bytes], str]]":
        path = f"{_path(line)}/{quote(chat, safe='')}/messages"
        query = {"limit": str(PAGE), "includeSystemMessages": "1", **start}
        return self._call(partial(self._page, path, query))

    def _chat(
        self, span: Span, chat: str, page: "Future[tuple[list[bytes], str]]", failed: Failed
    ) -> Iterator[Message]:
        """Yield the messages of a chat, oldest first; the next page is asked for ahead."""
        latest, following = span.since, "first"
        while following:
            try:
                items, following = page.result()
            except ChatAppTailError as error:
                failed(span.line, str(error))
                break
            found = [_message(span.line, item, latest) for item in items]
            latest = max((each.time for each in found), default=span.until + 1)
            if latest > span.until:
                following = ""
            if following:
                page = self._ask_messages(span.line, chat, {"nextPage": following})
            wanted = [each for each in found if span.since <= each.time <= span.until]
            yield from sorted(wanted, key=_place)

    # The chats of one line.

    def _moved_chats(self, span: Span, failed: Failed) -> list[str]:
        """Return the chats in which something happened since, those that moved last first."""
        found: dict[str, None] = {}
        # A chat that moves while the list is read jumps from a page to come to one gone by.
        while self._list_chats(span, found, failed) > 1:
            continue
        return list(found)

    def _list_chats(self, span: Span, found: dict[str, None], failed: Failed) -> int:
        """Add chats, page by page until one has nothing new; return how many had."""
        pages, query = 0, {"limit": str(PAGE)}
        while True:
            items, _ = self._page(_path(span.line), query)
            moved = [each for each in map(_chat_of, items) if each.last_time >= span.since]
            new = dict.fromkeys(each.id for each in moved if each.id not in found)
            found.update(new)
            pages += bool(new)
            if len(moved) < PAGE:
                return pages
            # Several chats may have moved in the second in which the page ends.
            second = moved[-1].last_time
            stuck = query.get("lastTime") == str(second + 1)
            if stuck:
                failed(span.line, f"over {PAGE} chats moved in one second, too many to list")
            elif not new:
                return pages
            query["lastTime"] = str(second if stuck else second + 1)

    # Requests.

    def _call(self, work: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        self._daemons.call(partial(_settle, future, work))
        return future

    def _page(self, path: str, query: Mapping[str, str]) -> tuple[list[bytes], str]:
        """Return the items of a page and its `nextPage`, however often it has to be asked for.

        ApiError or CredentialsError when it cannot be had.
        """
        gives_up = time.monotonic() + _PATIENCE
        wait = _FIRST_WAIT
        while True:
            self._pace.wait()
            try:
                reply = self._ask(path, query)
            except ApiError as error:
                failure = error
            else:
                if not reply.passing:
                    self.trouble = None
                    return _read_page(reply)
                failure = ApiError(reply.said)
                self._pace.pause(min(reply.retry_after or 0.0, _RETRY_AFTER_MAX))
            self.trouble = str(failure)
            if time.monotonic() + wait > gives_up:
                raise failure
            time.sleep(random.uniform(wait / 2, wait))
            wait = min(wait * 2, _LONGEST_WAIT)


def _settle(future: "Future[T]", work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)


def _path(line: Line) -> str:
    return f"/v1/licenses/{line.license}/messengers/{line.messenger}/chats"


def _place(message: Message) -> tuple[int, int]:
    return message.time, message.number


# What answers hold.


class _Items(msgspec.Struct, gc=False):
    items: list[Raw]
    following: object = msgspec.field(default=None, name="nextPage")


class _Page(msgspec.Struct, gc=False):
    data: _Items | list[Raw]


class _Chat(msgspec.Struct, gc=False):
    id: int | str
    last_time: int | float | str = msgspec.field(name="lastTime")


class _Stamp(msgspec.Struct, gc=False):
    id: object = None
    time: object = None


class Chat(NamedTuple):
    """A chat of a list; `last_time` in seconds since the epoch."""

    id: str
    last_time: int


_decode_page = msgspec.json.Decoder(_Page).decode
_decode_chat = msgspec.json.Decoder(_Chat).decode
_decode_stamp = msgspec.json.Decoder(_Stamp).decode


def _read_page(reply: Reply) -> tuple[list[bytes], str]:
    if not reply.ok:
        raise ApiError(reply.said)
    try:
        data = _decode_page(reply.content).data
    except _UNREADABLE:
        return _read_unusual_page(reply)
    if isinstance(data, list):
        return [bytes(item) for item in data], ""
    following = data.following if isinstance(data.following, str) else ""
    return [bytes(item) for item in data.items], following


def _read_unusual_page(reply: Reply) -> tuple[list[bytes], str]:
    """Read what msgspec refuses: half of a surrogate pair in a message."""
    try:
        data = rawjson.members(rawjson.members(reply.content.decode())["data"])
        items = [item.encode() for item in rawjson.elements(data["items"])]
        return items, rawjson.string(data.get("nextPage")) or ""
    except (ValueError, KeyError) as error:
        raise ApiError(f"{reply.said} without a list of items") from error


def _chat_of(item: bytes) -> Chat:
    try:
        chat = _decode_chat(item)
        return Chat(str(chat.id), int(float(chat.last_time)))
    except (*_UNREADABLE, ValueError, OverflowError) as error:
        raise ApiError("the list of chats has one without id or lastTime") from error


def _message(line: Line, item: bytes, latest: int) -> Message:
    """Return a message; one without a time of its own is as old as the one before it."""
    try:
        stamp = _decode_stamp(item)
    except _UNREADABLE:
        stamp = _unusual_stamp(item)
    moment = int(stamp.time) if isinstance(stamp.time, int | float) else latest
    number = stamp.id if isinstance(stamp.id, int) else 0
    return Message(moment, number, line, item)


def _unusual_stamp(item: bytes) -> _Stamp:
    try:
        members = rawjson.members(item.decode())
        return _Stamp(int(members.get("id", "0")), int(members["time"]))
    except (ValueError, KeyError):
        return _Stamp()
