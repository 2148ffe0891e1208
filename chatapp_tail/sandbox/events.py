"""Realistic live events, one after the other, decided by a seed alone. No clock, no socket.

The envelope and the item shapes are those of ChatApp's help pages. Not documented there, and
so a guess: the queue names of messengers other than Telegram, the ids of chats outside of
Telegram, and `message.location`.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from .world import CAPTIONS, EMPLOYEES, PEOPLE, PLACES, ROOMS, TAGS, TEXTS, Person, Room

Item = dict[str, Any]

OPENING = ("message", "message", "messageStatus", "message", "chatTag", "messageStatus")
"""The first kinds, fixed, so that someone who has just started it soon sees each of them."""

QUEUES = {"message": "Message", "messageStatus": "Message.Status", "chatTag": "ChatTag"}

_STATUS_PATHS = (
    ("sent", "delivered", "viewed"),
    ("sent", "delivered", "viewed"),
    ("sent", "delivered"),
    ("sent", "viewed", "delivered"),
    ("delivered", "sent", "viewed"),
    ("sent", "failed"),
)

_ERRORS: tuple[object, ...] = (
    "Phone number is not registered in this messenger",
    {"code": 131026, "title": "Message undeliverable", "details": "Receiver is incapable"},
)

_FILES = {
    "image": (("photo.jpg", "image/jpeg", 184_320), ("снимок экрана.png", "image/png", 92_001)),
    "file": (("invoice 1045.pdf", "application/pdf", 48_211), ("прайс.xlsx", "application/zip", 7)),
    "voice": (("voice.ogg", "audio/ogg", 15_872),),
    "video": (("clip.mp4", "video/mp4", 2_408_448),),
    "sticker": (("sticker.webp", "image/webp", 22_528),),
}

_TYPES = ("text", "image", "file", "voice", "video", "sticker", "location")
_TYPE_WEIGHTS = (60, 12, 7, 7, 4, 5, 5)


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One channel event: `name` for the Pusher frame, `data` the exact text of its data."""

    name: str
    data: str


@dataclass(slots=True)
class _Outgoing:
    """A message of ours and the statuses it has still to report."""

    id: int | str
    chat: Item
    statuses: deque[str]


@dataclass(slots=True)
class _Line:
    """What has happened on one messenger of one licence."""

    last_id: int = 695
    outgoing: deque[_Outgoing] = field(default_factory=deque)
    tagged: deque[tuple[Item, Item]] = field(default_factory=deque)


