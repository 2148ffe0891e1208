"""What ChatApp keeps of a line: the messages of its chats, read back to fill a gap.

The protocol has no history. The API has one, of messages and nothing else, and no question such as
"what is new since": the chats are listed, newest first, as far back as they moved, and each of them
is read. Where nothing says how it is meant, the careful way is taken: a `lastTime` may leave out
the second it names or not, so one second more is asked for, and what comes twice is dropped.
"""

import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from heapq import merge
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Raw

from .. import rawjson
from ..daemons import Daemons
from ..errors import ApiError, ChatAppTailError
from ..retry_after import parse_http_date
from .http import Reply
from .pace import Pace

PAGE = 100
"""Items a page; to more the service answers 422."""

_AT_ONCE = 4
_PATIENCE = 600.0
_ALONE = 60.0
_CLOCKS_AGREE = 5
_NO_LIST = "without a list of items"
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_RETRY_AFTER_MAX = 300.0
_NEVER = 2**33
"""Seconds since the epoch that no message's time reaches: it must be in milliseconds, or odd."""

T = TypeVar("T")

Ask = Callable[[str, Mapping[str, str]], Reply]
"""(path, query) -> the answer, as `Api.ask` gives it."""


class Line(NamedTuple):
    """One messenger of one licence."""

    license: int
    messenger: str


