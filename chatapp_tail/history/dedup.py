"""Drops the second of two: a message that came live and stands in history comes out once.

Only messages can come from history. What the server sends live twice is shown twice: an edited
message has the id it had before, and honest repeats are the server's to make. So a live message is
a double of the copy that history gave only if both say the same; if not, it was edited, or the
wording of the two differs and it comes twice.
"""

import json
from collections.abc import Callable, Iterable
from itertools import islice
from math import inf
from typing import NamedTuple

from ..chatapp.records import Record, Source

CAPACITY = 30_000
"""How many ids are remembered of those shown live, and as many of those from history.

While a gap is read, more are of those shown live: all since the moment from which on history may
have them too. Before a gap is known, that is some minutes: enough at a hundred messages per second.
An id that is forgotten too early makes a double, never a loss.
"""

_LIVE = Source.LIVE
_TEXTS = ("text", "caption")
_NOTHING: tuple[object, ...] = (None, "", [], {})


class Deduplicator:
    """Remembers the messages shown of late; `seen` are ids of an earlier run, `now` counts them.

    `now` is in nanoseconds, as is the `received` of records. `keep_since` tells since when nothing
    that was shown live may be forgotten; infinity where no gap is being read.
    """

    def __init__(
        self,
        seen: Iterable[str] = (),
        *,
        now: int = 0,
        keep_since: Callable[[], float] = lambda: inf,
    ) -> None:
        # Oldest first; moving one to the end is removing and adding it.
        self._live = dict.fromkeys(seen, now)
        self._from_history: dict[str, _Fingerprint] = {}
        self._keep_since = keep_since
        self._capacity = self._prune_at = CAPACITY + len(self._live)

    def drop_duplicates(self, records: list[Record]) -> list[Record]:
        """Return the records that are to be shown; they count as shown from now on."""
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
        fingerprints[record.id] = _Fingerprint(hash(record.data), _content_hash(record.data))
        if len(fingerprints) > CAPACITY:
            for name in list(islice(fingerprints, 1 + CAPACITY // 100)):
                del fingerprints[name]
        return True

    def _prune(self) -> None:
        """Forget the oldest of too many: some at once, since it takes time."""
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
    """What a message said, as hashes: of its bytes, and of its content."""

    item: int
    content: int | None


def _matches(item: bytes, fingerprint: _Fingerprint) -> bool:
    """Return whether an item says what was said."""
    if hash(item) == fingerprint.item:
        return True
    return fingerprint.content is not None and _content_hash(item) == fingerprint.content


def _content_hash(item: bytes) -> int | None:
    """Return a hash of what a person sees of a message, of all of it where that is nothing.

    None of what is no object of JSON.
    """
    try:
        message = json.loads(item)
        if not isinstance(message, dict):
            return None
        content = _normalised(message.get("message"))
        seen = _normalised(message) if content in _NOTHING else [message.get("type"), content]
        return hash(json.dumps(seen, sort_keys=True))
    except (ValueError, RecursionError):
        return None


def _normalised(value: object, name: str = "") -> object:
    """Return a value without what is empty, and its links without what may be signed again."""
    if isinstance(value, dict):
        members = {key: _normalised(member, key) for key, member in value.items()}
        return {key: member for key, member in members.items() if member not in _NOTHING}
    if isinstance(value, list):
        return [_normalised(element, name) for element in value]
    if isinstance(value, str) and name not in _TEXTS and value.startswith(("http://", "https://")):
        return value.partition("?")[0]
    return value
