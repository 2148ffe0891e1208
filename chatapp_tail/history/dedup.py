"""Drops duplicates: a message that comes live and from history is written once.

Only messages can come from history. A message that the server sends live twice is written twice: an
edited message has the same id, and repetitions are the server's decision. So a live message is a
duplicate of the copy from history only if the content of both is the same; if not, it was edited,
or the two copies differ in form and both are written. Bytes, and so the `hash` of a record, are
not enough to tell: history may have the same content in another form.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from itertools import islice
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from ..chatapp.records import Record, Source

CAPACITY = 30_000
"""Ids kept of live messages, and as many of messages from history.

While a gap is read, all ids of live messages are kept from the moment on from which history may
have them too. Otherwise the capacity is enough for some minutes at a hundred messages per second.
An id that is dropped too early causes a duplicate, never a loss.
"""

_LIVE = Source.LIVE
_TEXTS = ("text", "caption")
_NONE: Mapping[str, int] = MappingProxyType({})
_NOTHING: tuple[object, ...] = (None, "", [], {})


class Deduplicator:
    """Recently written ids; `seen` come from a checkpoint and are dated `now`.

    `recovered` has the `content_hash` of those that came from history: the live copy may follow.

    `now` is in nanoseconds, as is the `received` of records. `keep_since` returns the moment since
    which no id of a live message may be dropped; infinity while no gap is read.
    """

    def __init__(
        self,
        seen: Iterable[str] = (),
        recovered: Mapping[str, int] = _NONE,
        *,
        now: int = 0,
        keep_since: Callable[[], float] = lambda: inf,
    ) -> None:
        # Oldest first; moving one to the end is removing and adding it.
        self._live = dict.fromkeys(seen, now)
        self._from_history = {
            name: _Fingerprint(None, content) for name, content in recovered.items()
        }
        self._keep_since = keep_since
        self._capacity = self._prune_at = CAPACITY + len(self._live)

    def drop_duplicates(self, records: list[Record]) -> list[Record]:
        """Return the records that are to be written; they count as written from now on."""
        if len(records) == 1:  # nearly always, and a comprehension is a call
            return records if records[0].event != "message" or self._is_new(records[0]) else []
        return [record for record in records if record.event != "message" or self._is_new(record)]

    def _is_new(self, record: Record) -> bool:
        live, name = self._live, record.id
        if record.source is not _LIVE:
            return name not in live and self._is_new_in_history(record)
        fingerprint = self._from_history.pop(name, None)
        if name in live:
            del live[name]
        live[name] = record.received
        if len(live) > self._prune_at:
            self._prune()
        return fingerprint is None or not _matches(record.data, fingerprint)

    def _is_new_in_history(self, record: Record) -> bool:
        fingerprints = self._from_history
        if record.id in fingerprints:
            return False
        fingerprints[record.id] = _Fingerprint(hash(record.data), content_hash(record.data))
        if len(fingerprints) > CAPACITY:
            for name in list(islice(fingerprints, 1 + CAPACITY // 100)):
                del fingerprints[name]
        return True

    def _prune(self) -> None:
        """Drop the oldest ids beyond the capacity: a percentage at once, since it takes time."""
        live, keep_since, some = self._live, self._keep_since(), self._capacity // 100
        oldest = []
        for name, received in islice(live.items(), len(live) - self._capacity + some):
            if received >= keep_since:
                break
            oldest.append(name)
        for name in oldest:
            del live[name]
        self._prune_at = max(self._capacity, len(live) + some)


class _Fingerprint(NamedTuple):
    """Hashes of a message: of its bytes, None for one of an earlier run, and of its content."""

    item: int | None
    content: int | None


def _matches(item: bytes, fingerprint: _Fingerprint) -> bool:
    """Return whether an item has the same content."""
    if hash(item) == fingerprint.item:
        return True
    return fingerprint.content is not None and content_hash(item) == fingerprint.content


def content_hash(item: bytes) -> int | None:
    """Return a hash of the content of a message, or of the whole message if it has none.

    It has 63 bits and is the same in every process. None if it is not a JSON object.
    """
    try:
        message = json.loads(item)
        if not isinstance(message, dict):
            return None
        content = _normalised(message.get("message"))
        seen = _normalised(message) if content in _NOTHING else [message.get("type"), content]
        digest = blake2b(json.dumps(seen, sort_keys=True).encode(), digest_size=8).digest()
        return int.from_bytes(digest) >> 1
    except (ValueError, RecursionError):
        return None


def _normalised(value: object, name: str = "") -> object:
    """Return a value without empty members, and links without a query, which may be a signature."""
    if isinstance(value, dict):
        members = {key: _normalised(member, key) for key, member in value.items()}
        return {key: member for key, member in members.items() if member not in _NOTHING}
    if isinstance(value, list):
        return [_normalised(element, name) for element in value]
    if isinstance(value, str) and name not in _TEXTS and value.startswith(("http://", "https://")):
        return value.partition("?")[0]
    return value
