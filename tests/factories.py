"""Builders of events and records that several test modules use."""

import json
from typing import Any

from chatapp_tail.chatapp.records import Record, Source, decode
from chatapp_tail.items import ChannelEvent, Gap

CHANNEL = "private-v1.licenses.1229.messengers.telegram"
RECEIVED = 1637319283_123456789


def event(*items: object, name: str = "message", channel: str | None = CHANNEL) -> ChannelEvent:
    """Return an event with these items in ChatApp's envelope."""
    envelope = {"queue": "Telegram.Broadcast.Message", "payload": {"data": items}}
    return ChannelEvent(RECEIVED, name, channel, json.dumps(envelope).encode())


def decoded(item: object, name: str = "message") -> Record:
    """Return the record of an event with one item."""
    (record,) = decode(event(item, name=name)).records
    return record


def record(**members: Any) -> Record:
    """Return a record of a message; `members` replace those it has by default."""
    defaults: dict[str, Any] = {
        "event": "message",
        "id": "message:1229:telegram:c:696",
        "channel": CHANNEL,
        "license": 1229,
        "messenger": "telegram",
        "received": 1_795_336_740_123_456_789,
        "source": Source.LIVE,
        "queue": "Telegram.Broadcast.Message",
        "part": 1,
        "parts": 1,
        "data": b'{"id":696}',
    }
    return Record(**(defaults | members))


def message(number: int = 1, channel: str = "a") -> ChannelEvent:
    """Return an event that came at `number` nanoseconds."""
    return ChannelEvent(number, "message", channel, b"{}")


def gap(channel: str = "a", since: int = 1, length: int = 5, **members: Any) -> Gap:
    """Return a gap of so many nanoseconds."""
    return Gap(channel, since, since + length, **({"reason": "lost"} | members))
