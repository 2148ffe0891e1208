"""The queue between the socket's reader and stdout's writer, so that neither waits for the other.

A reader that stops reading loses the connection, because it sends no ping, and on soketi it loses
events without a sign. `put` therefore takes every item, whatever stdout does: up to 32 MiB in
memory, then on disk in unlinked files, up to a limit that ends the program with an error. Order is
kept throughout.

Backpressure is slight: while more than the low-water mark is in memory, `put` yields to a busy
consumer for a moment, because two threads share one interpreter and a backlog would only pass
through the disk. It does not yield to a consumer that waits for stdout.
"""

import os
import threading
from collections import deque
from collections.abc import Sequence

import msgspec

from .items import ChannelEvent, Item
from .threads import Waker

MEMORY = 32 * 1024 * 1024
"""Bytes of items kept in memory."""
_CHUNK = 1024 * 1024
"""Bytes of items written to disk at once."""
_SEGMENT = 64 * 1024 * 1024
"""Bytes per file, which is deleted when all of it is read."""
_BATCH = 256 * 1024
"""Bytes of items that `take` returns."""
_LOW_WATER = 256 * 1024
"""Bytes up to which `put` never yields; a longer backlog leaves the processor's cache before it is
written."""
_YIELD_TIMEOUT = 0.02
_OVERHEAD = 250
"""Approximate bytes per item besides its data."""

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(list[Item]).decode


class _Segment:
    """One unlinked file of chunks, each written once and read once."""

    def __init__(self) -> None:
        import tempfile

        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - see close()
        self._chunks: deque[tuple[int, int]] = deque()
        """(bytes, events) of each chunk that is not yet read."""
        self._read_to = 0
        self.size = 0
        """Bytes written."""

    def append(self, chunk: bytes, events: int) -> None:
        """Write a chunk of `events` events; OSError leaves the segment as it was."""
        view, at = memoryview(chunk), self.size
        while view:
            written = os.pwrite(self._file.fileno(), view, at)
            view, at = view[written:], at + written
        self._chunks.append((len(chunk), events))
        self.size = at

    def pop(self) -> bytes:
        """Read the oldest chunk."""
        length, _ = self._chunks.popleft()
        chunk = os.pread(self._file.fileno(), length, self._read_to)
        self._read_to += length
        return chunk

    @property
    def exhausted(self) -> bool:
        return not self._chunks

    @property
    def events_left(self) -> int:
        return sum(events for _, events in self._chunks)

    def close(self) -> None:
        self._file.close()


