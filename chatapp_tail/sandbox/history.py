"""Every message that was published, for the endpoints that let a client read it again."""

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .account import parse_messenger_channel

KEPT_MESSAGES = 100_000
"""So many are kept unless told otherwise; the oldest are forgotten first."""

Item = dict[str, Any]
Position = tuple[int, int]
"""Unix seconds, and a number that grows with each message kept: the order of everything."""


@dataclass(frozen=True, slots=True)
class Record:
    """A message or a chat, with its place among its kind."""

    position: Position
    item: Item


class History:
    """The messages of all chats, at most `kept` of them. Any thread may add and read.

    Events are taken apart only when somebody reads, so that publishing stays fast.
    """

    def __init__(self, kept: int = KEPT_MESSAGES) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._pending: deque[tuple[str, str, int]] = deque(maxlen=kept)
        self._chats: dict[tuple[int, str, str], dict[str, Record]] = {}
        self._order: deque[tuple[tuple[int, str, str], str]] = deque()
        self._added = 0

    def add(self, channel: str, data: str) -> None:
        """Keep the items of one `message` event, `data` being its envelope as JSON.

        What is not on a messenger's channel, is no such envelope or names no chat is left
        out; so is a message whose id its chat has already.
        """
        self._pending.append((channel, data, int(time.time())))

    def messages(self, license_id: int, messenger_type: str, chat_id: str) -> list[Record]:
        """Return the messages of one chat, oldest first."""
        with self._lock:
            self._take_pending()
            chat = self._chats.get((license_id, messenger_type, chat_id), {})
            return sorted(chat.values(), key=position_of)

    def chats(self, license_id: int, messenger_type: str) -> list[Record]:
        """Return the chats of one messenger, each as in its last message and at that place."""
        with self._lock:
            self._take_pending()
            line = (license_id, messenger_type)
            last = [
                max(m.values(), key=position_of) for k, m in self._chats.items() if k[:2] == line
            ]
        return sorted((_chat(record) for record in last), key=position_of)

    def _take_pending(self) -> None:
        for _ in range(len(self._pending)):  # what comes meanwhile may wait for the next reader
            channel, data, now = self._pending.popleft()
            messenger = parse_messenger_channel(channel)
            if messenger is not None:
                for item in _items(data):
                    self._keep(messenger, item, now)

    def _keep(self, messenger: tuple[int, str], item: Item, now: int) -> None:
        self._added += 1
        key = (*messenger, str(item["chat"]["id"]))
        message_id = str(item.get("id", item.get("internalId", f"number {self._added}")))
        chat = self._chats.setdefault(key, {})
        if message_id in chat:
            return
        sent = item.get("time")
        chat[message_id] = Record((sent if isinstance(sent, int) else now, self._added), item)
        self._order.append((key, message_id))
        if len(self._order) > self._kept:
            self._forget(*self._order.popleft())

    def _forget(self, key: tuple[int, str, str], message_id: str) -> None:
        del self._chats[key][message_id]
        if not self._chats[key]:
            del self._chats[key]


def position_of(record: Record) -> Position:
    """Return the key that sorts records, oldest first."""
    return record.position


def _chat(last: Record) -> Record:
    return Record(last.position, {**last.item["chat"], "lastTime": last.position[0]})


def _items(data: str) -> Iterator[Item]:
    match _parse(data):
        case {"payload": {"data": [*items]}}:
            for item in items:
                match item:
                    case {"chat": {"id": str() | int()}}:
                        yield item


def _parse(data: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
