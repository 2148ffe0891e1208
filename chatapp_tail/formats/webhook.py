"""The body of ChatApp's own webhooks, `{"data":[…],"meta":{…}}`, from the frame of an event."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from .. import raw_json
from ..chatapp.records import DecodedEvent, Record


class _Envelope(msgspec.Struct, gc=False):
    payload: Raw


class _Payload(msgspec.Struct, gc=False):
    data: list[Raw]
    meta: Raw = Raw()


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_payload = msgspec.json.Decoder(_Payload).decode


def webhook_body(decoded: DecodedEvent, kept: Sequence[Record]) -> bytes:
    """Return the body for the records of a frame that filters kept, at least one.

    With all of them it is the `payload` of the frame byte for byte, or the whole data when that is
    a webhook's already. Otherwise the items and `meta` are, each; data in another shape, which has
    no `meta`, gets one with licence and messenger.
    """
    payload, meta = _payload(decoded.data)
    if payload is not None and len(kept) == len(decoded.records):
        return payload
    items = b",".join([record.data for record in kept])
    return b'{"data":[%b],"meta":%b}' % (items, _meta(kept[0]) if meta is None else meta)


def _meta(record: Record) -> bytes:
    meta = {"licenseId": record.license, "messengerType": record.messenger}
    return msgspec.json.encode(meta)


def _payload(document: bytes) -> tuple[bytes | None, bytes | None]:
    """Return the part of the data that has the shape of a webhook, and its `meta`, if any."""
    try:
        payload = bytes(_decode_envelope(document).payload)
        meta = bytes(_decode_payload(payload).meta)
    except raw_json.DECODE_ERRORS:
        return _unusual_payload(document)
    return payload, meta or None


def _unusual_payload(document: bytes) -> tuple[bytes | None, bytes | None]:
    """Do the same for a webhook, and for data that msgspec refuses."""
    text = document.decode()
    try:
        members = raw_json.members(text)
        if "payload" in members:
            text = members["payload"]
            members = raw_json.members(text)
        elif not {"data", "meta"} <= members.keys() <= {"queue", "data", "meta"}:
            return None, None
    except ValueError:
        return None, None
    meta = members.get("meta")
    has_list = members.get("data", "").startswith("[")
    return text.encode() if has_list else None, None if meta is None else meta.encode()
