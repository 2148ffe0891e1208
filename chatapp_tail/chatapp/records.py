"""One event frame of a channel → its records: one for each item of the payload.

No data of a server makes it fail, and unknown data is passed on. The bytes
of an item are never re-encoded: numbers keep their digits, members their order, strings their
escapes. ChatApp wraps items as `{"queue":…,"payload":{"data":[…],"meta":{…}}}`; webhooks carry the
same one level higher, as `{"data":[…],"meta":{…}}`. Both are read, and anything else is one item.
"""

import re
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import NamedTuple

import msgspec
from msgspec import Raw

from .. import raw_json
from ..items import ChannelEvent
from .channels import license_and_messenger

_NEWLINES = bytes.maketrans(b"\r\n", b"  ")


class Source(StrEnum):
    """Where a record comes from."""

    LIVE = "live"
    BACKFILL = "backfill"
    REPLAY = "replay"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One item of one event.

    `data` is JSON on one line: the item byte for byte, or, when the event's data is not JSON, that
    text as a JSON string, and then `encoding` is "text". `received` is in nanoseconds since the
    epoch, `part` counts from 1 to `parts`.

    `id` names the message, status or other event, `hash` its content: an edited message has the
    same `id` and another `hash`. Duplicates have both in common. The copy of a message in history
    may differ in bytes, and then in `hash`, from the live one. Events without an id of their own,
    such as tags, may be repeated byte for byte, so that only around a restart equal ones are
    duplicates.
    """

    event: str
    id: str
    channel: str | None
    license: int | None
    messenger: str | None
    received: int
    source: Source
    queue: str | None
    part: int
    parts: int
    data: bytes
    encoding: str | None = None

    @property
    def hash(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of `data`; computed at each use."""
        return sha256(self.data).hexdigest()[:12]


class DecodedEvent(msgspec.Struct, frozen=True, gc=False):
    """A frame taken apart: `data` is the whole of it on one line (JSON), `records` its items."""

    data: bytes
    records: list[Record]


class _Meta(msgspec.Struct, gc=False):
    license: int | None = msgspec.field(default=None, name="licenseId")
    messenger: str | None = msgspec.field(default=None, name="messengerType")


class _Payload(msgspec.Struct, gc=False):
    data: list[Raw]
    meta: _Meta | None = None


class _Envelope(msgspec.Struct, gc=False):
    payload: _Payload
    queue: str | None = None


_Number = int | str | None


class _Chat(msgspec.Struct, gc=False):
    id: _Number = None


class _Identity(msgspec.Struct, gc=False):
    id: _Number = None
    internal_id: _Number = msgspec.field(default=None, name="internalId")
    type: object = None
    chat: _Chat | None = None


_encode = msgspec.json.encode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_identity = msgspec.json.Decoder(_Identity).decode
_number_decoder: msgspec.json.Decoder[_Number] = msgspec.json.Decoder(_Number)

_LICENSE = re.compile(r"[0-9]{1,18}")
_license_and_messenger = lru_cache(maxsize=4096)(license_and_messenger)


class _Content(NamedTuple):
    """The data of an event: all of it, the JSON of its items, and the members around them.

    `whole` and each item are on one line. `is_single_object` means the usual envelope around one
    object, which was on one line already.
    """

    whole: bytes
    items: list[bytes]
    queue: str | None = None
    license: int | None = None
    messenger: str | None = None
    encoding: str | None = None
    is_single_object: bool = False


class _EnvelopeTemplate(msgspec.Struct, frozen=True, gc=False):
    """The envelope around the only item of an event, and its members.

    `head` ends with the item's opening brace, `tail` begins with its closing one; the item is
    `document[start:-end]`. `id_prefix` begins its id, if it may have one.
    """

    head: bytes
    tail: bytes
    start: int
    end: int
    queue: str | None
    license: int | None
    messenger: str | None
    id_prefix: str | None


