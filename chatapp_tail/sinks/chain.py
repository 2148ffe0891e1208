"""The keys by which a stream tells repeats from duplicates, for any number of publishers.

Several hosts publish the same events into one stream, which takes each key once and answers a
duplicate with the sequence of the message that it has. The key of a record is `id@hash`. An event
that is repeated byte for byte has the sequence of its previous occurrence in its key as well:
`id@hash@sequence`. All hosts learn that sequence from their acknowledgements, stored or duplicate,
so all make the same key, without clocks, leases or a leader.

A host that was not linked for some time did not see the occurrences of that time. It tells them by
a *floor*, a sequence per channel: what the stream has up to there was published before this link. A
duplicate up to the floor is an earlier occurrence, and the record is published again under the next
key; a duplicate beyond it is the same occurrence, from another host. The floor of a new link is the
last sequence that this host knows of the channel, until its first record of the link settles it:
in each channel every host publishes in the order of the events, so what precedes this link precedes
that record in the stream.

Only events without an id of their own, such as tags, are looked for up to the floor. Two equal
messages or statuses are one, unless this host itself received both: an edit may be taken back.

What remains: where an event is repeated byte for byte around the moment in which one host is linked
again and another one ends, the repeat may be missing, or there twice.
"""

import re
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from itertools import islice

from ..chatapp.records import Record, Source

_REMEMBERED = 16_384
"""Occurrences per generation, of which there are two; about 100 bytes each."""
_IDS = 100_000
"""Ids of messages in the stream that are kept at most, for those from history."""
_OVERLAP = 10_000
"""Messages of the stream that are read once more before history, which overlaps as well."""
_WITH_OWN_ID = ("message", "messageStatus")
_KEY = re.compile("(.*)@[0-9a-f]{12}")
_CHAINED_KEY = re.compile("(.*)@[0-9a-f]{12}@[0-9]+")


class Verdict(Enum):
    """What becomes of a record."""

    PUBLISH = auto()
    PUBLISH_ALONE = auto()
    """Nothing may be published behind it before its acknowledgement: its key may have to change."""
    WAIT = auto()
    """The acknowledgement of its previous occurrence is needed first."""
    DROP = auto()
    """The stream has the message."""


class _Link:
    """A channel from one confirmation to the next; `settled` once the floor is known exactly."""

    __slots__ = ("floor", "settled")

    def __init__(self, floor: int) -> None:
        self.floor = floor
        self.settled = False


def id_of(key: str) -> str:
    """Return the id in a key."""
    match = _CHAINED_KEY.fullmatch(key) or _KEY.fullmatch(key)
    return match[1] if match else key


def _printable(text: str) -> str:
    """Return an id as a header can hold it; the network may have put anything in it."""
    if text.isascii() and text.isprintable():
        return text
    return ascii(text)


class Publication:
    """A record on its way into the stream; `key` is set once it is offered."""

    __slots__ = (
        "channel",
        "has_own_id",
        "id",
        "is_repeat",
        "key",
        "link",
        "name",
        "occurrence",
        "source",
    )

    def __init__(self, record: Record) -> None:
        self.channel = record.channel or ""
        self.id = _printable(record.id)
        self.name = f"{self.id}@{record.hash}"
        self.occurrence = hash(self.name)
        """Stands for the name in what is remembered: 64 bits."""
        self.source = record.source
        self.has_own_id = record.event in _WITH_OWN_ID
        self.is_repeat = False
        """Whether this host knows a previous occurrence."""
        self.key = ""
        self.link: _Link | None = None


class _Generation:
    """The last sequences of some occurrences, and the highest of each channel among them."""

    def __init__(self) -> None:
        self.last: dict[int, int] = {}
        self.highest: dict[str, int] = {}

    def note(self, occurrence: int, channel: str, sequence: int) -> None:
        self.last[occurrence] = sequence
        self.highest[channel] = max(sequence, self.highest.get(channel, 0))


