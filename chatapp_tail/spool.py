"""The queue between the socket's reader and stdout's writer, so that neither waits for the other.

A reader that stops reading loses the link (no ping goes out) and, on soketi, loses events while
all looks well. So whatever stdout does, `put` takes what came: up to 32 MiB in memory, then on disk
in unlinked files, up to a limit that ends the program loudly. Order is kept throughout.

A writer that is merely busy gets a moment to catch up: two threads share one interpreter, and what
the reader wins by being faster would only go through the disk. One that waits for stdout does not.
"""

import os
import threading
from collections import deque
from collections.abc import Sequence

import msgspec

from .items import ChannelEvent, Item
from .threads import Waker

MEMORY = 32 * 1024 * 1024
_CHUNK = 1024 * 1024
_SEGMENT = 64 * 1024 * 1024
_TAKE = 256 * 1024
_PLENTY = 256 * 1024
"""Bytes up to which nobody waits: with more than this ahead, what is read has left the processor's
cache before it is written."""
_MOMENT = 0.02
_OVERHEAD = 250
"""Bytes an item takes beside its data, roughly."""

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(list[Item]).decode


class _Segment:
    """One unlinked file of chunks, written once, read once, then given back to the disk."""

    def __init__(self) -> None:
        import tempfile

        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - see close()
        self._chunks: deque[tuple[int, int]] = deque()
        """(bytes, events) of each chunk that was not read yet."""
        self._read_to = 0
        self.size = 0

    def append(self, chunk: bytes, events: int) -> None:
        """Write a whole chunk that holds so many events; OSError leaves the segment as it was."""
        view, at = memoryview(chunk), self.size
        while view:
            written = os.pwrite(self._file.fileno(), view, at)
            view, at = view[written:], at + written
        self._chunks.append((len(chunk), events))
        self.size = at

    def pop(self) -> bytes:
        """Read the oldest chunk left."""
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
    """Unbounded by memory, bounded by `limit` bytes on disk; one thread puts, another takes.

    `alarm` is woken on a failure: a taker that waits for room in stdout should know.
    """

    def __init__(self, limit: int, alarm: Waker, memory: int = MEMORY) -> None:
        self.failure: str | None = None
        """Why items can no longer be kept, once that is so; those kept can still be taken."""
        self.peak = 0
        self._limit = limit
        self._memory = memory
        self._lock = threading.Lock()
        # Oldest to newest: batches in memory, chunks on disk, and the chunk being filled.
        self._head: deque[tuple[int, Sequence[Item]]] = deque()
        self._head_size = 0
        self._segments: deque[_Segment] = deque()
        self._disk_size = 0
        self._tail: list[Item] = []
        self._tail_size = 0
        self._refused = 0
        # Whether the taker took something since it last was waited for, and that little is left.
        self._taking = True
        self._little_left = threading.Event()
        self._alarm = alarm
        self._available = Waker()

    def fileno(self) -> int:
        """Return the descriptor that is readable when `take` may have something."""
        return self._available.fileno()

    def put(self, batch: Sequence[Item]) -> None:
        """Keep a batch; waits for a busy taker for a moment, for one that takes nothing only once.

        After a failure nothing more is kept.
        """
        if not batch:
            return
        size = _size(batch)
        with self._lock:
            if self.failure:
                self._refused += count_events(batch)
                return
            was_empty = not self._head and not self._segments and not self._tail
            if not self._segments and not self._tail and self._head_size + size <= self._memory:
                self._head.append((size, batch))
                self._head_size += size
                if self._head_size > _PLENTY:
                    self._little_left.clear()
            else:
                self._tail += batch
                self._tail_size += size
                if self._tail_size >= _CHUNK:
                    self._spill()
            self.peak = max(self.peak, self._head_size + self._disk_size + self._tail_size)
        if was_empty:
            self._available.wake()
        if self.failure:
            self._alarm.wake()
        if self._taking and self._head_size > _PLENTY:
            self._taking = self._little_left.wait(_MOMENT)

    def take(self) -> list[Item]:
        """Return the oldest items, some at a time; nothing when there are none. Never waits."""
        with self._lock:
            if self._head:
                return self._take_from_memory()
            if self._segments:
                return self._take_from_disk()
            items, self._tail, self._tail_size = self._tail, [], 0
            if not items:
                self._available.clear()
            return items

    def put_back(self, items: Sequence[Item]) -> None:
        """Have the next `take` return the last items taken once more; for the taker."""
        if items:
            with self._lock:
                self._head.appendleft((0, items))

    @property
    def events_left(self) -> int:
        """How many events were put and not taken, those after a failure with them."""
        with self._lock:
            in_memory = sum(count_events(batch) for _, batch in self._head)
            on_disk = sum(segment.events_left for segment in self._segments)
            return in_memory + on_disk + count_events(self._tail) + self._refused

    def close(self) -> None:
        """Give back descriptors and disk; what was not taken is gone."""
        self._available.close()
        for segment in self._segments:
            segment.close()

    def _take_from_memory(self) -> list[Item]:
        items: list[Item] = []
        taken = 0
        while self._head and taken < _TAKE:
            size, batch = self._head.popleft()
            items += batch
            taken += size
        self._head_size -= taken
        self._taking = True
        if self._head_size <= _PLENTY:
            self._little_left.set()
        return items

    def _take_from_disk(self) -> list[Item]:
        segment = self._segments[0]
        chunk = segment.pop()
        self._disk_size -= len(chunk)
        if segment.exhausted:
            self._segments.popleft().close()
        return _decode(chunk)

    def _write(self, chunk: bytes, events: int) -> None:
        if self._segments and self._segments[-1].size < _SEGMENT:
            self._segments[-1].append(chunk, events)
            return
        segment = _Segment()
        try:
            segment.append(chunk, events)
        except OSError:
            segment.close()
            raise
        self._segments.append(segment)

    def _spill(self) -> None:
        chunk = _encode(self._tail)
        if self._disk_size + len(chunk) > self._limit:
            self.failure = (
                f"the reader of stdout is too slow: {self._disk_size} bytes wait on disk, and the"
                f" limit is {self._limit} (--spool-limit)"
            )
            return
        try:
            self._write(chunk, count_events(self._tail))
        except OSError as error:
            self.failure = f"cannot keep what stdout does not take yet: {error.strerror}"
            return
        self._disk_size += len(chunk)
        self._tail, self._tail_size = [], 0


def import_tempfile() -> None:
    """Import what spilling needs, as long as there is time: it takes 2 ms, and files go away."""
    import tempfile  # noqa: F401


def count_events(batch: Sequence[Item]) -> int:
    """Return how many items are events."""
    return sum([type(item) is ChannelEvent for item in batch])


def _size(batch: Sequence[Item]) -> int:
    data = sum([len(item.data or b"") for item in batch if type(item) is ChannelEvent])
    return data + _OVERHEAD * len(batch)