_envelope_templates: dict[tuple[str, str | None], _EnvelopeTemplate] = {}
"""The last one by event and channel: nearly all events of a channel have the same envelope."""
_MAX_ENVELOPE_TEMPLATES = 4096
_MAX_ENVELOPE_BYTES = 1000


def decode(event: ChannelEvent, source: Source = Source.LIVE) -> DecodedEvent:
    """Return the records of `event`, at least one, and its whole data on one line.

    An envelope that was parsed before is not parsed again if only its single item differs: it is
    valid JSON around any object, and the decoder of the item's id checks that it is one object.
    """
    document = b"null" if event.data is None else event.data
    template = _envelope_templates.get((event.event, event.channel))
    if (
        not template
        or not document.startswith(template.head)
        or not document.endswith(template.tail)
    ):
        return _decode(event, document, source)
    item = document[template.start : -template.end]
    try:
        identity = _decode_identity(item)
    except raw_json.DECODE_ERRORS:
        return _decode(event, document, source)
    if 10 in item or 13 in item:  # \n, \r
        return _decode(event, document, source)
    record = Record(
        event.event,
        _record_id(event, template.id_prefix, identity, item),
        event.channel,
        template.license,
        template.messenger,
        event.received,
        source,
        template.queue,
        1,
        1,
        item,
    )
    return DecodedEvent(document, [record])


def _decode(event: ChannelEvent, document: bytes, source: Source) -> DecodedEvent:
    content = _read(document)
    license_id, messenger = _license_and_messenger(event.channel)
    if content.license is not None:
        license_id = content.license
    if content.messenger is not None:
        messenger = content.messenger
    id_prefix = _id_prefix(event, license_id, messenger)
    count = len(content.items)
    records = [
        Record(
            event.event,
            _record_id(event, id_prefix, _identity(item), item),
            event.channel,
            license_id,
            messenger,
            event.received,
            source,
            content.queue,
            part,
            count,
            item,
            content.encoding,
        )
        for part, item in enumerate(content.items, 1)
    ]
    if content.is_single_object:
        _remember(content.whole, records[0], id_prefix)
    return DecodedEvent(content.whole, records)


def chat_of(record: Record) -> str:
    """Return the id of the chat that an item belongs to, empty where it names none."""
    chat = _identity(record.data).chat
    return "" if chat is None or chat.id is None else str(chat.id)


def _remember(document: bytes, record: Record, id_prefix: str | None) -> None:
    """Keep the envelope of a single item, if the item's place in it is certain and it is short."""
    item = record.data
    start, rest = document.find(item), len(document) - len(item)
    if start != document.rfind(item) or rest > _MAX_ENVELOPE_BYTES:
        return
    if len(_envelope_templates) >= _MAX_ENVELOPE_TEMPLATES:
        _envelope_templates.clear()
    _envelope_templates[record.event, record.channel] = _EnvelopeTemplate(
        document[: start + 1],
        document[start + len(item) - 1 :],
        start,
        rest - start,
        record.queue,
        record.license,
        record.messenger,
        id_prefix,
    )


def _read(document: bytes) -> _Content:
    try:
        envelope = _decode_envelope(document)
    except raw_json.DECODE_ERRORS:
        return _read_unusual(document)
    meta = envelope.payload.meta or _Meta()
    # An event with an empty list has one record: the whole data.
    items = [bytes(item) for item in envelope.payload.data] or [document]
    content = _content(document, items, envelope.queue, meta.license, meta.messenger)
    is_single = len(envelope.payload.data) == 1 and items[0].startswith(b"{")
    return content._replace(is_single_object=is_single and content.whole is document)


def _read_unusual(document: bytes) -> _Content:
    """Read data without the usual envelope, or data that msgspec refuses, part by part."""
    text = document.decode()
    try:
        raw_json.validate(text)
    except ValueError:
        quoted = _encode(text)
        return _Content(quoted, [quoted], encoding="text")
    try:
        envelope = raw_json.members(text)
        inner = _payload_of(envelope)
    except ValueError:
        return _content(document, [document])
    license_id, messenger = _parse_meta(inner.get("meta"))
    items = [item.encode() for item in _items_of(inner.get("data"))] or [document]
    return _content(document, items, raw_json.string(envelope.get("queue")), license_id, messenger)


