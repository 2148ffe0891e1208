"""Hosts that publish the same events into one stream, simulated step by step."""

from collections import deque
from dataclasses import dataclass, field

from chatapp_tail.chatapp.records import Record, Source
from chatapp_tail.sinks.chain import Chain
from chatapp_tail.sinks.delivery import Delivery
from chatapp_tail.sinks.publish_window import PublishWindow
from tests.factories import record

CHANNELS = ("a", "b")


class Stream:
    """Takes each key once; sequences count from 1."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._sequences: dict[str, int] = {}

    def publish(self, key: str, published: Record) -> tuple[int, bool]:
        if key in self._sequences:
            return self._sequences[key], True
        self.records.append(published)
        self._sequences[key] = len(self.records)
        return len(self.records), False

    def contents(self, channel: str) -> list[bytes]:
        return [stored.data for stored in self.records if stored.channel == channel]


@dataclass
class Host:
    """One tail with its journal, its window and one connection to the stream."""

    stream: Stream
    size: int = 4
    alive: bool = True
    linked: set[str] = field(default_factory=set)
    missed: list[Record] = field(default_factory=list)
    """Messages since the link was cut, as history has them."""
    floors: dict[str, int] = field(default_factory=dict)
    journal: dict[int, Record] = field(default_factory=dict)
    """Live records that are not settled, by number."""
    requests: deque[tuple[int, str, Record]] = field(default_factory=deque)
    answers: deque[tuple[int, int, bool]] = field(default_factory=deque)
    number: int = 0

    def __post_init__(self) -> None:
        self._open()

    def _open(self) -> None:
        self.chain = Chain(self.floors, len(self.stream.records), remembered=6)
        self.window = PublishWindow(self.chain, self.size)

    def receive(self, item: Record) -> None:
        """Take an event of a channel, linked or not."""
        if self.alive and item.channel in self.linked:
            self.number += 1
            self.journal[self.number] = item
            self.window.give(Delivery(self.number, "", [item], b""))
        elif item.data.startswith(b'"message'):
            self.missed.append(item)

    def link(self, channel: str) -> None:
        """Confirm a channel; what was missed is read from history."""
        if not self.alive or channel in self.linked:
            return
        self.linked.add(channel)
        self.window.relink(channel)
        for item in [item for item in self.missed if item.channel == channel]:
            self.missed.remove(item)
            copy = record_of(item, source=Source.BACKFILL)
            self.window.give(Delivery(0, "", [copy], b""))

    def cut(self, channel: str) -> None:
        self.linked.discard(channel)

    def kill(self) -> None:
        """End without a word; some of what was sent may have arrived."""
        if self.alive:
            self.alive = False
            self.linked.clear()
            self.lose_connection()
            # History that was not settled is read once more by the next run.
            waiting = [*self.window._published, *self.window._waiting]
            self.missed[:0] = [
                record_of(entry.delivery.records[0], source=Source.LIVE)
                for entry in waiting
                if not isinstance(entry, str) and not entry.delivery.number
            ]

    def restart(self) -> None:
        """Begin with what the journal has."""
        if not self.alive:
            self.alive = True
            self._open()
            for number, item in self.journal.items():
                self.window.give(Delivery(number, "", [item], b""))

    def send(self) -> None:
        """Publish what the window allows."""
        if not self.alive:
            return
        entry = self.window.peek()
        if entry and entry.publication.source is Source.BACKFILL:
            channel = entry.publication.channel
            ids = [stored.id for stored in self.stream.records[self.chain.unread(channel) or 0 :]]
            self.chain.note_stored(channel, ids, len(self.stream.records))
        for entry in self.window.entries():
            published = entry.delivery.records[0]
            self.requests.append((entry.number, entry.publication.key, published))
        self._settle()

    def serve(self) -> None:
        """Have the stream take the first request."""
        if self.requests:
            number, key, published = self.requests.popleft()
            self.answers.append((number, *self.stream.publish(key, published)))

    def hear(self) -> None:
        """Take the first answer."""
        if self.answers:
            number, sequence, duplicate = self.answers.popleft()
            self.window.acknowledge(number, sequence, duplicate=duplicate)
            self._settle()

    def lose_connection(self) -> None:
        """Lose requests and answers that are under way."""
        self.requests.clear()
        self.answers.clear()
        self.window.rewind()

    def drain(self) -> None:
        """Publish until everything is acknowledged."""
        if not self.alive:
            return
        while self.window or self.requests or self.answers:
            self.send()
            self.serve()
            self.hear()

    def _settle(self) -> None:
        for entry in self.window.done():
            self.journal.pop(entry.delivery.number, None)
        self.floors = self.chain.floors()


def record_of(item: Record, source: Source) -> Record:
    return record(event=item.event, id=item.id, channel=item.channel, source=source, data=item.data)


class Account:
    """What happens: events of several kinds, each to every host that is linked."""

    def __init__(self, hosts: list[Host]) -> None:
        self.hosts = hosts
        self.number = 0
        self.expected: dict[str, list[bytes]] = {channel: [] for channel in CHANNELS}
        """By channel, in order: what some host received."""
        self.unheard: dict[str, list[bytes]] = {channel: [] for channel in CHANNELS}
        """Messages that no host received; history has them."""
        self.edited: set[bytes] = set()
        """Messages of which an edit was received: history has no need of them."""

    def emit(self, kind: str, channel: str, *, tag: int = 0) -> None:
        item, original = self._make(kind, channel, tag)
        if any(channel in host.linked for host in self.hosts):
            self.expected[channel].append(item.data)
            self.edited.add(original)
        elif kind == "message":
            self.unheard[channel].append(item.data)
        for host in self.hosts:
            host.receive(item)

    def _make(self, kind: str, channel: str, tag: int) -> tuple[Record, bytes]:
        """Return the event, and the message that it edits."""
        self.number += 1
        original = b""
        if kind == "tag":
            event, name, data = "chatTag", f"chatTag:{channel}{tag}", b'"tag %d"' % tag
        elif kind == "status":
            event, name = "messageStatus", f"messageStatus:{self.number}"
            data = b'"status %d"' % self.number
        elif kind == "edit":
            edited = self.number // 2
            event, name, data = "message", f"message:{channel}:{edited}", b'"edit %d"' % self.number
            original = b'"message %d"' % edited
        else:
            event, name = "message", f"message:{channel}:{self.number}"
            data = b'"message %d"' % self.number
        return record(event=event, id=name, channel=channel, data=data), original