class LiveEvents:
    """An endless story. The same seed and the same calls give the same events."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._kinds = self._all_kinds()
        self._lines: dict[tuple[int, str], _Line] = {}
        self._makers: dict[str, Callable[[str, _Line, int], Item]] = {
            "message": self._message,
            "messageStatus": self._status,
            "chatTag": self._tag,
        }

    def next(self, license_id: int, messenger_type: str, now: int) -> LiveEvent:
        """Return the next event of one messenger; `now` (unix seconds) is its items' time."""
        kind = next(self._kinds)
        line = self._lines.setdefault((license_id, messenger_type), _Line())
        make = self._makers[kind]
        items = [make(messenger_type, line, now) for _ in range(self._batch_size())]
        meta = {"type": kind, "licenseId": license_id, "messengerType": messenger_type}
        envelope = {
            "queue": f"{messenger_type[0].upper()}{messenger_type[1:]}.Broadcast.{QUEUES[kind]}",
            "payload": {"data": items, "meta": meta},
        }
        return LiveEvent(kind, json.dumps(envelope, ensure_ascii=False, separators=(",", ":")))

    def _all_kinds(self) -> Iterator[str]:
        yield from OPENING
        while True:
            yield self._random.choices(tuple(QUEUES), (62, 28, 10))[0]

    def _batch_size(self) -> int:
        return self._random.choices((1, 2, 3, 4), (80, 12, 5, 3))[0]

    def _message(self, messenger_type: str, line: _Line, now: int) -> Item:
        room = self._random.choice(ROOMS) if self._random.random() < 0.25 else None
        outgoing = self._random.random() < 0.3 or (room is not None and room.kind == "channel")
        customer = self._random.choice(room.members if room else PEOPLE)
        author = self._random.choice(EMPLOYEES) if outgoing else customer
        chat = _room(room, messenger_type) if room else _dialog(customer, messenger_type)
        item = {
            "id": self._next_id(messenger_type, line),
            **self._direction(author, outgoing, now),
            **self._content(customer.language),
            "quotedMessage": None,
            "fromUser": _user(author),
            "chat": chat,
        }
        if outgoing:
            path = deque(self._random.choice(_STATUS_PATHS))
            line.outgoing.append(_Outgoing(item["id"], _brief(chat), path))
        return item

    def _direction(self, author: Person, outgoing: bool, now: int) -> Item:
        from_api = outgoing and self._random.random() < 0.3
        fields: Item = {
            "fromApi": from_api,
            "fromMe": outgoing,
            "side": "out" if outgoing else "in",
            "time": now,
            "isForwarded": self._random.random() < 0.05,
        }
        if from_api:
            fields["fromApp"] = {"id": "crm", "sender": "bot", "tracking": None}
        elif outgoing:
            fields["created"] = {"id": author.id}
        return fields

    def _content(self, language: str) -> Item:
        kind = self._random.choices(_TYPES, _TYPE_WEIGHTS)[0]
        message: Item = {"text": "", "caption": "", "file": None}
        if kind == "text":
            message["text"] = self._random.choice(TEXTS[language])
        elif kind == "location":
            place, latitude, longitude = self._random.choice(PLACES)
            message["caption"] = place
            message["location"] = {"latitude": latitude, "longitude": longitude}
        else:
            message["file"] = self._file(kind)
            if kind in ("image", "video"):
                message["caption"] = self._random.choice(CAPTIONS)
        return {"type": kind, "message": message}

    def _file(self, kind: str) -> Item:
        name, mime_type, size = self._random.choice(_FILES[kind])
        link = f"https://example.invalid/files/{self._random.getrandbits(48):012x}"
        if self._random.random() < 0.5:
            return {"link": link, "name": name, "contentType": mime_type}
        return {"link": link, "name": name, "mimeType": mime_type, "size": size}

    def _next_id(self, messenger_type: str, line: _Line) -> int | str:
        line.last_id += 1
        if messenger_type.startswith("telegram"):
            return line.last_id
        suffix = f"{self._random.getrandbits(64):016X}{line.last_id:06X}"
        return f"wamid.{suffix}" if messenger_type == "caWhatsApp" else f"3EB0{suffix}"

    def _status(self, messenger_type: str, line: _Line, now: int) -> Item:
        del now  # statuses carry no time
        if not line.outgoing:
            line.outgoing.append(self._earlier(messenger_type, line))
        message = line.outgoing.popleft()
        status = message.statuses.popleft()
        if message.statuses:
            line.outgoing.append(message)
        error = self._random.choice(_ERRORS) if status == "failed" else None
        return {"id": message.id, "type": status, "chat": message.chat, "error": error}

    def _earlier(self, messenger_type: str, line: _Line) -> _Outgoing:
        chat = _brief(_dialog(self._random.choice(PEOPLE), messenger_type))
        path = deque(self._random.choice(_STATUS_PATHS))
        return _Outgoing(self._next_id(messenger_type, line), chat, path)

    def _tag(self, messenger_type: str, line: _Line, now: int) -> Item:
        del now  # nor do tags
        if line.tagged and self._random.random() < 0.4:
            tag, chat = line.tagged.popleft()
            return {"type": "destroy", "tag": tag, "chat": chat}
        tag, chat = self._any_tag(), {"id": self._any_chat(messenger_type)["id"]}
        line.tagged.append((tag, chat))
        return {"type": "add", "tag": tag, "chat": chat}

    def _any_tag(self) -> Item:
        tag = self._random.choice(TAGS)
        category = {"id": 9, "name": tag.category, "sort": 100}
        fields = {"id": tag.id, "name": tag.name, "color": tag.color}
        return {**fields, "sort": 100, "category": category}

    def _any_chat(self, messenger_type: str) -> Item:
        chats = [_dialog(person, messenger_type) for person in PEOPLE]
        chats += [_room(room, messenger_type) for room in ROOMS]
        return self._random.choice(chats)


def _user(person: Person) -> Item:
    fields = {"id": person.id, "username": person.username}
    return {**fields, "name": person.name, "phone": person.phone}


def _dialog(person: Person, messenger_type: str) -> Item:
    """Build the private chat with a person."""
    hash_ = f"h136{person.id:016d}"
    telegram = messenger_type.startswith("telegram")
    whatsapp_id = f"{person.phone or person.id}@c.us"
    return {
        "id": f"private-{person.id}{hash_}" if telegram else whatsapp_id,
        "hash": hash_ if telegram else None,
        "type": "private",
        "phone": person.phone,
        "username": person.username,
        "name": person.name,
        "image": f"https://example.invalid/GetDialogPhoto/{person.id}",
    }


def _room(room: Room, messenger_type: str) -> Item:
    """Build a group or a channel, which have neither phone nor username."""
    telegram = messenger_type.startswith("telegram")
    return {
        "id": f"{room.kind}-{room.id}" if telegram else f"{room.id}@g.us",
        "type": room.kind,
        "phone": None,
        "username": None,
        "name": room.name,
        "image": None,
    }


def _brief(chat: Item) -> Item:
    """Leave out of a chat what statuses do not carry."""
    return {name: value for name, value in chat.items() if name not in ("name", "image")}