class Spool:
    """A queue for one producer and one consumer, bounded by `limit` bytes on disk.

    `alarm` is woken on a failure, so that a consumer that waits for room in stdout learns of it.
    """

    def __init__(
        self,
        limit: int,
        alarm: Waker,
        memory: int = MEMORY,
        *,
        reader: str = "the reader of stdout",
    ) -> None:
        self.failure: str | None = None
        """Why no more items are kept; those kept before can still be taken."""
        self.peak = 0
        """The most bytes that ever waited."""
        self._reader = reader
        """What its failure calls slow."""
        self._limit = limit
        """Bytes on disk at most."""
        self._memory_limit = memory
        """Bytes in memory at most."""
        self._lock = threading.Lock()
        """Guards all regions and their sizes."""
        self._memory: deque[tuple[int, Sequence[Item]]] = deque()
        """The oldest items: batches, each with its size."""
        self._memory_size = 0
        """Bytes of them."""
        self._disk: deque[_Segment] = deque()
        """The items after them, in chunks."""
        self._disk_size = 0
        """Bytes of them."""
        self._pending: list[Item] = []
        """The newest items: the chunk that goes to disk next."""
        self._pending_size = 0
        """Bytes of them."""
        self._refused = 0
        """Events that came after the failure."""
        self._consumer_active = True
        """Whether the consumer took items since the producer last yielded in vain."""
        self._below_low_water = threading.Event()
        """Set when the consumer has taken all but a little from memory."""
        self._alarm = alarm
        """Ends the consumer's wait on a failure."""
        self._available = Waker()
        """Readable while there may be items to take."""

    def fileno(self) -> int:
        """Return the descriptor that is readable while `take` may return items."""
        return self._available.fileno()

    def put(self, batch: Sequence[Item]) -> None:
        """Keep a batch, unless the spool failed; may yield to a busy consumer for a moment."""
        if not batch:
            return
        size = _size(batch)
        with self._lock:
            if self.failure:
                self._refused += count_events(batch)
                return
            was_empty = not self._memory and not self._disk and not self._pending
            if (
                not self._disk
                and not self._pending
                and self._memory_size + size <= self._memory_limit
            ):
                self._memory.append((size, batch))
                self._memory_size += size
                if self._memory_size > _LOW_WATER:
                    self._below_low_water.clear()
            else:
                self._pending += batch
                self._pending_size += size
                if self._pending_size >= _CHUNK:
                    self._spill()
            self.peak = max(self.peak, self._memory_size + self._disk_size + self._pending_size)
        if was_empty:
            self._available.wake()
        if self.failure:
            self._alarm.wake()
        self._yield_to_consumer()

    def take(self) -> list[Item]:
        """Return a batch of the oldest items, empty when there are none; never waits."""
        with self._lock:
            if self._memory:
                return self._take_from_memory()
            if self._disk:
                return self._take_from_disk()
            items, self._pending, self._pending_size = self._pending, [], 0
            if not items:
                self._available.clear()
            return items

    def put_back(self, items: Sequence[Item]) -> None:
        """Have `take` return the last of the items taken once more; for the consumer."""
        if items:
            with self._lock:
                self._memory.appendleft((0, items))

    @property
    def events_left(self) -> int:
        """How many events were put and not taken, including those after a failure."""
        with self._lock:
            in_memory = sum(count_events(batch) for _, batch in self._memory)
            on_disk = sum(segment.events_left for segment in self._disk)
            return in_memory + on_disk + count_events(self._pending) + self._refused

    def close(self) -> None:
        """Release descriptors and disk; items that were not taken are lost."""
        self._available.close()
        for segment in self._disk:
            segment.close()

    def _yield_to_consumer(self) -> None:
        """Wait for a moment above the low-water mark, unless the consumer is blocked."""
        if self._consumer_active and self._memory_size > _LOW_WATER:
            self._consumer_active = self._below_low_water.wait(_YIELD_TIMEOUT)

    def _take_from_memory(self) -> list[Item]:
        items: list[Item] = []
        taken = 0
        while self._memory and taken < _BATCH:
            size, batch = self._memory.popleft()
            items += batch
            taken += size
        self._memory_size -= taken
        self._consumer_active = True
        if self._memory_size <= _LOW_WATER:
            self._below_low_water.set()
        return items

    def _take_from_disk(self) -> list[Item]:
        segment = self._disk[0]
        chunk = segment.pop()
        self._disk_size -= len(chunk)
        if segment.exhausted:
            self._disk.popleft().close()
        return _decode(chunk)

    def _write(self, chunk: bytes, events: int) -> None:
        if self._disk and self._disk[-1].size < _SEGMENT:
            self._disk[-1].append(chunk, events)
            return
        segment = _Segment()
        try:
            segment.append(chunk, events)
        except OSError:
            segment.close()
            raise
        self._disk.append(segment)

    def _spill(self) -> None:
        chunk = _encode(self._pending)
        if self._disk_size + len(chunk) > self._limit:
            self.failure = (
                f"{self._reader} is too slow: {self._disk_size} bytes wait on disk, and the"
                f" limit is {self._limit} (--spool-limit)"
            )
            return
        try:
            self._write(chunk, count_events(self._pending))
        except OSError as error:
            self.failure = f"cannot keep what {self._reader} does not take yet: {error.strerror}"
            return
        self._disk_size += len(chunk)
        self._pending, self._pending_size = [], 0


def import_tempfile() -> None:
    """Import tempfile early: it takes 2 ms, and its file may be gone after an upgrade."""
    import tempfile  # noqa: F401


def count_events(batch: Sequence[Item]) -> int:
    """Return how many items are events."""
    return sum([type(item) is ChannelEvent for item in batch])


def _size(batch: Sequence[Item]) -> int:
    data = sum([len(item.data or b"") for item in batch if type(item) is ChannelEvent])
    return data + _OVERHEAD * len(batch)