def _content(
    document: bytes,
    items: list[bytes],
    queue: str | None = None,
    license_id: int | None = None,
    messenger: str | None = None,
) -> _Content:
    """Put the content on one line; in JSON, newlines occur outside of strings only."""
    if b"\n" in document or b"\r" in document:
        document = document.translate(_NEWLINES)
        items = [item.translate(_NEWLINES) for item in items]
    return _Content(document, items, queue, license_id, messenger)


def _payload_of(envelope: dict[str, str]) -> dict[str, str]:
    """Return the members around the items: of `payload`, or of the whole for a webhook."""
    if "payload" in envelope:
        return raw_json.members(envelope["payload"])
    if {"data", "meta"} <= envelope.keys() <= {"queue", "data", "meta"}:
        return envelope
    return {}


def _items_of(data: str | None) -> list[str]:
    if data is None:
        return []
    return raw_json.elements(data) if data.startswith("[") else [data]


def _parse_meta(meta: str | None) -> tuple[int | None, str | None]:
    try:
        members = raw_json.members(meta or "{}")
    except ValueError:
        return None, None
    number = members.get("licenseId", "")
    license_id = int(number) if _LICENSE.fullmatch(number) else None
    return license_id, raw_json.string(members.get("messengerType"))


def _id_prefix(event: ChannelEvent, license_id: int | None, messenger: str | None) -> str | None:
    """Return the prefix of the ids of messages or statuses, None for other events."""
    if event.event not in ("message", "messageStatus"):
        return None
    line = event.channel if license_id is None else f"{license_id}:{messenger}"
    return f"{event.event}:{line}:"


def _record_id(event: ChannelEvent, id_prefix: str | None, identity: _Identity, item: bytes) -> str:
    """Return an id of what the item is about, the same on every machine and in every run.

    A message has its chat and its id (some messengers number the messages of each chat from 1), a
    status its message and the status: the same id again may mean an edit. Everything else, and
    items that lack one of these, has a BLAKE2b hash of channel, event name and the item's bytes:
    the same id again is the same content, though it may have happened again.
    """
    number = identity.internal_id if identity.id is None else identity.id
    if id_prefix is None or identity.chat is None or number is None or number == "":
        return _hashed(event, item)
    chat = identity.chat.id
    if chat is not None and chat != "":
        if event.event == "message":
            return f"{id_prefix}{chat}:{number}"
        if identity.type and isinstance(identity.type, str):
            return f"{id_prefix}{chat}:{number}:{identity.type}"
    return _hashed(event, item)


def _identity(item: bytes) -> _Identity:
    """Return the members that identify an item, empty where there are none."""
    try:
        return _decode_identity(item)
    except raw_json.DECODE_ERRORS:
        return _identity_by_parts(item)


def _identity_by_parts(item: bytes) -> _Identity:
    members = _members(item.decode())
    public_id = members.get("id", "null")
    number = members.get("internalId", "null") if public_id == "null" else public_id
    chat = _members(members.get("chat", "null"))
    return _Identity(
        _number(number),
        type=raw_json.string(members.get("type")),
        chat=_Chat(_number(chat.get("id", "null"))),
    )


def _members(text: str) -> dict[str, str]:
    """Return the members of an object, none for any other value."""
    try:
        return raw_json.members(text)
    except ValueError:
        return {}


def _number(text: str) -> _Number:
    """Return the id of a message or a chat, None for an invalid one."""
    try:
        return _number_decoder.decode(text)
    except raw_json.DECODE_ERRORS:
        return raw_json.string(text)


def _hashed(event: ChannelEvent, item: bytes) -> str:
    digest = blake2b(digest_size=16)
    for part in ((event.channel or "").encode(), event.event.encode(), item):
        digest.update(part + b"\0")
    return f"{event.event}:{digest.hexdigest()}"
