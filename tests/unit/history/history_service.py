"""A model of ChatApp's history, in memory, with all that is not known of the real one as a choice.

Time is told in true seconds: messages bear the true time, but for those that are odd. The clock of
the reader and that of the `Date` header are off by what is drawn.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Literal
from urllib.parse import unquote

from chatapp_tail.chatapp.http import Response
from chatapp_tail.history.rate_limit import RateLimiter
from chatapp_tail.history.reader import History
from chatapp_tail.history.recovery import recover
from chatapp_tail.history.requests import Ask, Clock
from chatapp_tail.items import ChannelEvent, Gap

Interceptor = Callable[[Ask, str, Mapping[str, str]], Response]
Form = Literal["number", "text", "fraction", "milliseconds", "iso", "null", "absent"]
READABLE: tuple[Form, ...] = ("number", "text", "fraction")
UNREADABLE: tuple[Form, ...] = ("milliseconds", "iso", "null", "absent")


@dataclass
class Said:
    """One message: `sent` is the true time, `time` is what the service shows."""

    id: int | str
    sent: int
    time: object
    listed: int
    """The place in the order of the chat."""


@dataclass
class Choices:
    """How the service behaves where nobody knows how the real one does."""

    chats_per_page: int = 100
    chats_next_page: Literal["absent", "null", "cursor"] = "absent"
    chats_shuffled: Literal["no", "page", "all"] = "no"
    pinned: int = 0
    pinned_at_end: bool = False
    hidden_chats: int = 0
    form_of_last_time: Form = "number"
    odd_last_times: int = 0
    messages_per_page: int = 100
    messages_next_page: Literal["absent", "cursor"] = "cursor"
    messages_shuffled: bool = False
    removed: frozenset[int] = frozenset()
    """Which pages of a chat are empty though there is a next one, by number."""
    includes_last_time: bool = False
    date: int | None = 0
    """By how many seconds the Date header is off; None for no header."""


@dataclass
class World:
    """The service, its clock, and what happens while it is read."""

    choices: Choices
    seed: int = 0
    now: float = 1_700_000_000.0
    off: int = 0
    """By how many seconds the reader's clock is off."""
    chats: dict[str, list[Said]] = field(default_factory=dict, repr=False)
    arrivals: dict[int, str] = field(default_factory=dict)
    """Number of a request -> the chat in which a message arrives before it is answered."""
    requests: int = 0
    added: int = 0

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now + self.off, lambda: self.now, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def history(self, store: Path | None = None, ask: Ask | None = None) -> History:
        """Return what reads this service, in one thread and by its clock."""
        clock = self.clock
        limiter = RateLimiter(0.0, clock.monotonic, clock.sleep)
        return History(ask or self.ask, limiter, store=store, clock=clock, call=lambda work: work())

    def recover(
        self, gap: Gap, began: int = 0, newest: int | None = None
    ) -> tuple[list[dict[str, Any]], Gap]:
        """Return the items that came of a gap, and the gap; `began` is in ns, `newest` in s."""
        known = {} if newest is None else {gap.channel: newest}
        *events, end = recover(self.history(), [gap], {gap.channel: began}, known)
        assert isinstance(end, Gap)
        return [_item(event) for event in events], end

    def intercept(self, answer: Interceptor) -> None:
        """Answer all requests so from now on; the first argument is what answered them before."""
        self.ask = partial(answer, self.ask)  # type: ignore[method-assign]

    def say(self, chat: str, number: int | str, sent: int, time: object = ...) -> None:
        self.added += 1
        said = Said(number, sent, sent if time is ... else time, self.added)
        self.chats.setdefault(chat, []).append(said)

    # --- the service

    def ask(self, path: str, query: Mapping[str, str]) -> Response:
        self.requests += 1
        self.now += 0.1
        if chat := self.arrivals.pop(self.requests, ""):
            self.say(chat, f"live {self.requests}", int(self.now))
        assert 1 <= int(query["limit"]) <= 100
        if path.endswith("/chats"):
            data = self._list_chats(query)
        else:
            data = self._list_messages(unquote(path.split("/")[-2]), query)
        off = self.choices.date
        headers = {} if off is None else {"Date": formatdate(self.now + off, usegmt=True)}
        body = json.dumps({"success": True, "data": data}).encode()
        return Response(200, body, headers, f"GET {path} answered 200", None, True)

    def _list_chats(self, query: Mapping[str, str]) -> dict[str, Any]:
        choices = self.choices
        names = sorted(self.chats, key=lambda name: (-self._moved(name), name))
        pinned = [name for name in sorted(self.chats) if name.startswith("pinned")]
        names = [name for name in names if name not in pinned]
        if choices.chats_shuffled == "all":
            Random(self.seed).shuffle(names := sorted(names))
        start = 0
        if "nextPage" in query:
            start = int(query["nextPage"].removeprefix("after "))
        elif "lastTime" in query:
            before = int(query["lastTime"]) + choices.includes_last_time
            names = [name for name in names if self._moved(name) < before]
        size = max(choices.chats_per_page - len(pinned), 1)
        page = [name for name in names[start : start + size] if not name.startswith("hidden")]
        if choices.chats_shuffled == "page":
            Random(self.seed + self.requests).shuffle(page)
        page = page + pinned if choices.pinned_at_end else pinned + page
        data: dict[str, Any] = {"items": [self._chat(name) for name in page]}
        if choices.chats_next_page != "absent":
            more = choices.chats_next_page == "cursor" and start + size < len(names)
            data["nextPage"] = f"after {start + size}" if more else None
        return data

    def _moved(self, name: str) -> int:
        return max(said.sent for said in self.chats[name])

    def _chat(self, name: str) -> dict[str, Any]:
        form = self.choices.form_of_last_time
        if name.startswith("odd"):
            form = UNREADABLE[len(name) % len(UNREADABLE)]
        chat: dict[str, Any] = {"id": name, "lastTime": shown(self._moved(name), form)}
        if form == "absent":
            del chat["lastTime"]
        return chat

    def _list_messages(self, chat: str, query: Mapping[str, str]) -> dict[str, Any]:
        choices = self.choices
        said = sorted(self.chats[chat], key=lambda each: (each.sent, each.listed))
        number, start = 0, 0
        if "nextPage" in query:
            _, number, start = (int(part) for part in query["nextPage"].split(":"))
            said = [each for each in said if each.sent >= int(query["nextPage"].split(":")[0])]
            least = int(query["nextPage"].split(":")[0])
        else:
            assert query["direction"] == "next"
            least = int(query["lastTime"]) + (not choices.includes_last_time)
            said = [each for each in said if each.sent >= least]
        empty = number in choices.removed and choices.messages_next_page == "cursor"
        end = start if empty else start + choices.messages_per_page
        page = said[start:end]
        if choices.messages_shuffled:
            Random(self.seed + self.requests).shuffle(page)
        data: dict[str, Any] = {"items": [_message(chat, each) for each in page]}
        if choices.messages_next_page == "cursor":
            more = end < len(said)
            data["nextPage"] = f"{least}:{number + 1}:{end}" if more else None
        return data


def _item(event: ChannelEvent | Gap) -> dict[str, Any]:
    assert isinstance(event, ChannelEvent)
    (item,) = json.loads(event.data or b"")["payload"]["data"]
    assert isinstance(item, dict)
    return item


def _message(chat: str, said: Said) -> dict[str, Any]:
    item: dict[str, Any] = {"id": said.id, "time": said.time, "chat": {"id": chat}}
    if said.time is None:
        del item["time"]
    return item


def shown(moment: int, form: Form) -> object:
    """A moment in one of the forms in which services write it."""
    match form:
        case "number":
            return moment
        case "text":
            return str(moment)
        case "fraction":
            return moment + 0.5
        case "milliseconds":
            return moment * 1000
        case "iso":
            return "2026-11-22T08:00:00Z"
        case _:
            return None