class Chain:
    """Makes the keys of one host; without input, output or clocks.

    `floors` are those that an earlier run of this host returned by `floors`. `start` is the
    sequence at which the stream ended when this run first reached it: the floor of channels of
    which this host knows no sequence.
    """

    def __init__(
        self,
        floors: Mapping[str, int] | None = None,
        start: int = 0,
        *,
        remembered: int = _REMEMBERED,
    ) -> None:
        self.start = start
        self._remembered = remembered
        self._highest = dict(floors or {})
        """The last acknowledged sequence of each channel, of live records."""
        self._links: dict[str, _Link] = {}
        self._young, self._old = _Generation(), _Generation()
        self._unacknowledged: set[int] = set()
        """Occurrences that were offered and are not done."""
        self._stored: dict[str, None] = {}
        """Ids of messages that the stream has, the oldest first."""
        self._unread: dict[str, int] = {}
        """What follows in the stream, of each channel, may hold messages that history has too."""

    def floors(self) -> dict[str, int]:
        """Return what the next run of this host is to begin with."""
        return dict(self._highest)

    def floor(self, channel: str) -> int:
        """Return up to which sequence the stream is older than the present link."""
        return self._link(channel).floor

    def note_end(self, sequence: int) -> None:
        """Note where the stream ends; sequences beyond are those of a stream that was deleted."""
        if max(self._highest.values(), default=0) > sequence:
            self._highest.clear()
            self._links.clear()
            self._unread.clear()
            self._young, self._old = _Generation(), _Generation()

    def relink(self, channel: str) -> None:
        """Note that records of `channel` offered from now on came over a new link."""
        highest = self._highest.get(channel)
        self._links[channel] = _Link(self.start if highest is None else highest)
        if highest is not None:
            self._unread.setdefault(channel, max(0, highest - _OVERLAP))

    def unread(self, channel: str) -> int | None:
        """Return from where on to read the stream before history is published; None if unknown."""
        return self._unread.get(channel)

    def note_stored(self, channel: str, ids: Iterable[str], until: int) -> None:
        """Note ids of messages that were read in the stream, up to the sequence `until`."""
        self._unread[channel] = until
        self._stored.update(dict.fromkeys(ids))
        for name in list(islice(self._stored, max(0, len(self._stored) - _IDS))):
            del self._stored[name]

    def offer(self, publication: Publication) -> Verdict:
        """Return whether to publish a record now, and give it its key; in the order received."""
        if publication.source is not Source.LIVE:
            publication.key = publication.name
            known = publication.source is Source.BACKFILL and publication.id in self._stored
            return Verdict.DROP if known else Verdict.PUBLISH
        if publication.occurrence in self._unacknowledged:
            return Verdict.WAIT
        self._unacknowledged.add(publication.occurrence)
        publication.link = link = self._link(publication.channel)
        last = self._last(publication.occurrence)
        publication.is_repeat = last is not None
        publication.key = publication.name if last is None else f"{publication.name}@{last}"
        may_change = not publication.has_own_id and (last or 0) <= link.floor > 0
        return Verdict.PUBLISH_ALONE if may_change else Verdict.PUBLISH

    def acknowledge(self, publication: Publication, sequence: int, *, duplicate: bool) -> bool:
        """Take the stream's answer, in the order of the publications; return whether it is done.

        If not, the record is to be published again, under its new key.
        """
        link = publication.link
        if link is None:
            return True
        if duplicate and not publication.has_own_id and sequence <= link.floor:
            publication.key = f"{publication.name}@{sequence}"
            return False
        self._settle_floor(publication, link, sequence, duplicate=duplicate)
        self._note(publication, sequence)
        self._unacknowledged.discard(publication.occurrence)
        return True

    def withdraw(self, publication: Publication) -> None:
        """Note that a record is given up; its key is free."""
        self._unacknowledged.discard(publication.occurrence)

    def _link(self, channel: str) -> _Link:
        if channel not in self._links:  # an earlier run of this host received what comes first
            self._links[channel] = _Link(self._highest.get(channel, 0))
        return self._links[channel]

    def _settle_floor(
        self, publication: Publication, link: _Link, sequence: int, *, duplicate: bool
    ) -> None:
        is_exact = not publication.is_repeat and (publication.has_own_id or not duplicate)
        if is_exact and not link.settled:
            link.floor, link.settled = sequence - 1, True

    def _note(self, publication: Publication, sequence: int) -> None:
        channel = publication.channel
        self._highest[channel] = max(sequence, self._highest.get(channel, 0))
        if publication.link is not self._links.get(channel):  # it came before the present link
            self._raise_floor(channel, sequence)
        self._young.note(publication.occurrence, channel, sequence)
        if len(self._young.last) >= self._remembered:
            for name, highest in self._old.highest.items():
                self._raise_floor(name, highest)
            self._young, self._old = _Generation(), self._young

    def _raise_floor(self, channel: str, sequence: int) -> None:
        link = self._link(channel)
        link.floor = max(link.floor, sequence)

    def _last(self, occurrence: int) -> int | None:
        last = self._young.last.get(occurrence)
        return self._old.last.get(occurrence) if last is None else last