class Span(msgspec.Struct, frozen=True):
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

    Whoever reads waits, in a thread of its own: what fails in passing is asked again, for a minute
    where other requests are answered, for ten where none is. `chats`, `chats_read` and `found` tell
    others how far it is, `trouble` what came back where it has to ask again.
    """

    def __init__(self, ask: Ask, pace: Pace) -> None:
        self.chats = self.found = 0
        self.trouble: str | None = None
        self._first_pages: deque[None] = deque()
        self._answered = 0.0
        self._ahead = 0
        self._ask = ask
        self._pace = pace
        self._daemons = Daemons("chatapp-tail-history", _AT_ONCE)

    @property
    def chats_read(self) -> int:
        """Of how many of them the first page is there, and mostly that is all of them."""
        return len(self._first_pages)

    @property
    def requests(self) -> int:
        """How many requests were made so far."""
        return self._pace.begun

    def messages(self, spans: Sequence[Span], failed: Failed) -> Iterator[Message]:
        """Yield the messages of all spans in the order of their time.

        What can be read is, also when something else of the same line cannot.
        """
        self.chats, self.found, self.trouble = 0, 0, None
        self._first_pages.clear()
        self._answered = time.monotonic()
        listings = [self._call(partial(self._moved_chats, span, failed)) for span in spans]
        chats: list[Iterator[Message]] = []
        for span, listing in zip(spans, listings, strict=True):
            names = listing.result()
            self.chats += len(names)
            span = self._by_its_clock(span)
            # Should `lastTime` leave out its own second, that of `since` must still be in.
            first = {"direction": "next", "lastTime": str(span.since - 1)}
            pages = [self._ask_messages(span.line, name, first) for name in names]
            for page in pages:
                page.add_done_callback(lambda _: self._first_pages.append(None))
            chats += [self._chat(span, *each, failed) for each in zip(names, pages, strict=True)]
        for message in merge(*chats, key=_place):
            self.found += 1
            yield message

    def _by_its_clock(self, span: Span) -> Span:
        """Return a span of ours by the clock of the server, which the messages' times are by."""
        return Span(span.line, span.since + self._ahead, span.until + self._ahead)

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
        asked: set[str] = set()
        while following:
            asked.add(following)
            try:
                items, following = page.result()
            except ChatAppTailError as error:
                failed(span.line, str(error))
                break
            found = []
            for item in items:
                found.append(_message(span.line, item, latest))
                latest = found[-1].time
            # One odd time must not end a chat.
            if not found or sum(each.time > span.until for each in found) > 1:
                following = ""
            elif following in asked:
                failed(span.line, "the pages of messages go round in a circle")
                following = ""
            elif following:
                page = self._ask_messages(span.line, chat, {"nextPage": following})
            wanted = [each for each in found if span.since <= each.time <= span.until]
            yield from sorted(wanted, key=_place)

    # The chats of one line.

    def _moved_chats(self, span: Span, failed: Failed) -> list[str]:
        """Return the chats in which something happened since; what is found before a failure too.

        A chat that moves while several pages are read jumps from one to come to one gone by. So the
        list is read once more, down to where it began before, until that is one page.
        """
        found: dict[str, None] = {}
        since: int | None = span.since
        try:
            while since is not None:
                since = self._list_chats(span.line, since, found, failed)
                if since is not None:
                    since -= self._ahead
        except ChatAppTailError as error:
            failed(span.line, str(error))
        return list(found)

    def _list_chats(
        self, line: Line, since: int, found: dict[str, None], failed: Failed
    ) -> int | None:
        """Add the chats that moved since; return when the first one did if one page is not all."""
        newest: int | None = None
        cursor = _NEVER
        while True:
            query = {"limit": str(PAGE)} | ({} if cursor == _NEVER else {"lastTime": str(cursor)})
            chats = [_chat_of(item) for item in self._page(_path(line), query)[0]]
            if None in chats:
                failed(line, "the list of chats has one without an id")
            known = [chat for chat in chats if chat]
            moved = since + self._ahead  # known from the answer's date
            before = len(found)
            found.update((chat.id, None) for chat in known if (chat.last_time or moved) >= moved)
            times = [chat.last_time for chat in known if chat.last_time is not None]
            if len(chats) < PAGE or not times or times[-1] < moved:
                return newest
            if cursor != _NEVER and times[0] > cursor and len(found) == before:
                failed(line, "the list of chats has no second page")
                return newest
            newest = times[0] if newest is None else newest
            if times[0] == times[-1]:
                failed(line, f"{PAGE} chats or more moved in one second, too many to list all")
            # Several may have moved in the second in which the page ends, so it is asked for again.
            cursor = min(times[-1] + 1, cursor - 1)

    # Requests.

    def _call(self, work: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        self._daemons.call(partial(_settle, future, work))
        return future

    def _page(self, path: str, query: Mapping[str, str]) -> tuple[list[bytes], str]:
        """Return the items of a page and its `nextPage`, however often it has to be asked for.

        An answer that is no JSON comes from something in between, and is asked for again.
        ApiError or CredentialsError when it cannot be had.
        """
        begun, wait = time.monotonic(), _FIRST_WAIT
        while True:
            self._pace.wait()
            strange = False
            try:
                reply = self._ask(path, query)
            except ApiError as error:
                failure = error
            else:
                if not (reply.passing or _is_of_another(reply)):
                    self.trouble, self._answered = None, time.monotonic()
                    self._ahead = _seconds_ahead(reply.headers.get("Date", ""))
                    return _read_page(reply)
                strange = not reply.passing
                failure = ApiError(f"{reply.said} {_NO_LIST}" if strange else reply.said)
                asked_for = min(reply.retry_after or 0.0, _RETRY_AFTER_MAX)
                self._pace.pause(asked_for)
                begun += asked_for
            self.trouble = str(failure)
            if time.monotonic() + wait > self._gives_up(begun, soon=strange):
                raise failure
            time.sleep(random.uniform(wait / 2, wait))
            wait = min(wait * 2, _LONGEST_WAIT)

    def _gives_up(self, begun: float, *, soon: bool) -> float:
        """Return when to stop asking: soon also if others are answered, else late for all."""
        soon = soon or self._answered > begun
        return begun + min(_PATIENCE, _ALONE) if soon else self._answered + _PATIENCE


def _settle(future: "Future[T]", work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)


def _is_of_another(reply: Reply) -> bool:
    """Return whether a success is a page that something in between shows, as in a deploy."""
    return 200 <= reply.status < 300 and reply.content.lstrip()[:1] not in (b"{", b"[")


def _seconds_ahead(date: str) -> int:
    """Return how far the clock that wrote a Date header is ahead of ours, if that is much."""
    moment = parse_http_date(date)
    ahead = 0 if moment is None else round(moment - time.time())
    return ahead if abs(ahead) > _CLOCKS_AGREE else 0


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


class _Known(msgspec.Struct, gc=False):
    """What a chat or a message is known by; each has the one or the other time."""

    id: object = None
    last_time: object = msgspec.field(default=None, name="lastTime")
    time: object = None


class Chat(NamedTuple):
    """A chat of a list; `last_time` in seconds since the epoch, None where there is none."""

    id: str
    last_time: int | None


_decode_page = msgspec.json.Decoder(_Page).decode
_decode_known = msgspec.json.Decoder(_Known).decode


def _read_page(reply: Reply) -> tuple[list[bytes], str]:
    """Return items and `nextPage`, empty where none follows; ApiError."""
    if not reply.ok:
        raise ApiError(reply.said)
    # What is no UTF-8 must not reach stdout, and msgspec does not look into all of it.
    content = reply.content.decode("utf-8", "replace").encode()
    try:
        data = _decode_page(content).data
    except rawjson.REFUSED:
        return _read_unusual_page(reply.said, content.decode())
    if isinstance(data, list):
        return [bytes(item) for item in data], ""
    return [bytes(item) for item in data.items], _cursor(data.following, reply.said)


def _read_unusual_page(said: str, content: str) -> tuple[list[bytes], str]:
    """Read what msgspec refuses: half of a surrogate pair in a message."""
    try:
        data = rawjson.members(rawjson.members(content)["data"])
        items = [item.encode() for item in rawjson.elements(data["items"])]
        following = json.loads(data.get("nextPage", "null"))
    except (ValueError, KeyError, RecursionError) as error:
        raise ApiError(f"{said} {_NO_LIST}") from error
    return items, _cursor(following, said)


def _cursor(following: object, said: str) -> str:
    if following is None:
        return ""
    if isinstance(following, str | int) and not isinstance(following, bool):
        return str(following)
    raise ApiError(f"{said} with a nextPage that cannot be asked for")


def _chat_of(item: bytes) -> Chat | None:
    """Return a chat, None if nothing names it; one without a time is better read than missed."""
    chat = _known(item)
    if not isinstance(chat.id, str | int) or isinstance(chat.id, bool):
        return None
    return Chat(str(chat.id), _seconds(chat.last_time))


def _message(line: Line, item: bytes, latest: int) -> Message:
    """Return a message; one without a time of its own is as old as the one before it."""
    message = _known(item)
    moment = _seconds(message.time)
    number = message.id if isinstance(message.id, int) else 0
    return Message(latest if moment is None else moment, number, line, item)


def _seconds(moment: object) -> int | None:
    """Return whole seconds since the epoch, None for what cannot be meant as such."""
    try:
        seconds = int(float(moment)) if isinstance(moment, int | float | str) else _NEVER
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < _NEVER else None


def _known(item: bytes) -> _Known:
    """Return what is known of an item; nothing of one that is no object."""
    try:
        return _decode_known(item)
    except rawjson.REFUSED:
        try:
            members = rawjson.members(item.decode())
        except ValueError:
            return _Known()
    return _Known(*(_value(members.get(name)) for name in ("id", "lastTime", "time")))


def _value(text: str | None) -> object:
    """Return a number or a string; rawjson tells that it is JSON."""
    return None if text is None else json.loads(text, parse_int=_short_int)


def _short_int(text: str) -> int:
    return int(text) if len(text) < 20 else 0
