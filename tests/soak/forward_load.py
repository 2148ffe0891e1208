"""Everything that ChatApp publishes, numbered: messages, edits, statuses, and tags that repeat.

Each item has a `seq` of its own. Only an exact repetition, which is the same byte for byte, has
that of its original.
"""

import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from chatapp_tail.sandbox import Sandbox

from .numbered import Background, Line

MESSAGE, EDIT, STATUS, TAG = "message", "edit", "messageStatus", "chatTag"
_KINDS = (MESSAGE, MESSAGE, MESSAGE, STATUS, STATUS, STATUS, STATUS, TAG, TAG, EDIT)
_MEAN_OF_A_FRAME = 1.5
_RECENT = 50
"""So many of a chat's messages may be edited, and of its tags repeated."""

Item = dict[str, Any]


class Thing(NamedTuple):
    """One item: what it is, and where it belongs; `of` is the `seq` of the message it edits."""

    seq: int
    kind: str
    chat: str
    channel: str
    of: int | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """One publication of an item, between two moments (seconds since the epoch).

    `linked` says whether a tail was subscribed to its channel.
    """

    thing: Thing
    before: float
    after: float
    linked: bool


class Load:
    """Publishes frames of one line, some of several items; `log` has each item in order."""

    def __init__(self, sandbox: Sandbox, lines: Sequence[Line], chats: int, seed: int) -> None:
        self.log: list[Published] = []
        self._sandbox = sandbox
        self._lines = lines
        self._chats = chats
        self._rng = random.Random(seed)
        self._seq = 0
        self._messages: list[list[Item]] = [[] for _ in range(chats)]
        self._tags: list[list[Item]] = [[] for _ in range(chats)]

    def publish(self, kind: str | None = None) -> None:
        """Publish one frame, of any kind unless it is given."""
        kind = kind or self._rng.choice(_KINDS)
        first = self._rng.randrange(self._chats)
        line = self._lines[first % len(self._lines)]
        chats = [(first + i * len(self._lines)) % self._chats for i in range(self._items())]
        things, items = [], []
        for chat in dict.fromkeys(chats):
            item = self._item(kind, chat)
            made = EDIT if kind == EDIT and "edited" in item else MESSAGE
            name = made if kind in (MESSAGE, EDIT) else kind
            of = item["id"] if name == EDIT else None
            things.append(Thing(item["seq"], name, item["chat"]["id"], line.channel, of))
            items.append(item)
        self._send(line, MESSAGE if kind == EDIT else kind, things, items)

    def _send(self, line: Line, event: str, things: list[Thing], items: list[Item]) -> None:
        meta = {"type": event, "licenseId": line.license, "messengerType": line.messenger}
        data = json.dumps({"queue": event, "payload": {"data": items, "meta": meta}})
        before = time.time()
        linked = self._sandbox.publish(line.channel, event, data) > 0
        after = time.time()
        self.log += [Published(thing, before, after, linked) for thing in things]

    def _items(self) -> int:
        return self._rng.randint(2, 4) if self._rng.random() < 0.25 else 1

    def _item(self, kind: str, chat: int) -> Item:
        match kind:
            case "edit" if self._messages[chat]:
                original = self._rng.choice(self._messages[chat])
                seq = self._next()
                return {**original, "seq": seq, "edited": True, "message": {"text": f"edit {seq}"}}
            case "messageStatus":
                seq = self._next()
                return {"id": seq, "type": "delivered", **_of_chat(chat), "seq": seq}
            case "chatTag":
                return self._tag(chat)
            case _:
                item = self._message(chat)
                self._messages[chat] = [*self._messages[chat][-_RECENT:], item]
                return item

    def _message(self, chat: int) -> Item:
        seq, text = self._next(), "x" * self._rng.randint(0, 300)
        own = {"id": seq, "fromMe": False, "time": int(time.time()), "type": "text"}
        return {**own, **_of_chat(chat), "message": {"text": text}, "seq": seq}

    def _tag(self, chat: int) -> Item:
        tags = self._tags[chat]
        if tags and self._rng.random() < 0.2:
            return self._rng.choice(tags)
        item = {"tag": {"id": self._rng.randint(1, 9)}, **_of_chat(chat), "seq": self._next()}
        self._tags[chat] = [*tags[-_RECENT:], item]
        return item

    def _next(self) -> int:
        self._seq += 1
        return self._seq


def _of_chat(chat: int) -> Item:
    return {"chat": {"id": f"chat{chat}", "type": "private", "name": "A Soak"}}


class SteadyLoad(Background):
    """A thread that publishes about `rate` items a second, as long as the block lasts.

    `pause` returns when nothing is being published any more.
    """

    def __init__(self, load: Load, *, rate: float, seed: int) -> None:
        super().__init__()
        self._load = load
        self._frames_per_second = rate / _MEAN_OF_A_FRAME
        self._rng = random.Random(seed)
        self._turn = threading.Event()
        self._turn.set()
        self._rests = threading.Event()

    def pause(self) -> None:
        self._rests.clear()
        self._turn.clear()
        self._rests.wait(5.0)

    def go_on(self) -> None:
        self._turn.set()

    def stop(self) -> None:
        self._turn.set()
        super().stop()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            if not self._turn.is_set():
                self._rests.set()
                self._turn.wait()
                due = time.monotonic()
            self._load.publish()
            due += self._rng.expovariate(self._frames_per_second)
