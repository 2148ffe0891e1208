"""The queue between reader and writer: order, limits, wake-ups, and what is given back."""

import os
import resource
import select
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatapp_tail import items
from chatapp_tail import spool as module
from chatapp_tail.items import ChannelEvent, Gap, Item, StopCause
from chatapp_tail.spool import Spool
from chatapp_tail.threads import Waker

from ..conftest import TIMEOUT_SCALE

PLENTY = 1024**3
MEBIBYTE = 1024 * 1024


@contextmanager
def opened(limit: int = PLENTY, memory: int = 0) -> Iterator[tuple[Spool, Waker]]:
    """A spool that goes to disk at once, unless told how much memory it has, and its alarm."""
    alarm = Waker()
    spool = Spool(limit, alarm, memory)
    try:
        yield spool, alarm
    finally:
        spool.close()
        alarm.close()


def event(number: int, size: int = 0) -> ChannelEvent:
    return ChannelEvent(number, "message", "news", b"x" * size)


def awake(waker: Waker | Spool) -> bool:
    return bool(select.select([waker], [], [], 0)[0])


def drain(spool: Spool) -> list[Item]:
    drained: list[Item] = []
    while batch := spool.take():
        drained += batch
    return drained


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def numbers(drained: list[Item]) -> list[int]:
    return [item.received for item in drained if isinstance(item, ChannelEvent)]


# --- order --------------------------------------------------------------------------------------

SIZES = st.sampled_from((0, 10, 400_000, 1_100_000))
Operation = list[int] | None
operations = st.lists(st.none() | st.lists(SIZES, min_size=1, max_size=4), max_size=25)


@settings(max_examples=60)
@given(operations, st.sampled_from((0, 1000, 900_000, 5 * MEBIBYTE)))
def test_order_is_kept_over_memory_disk_and_back(steps: list[Operation], memory: int) -> None:
    put, taken = 0, list[int]()
    with opened(memory=memory) as (spool, _):
        for step in steps:
            if step is None:
                batch = spool.take()
                spool.put_back(batch[1:])
                taken += numbers(batch[:1])
            else:
                spool.put([event(put + at, size) for at, size in enumerate(step)])
                put += len(step)
            assert awake(spool) or len(taken) == put
        taken += numbers(drain(spool))
        assert spool.failure is None
    assert taken == list(range(put))


def test_items_put_back_are_taken_once_more_before_all_others() -> None:
    with opened(memory=PLENTY) as (spool, _):
        spool.put([event(1), event(2)])
        batch = spool.take()
        spool.put([event(3)])
        spool.put_back(batch[1:])
        assert spool.events_left == 2
        assert numbers(drain(spool)) == [2, 3]
        spool.put_back([])
        assert (spool.take(), awake(spool)) == ([], False)


EVERY_KIND: list[Item] = [
    ChannelEvent(1, "message", "news", b'{"a":1.10}'),
    ChannelEvent(2, "", None, None),
    ChannelEvent(3, "é\u2028\x00", "", b"\xf0\x9f\x98\x80"),
    items.Connecting(4, "wss://h:6001"),
    items.Connected(5, "1.2"),
    items.Subscribed(6, "news"),
    items.Ready(7, ["news"], ["other"]),
    items.Refused(8, "other", "no"),
    items.ConnectionWarning(9, "odd", None),
    items.ConnectionWarning(10, "odd", "news"),
    items.Idle(11, 60.0, 1.5, None),
    items.Lost(12, "gone", None, None),
    items.Lost(13, "gone", 4200, 1.5),
    items.Reconnecting(14, 0.25),
    items.Fetching(15, 40, 17, 350),
    Gap("news", 15, 16, "lost"),
    Gap("news", 15, 16, "lost", recovered=3, missing=None),
    items.Watermarks({"news": 16, "other": 2**62}),
    *(items.Stopped(17, cause, "end") for cause in StopCause),
]


def test_every_kind_of_item_comes_back_from_disk_as_it_was() -> None:
    with opened() as (spool, _):
        spool.put([*EVERY_KIND, event(99, MEBIBYTE)])
        spool.put(EVERY_KIND)
        taken = drain(spool)
    assert taken == [*EVERY_KIND, event(99, MEBIBYTE), *EVERY_KIND]


@pytest.mark.parametrize("code", [0, 1006, 65535])
def test_whatever_code_a_link_ends_with_can_be_kept(code: int) -> None:
    lost = items.Lost(1, "made up", code, 1.0)
    with opened() as (spool, _):
        spool.put([lost, event(2, MEBIBYTE)])
        assert drain(spool) == [lost, event(2, MEBIBYTE)]


# --- memory, disk, descriptors ------------------------------------------------------------------


def test_what_fits_in_memory_never_touches_the_disk() -> None:
    with opened(memory=10 * MEBIBYTE) as (spool, _):
        before = descriptors()
        for number in range(9):
            spool.put([event(number, MEBIBYTE)])
        assert descriptors() == before
        assert numbers(drain(spool)) == list(range(9))


def test_memory_is_bounded_by_what_was_allowed() -> None:
    with opened(memory=MEBIBYTE) as (spool, _):
        for number in range(3):
            spool.put([event(number, MEBIBYTE // 2 - 1000)])
        assert numbers(drain(spool)) == [0, 1, 2]
        assert MEBIBYTE <= spool.peak < 2 * MEBIBYTE


def test_descriptors_and_disk_are_given_back_as_it_is_read() -> None:
    with opened() as (spool, _):
        before = descriptors()
        for number in range(150):
            spool.put([event(number, MEBIBYTE)])
        assert descriptors() == before + 3
        taken = [number for _ in range(70) for number in numbers(spool.take())]
        assert descriptors() == before + 2
        taken += numbers(drain(spool))
        assert taken == list(range(150))
        assert descriptors() == before


def test_the_files_have_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with opened() as (spool, _):
        spool.put([event(1, MEBIBYTE)])
        assert list(tmp_path.iterdir()) == []
        assert drain(spool)


def test_closing_gives_everything_back() -> None:
    before = descriptors()
    with opened() as (spool, _):
        spool.put([event(1, MEBIBYTE)])
        assert descriptors() > before
    assert descriptors() == before


def test_disk_read_makes_room_for_more() -> None:
    with opened(limit=3 * MEBIBYTE) as (spool, _):
        for number in range(30):
            spool.put([event(number, MEBIBYTE)])
            assert numbers(spool.take()) == [number]
        assert spool.failure is None


@pytest.mark.defect("U4")
@pytest.mark.parametrize("memory", [0, MEBIBYTE, PLENTY], ids=["disk", "both", "memory"])
def test_it_knows_how_many_events_are_left(memory: int) -> None:
    with opened(memory=memory) as (spool, _):
        assert spool.events_left == 0
        for number in range(70):
            spool.put([event(number, MEBIBYTE // 3), items.Connecting(1, "ws://h")])
        left = 70
        while batch := spool.take():
            left -= len(numbers(batch))
            assert spool.events_left == left
        assert left == 0


@pytest.mark.defect("U4")
def test_what_is_no_longer_kept_is_counted() -> None:
    with opened(limit=MEBIBYTE) as (spool, _):
        for number in range(3):
            spool.put([event(number, MEBIBYTE)])
        assert spool.failure
        assert spool.events_left == 3
        assert numbers(drain(spool)) == [0]
        assert spool.events_left == 2


# --- failures -----------------------------------------------------------------------------------


def test_the_limit_is_said_and_what_was_kept_can_be_taken() -> None:
    with opened(limit=3 * MEBIBYTE + 1000) as (spool, alarm):
        for number in range(3):
            spool.put([event(number, MEBIBYTE)])
        assert not awake(alarm)
        spool.put([event(3, MEBIBYTE)])
        assert awake(alarm)
        assert spool.failure is not None
        assert "--spool-limit" in spool.failure
        spool.put([event(4, MEBIBYTE)])
        assert numbers(drain(spool)) == [0, 1, 2, 3]
        assert drain(spool) == []


@contextmanager
def limited(kind: int, to: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (to, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


@pytest.mark.parametrize("kept", [0, 1, 2], ids=lambda kept: f"after {kept} chunks")
@pytest.mark.parametrize("room", [0, 1000], ids=["no room", "room for half"])
def test_a_full_disk_is_said_and_what_was_kept_can_be_taken(kept: int, room: int) -> None:
    with opened() as (spool, alarm):
        for number in range(kept):
            spool.put([event(number, MEBIBYTE)])
        full = limited(resource.RLIMIT_FSIZE, kept * (MEBIBYTE + 40) + room)
        with full:
            spool.put([event(kept, MEBIBYTE)])
        assert awake(alarm)
        assert spool.failure is not None
        spool.put([event(99)])
        assert numbers(drain(spool)) == list(range(kept + 1))


def test_no_descriptor_left_is_said_and_what_was_kept_can_be_taken() -> None:
    with opened(memory=1000) as (spool, alarm):
        spool.put([event(0)])
        highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
        holders = [os.dup(0) for _ in range(highest)]
        try:
            with limited(resource.RLIMIT_NOFILE, 3):
                spool.put([event(1, MEBIBYTE)])
        finally:
            for descriptor in holders:
                os.close(descriptor)
        assert awake(alarm)
        assert spool.failure is not None
        assert numbers(drain(spool)) == [0, 1]


def test_no_directory_for_temporary_files_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    with opened() as (spool, alarm):
        spool.put([event(0, MEBIBYTE)])
        assert awake(alarm)
        assert spool.failure
        assert numbers(drain(spool)) == [0]


# --- wake-ups -----------------------------------------------------------------------------------


def test_asleep_when_empty_awake_when_not() -> None:
    with opened(memory=MEBIBYTE) as (spool, _):
        assert not awake(spool)
        spool.put([event(1)])
        assert awake(spool)
        assert drain(spool)
        assert not awake(spool)
        spool.put([event(2)])
        assert awake(spool)


def test_an_empty_batch_is_nothing() -> None:
    with opened(memory=MEBIBYTE) as (spool, _):
        spool.put([])
        assert spool.take() == []
        assert spool.take() == []
        assert not awake(spool)
        spool.put([event(1)])
        assert numbers(drain(spool)) == [1]


@pytest.mark.parametrize("memory", [0, 2000, PLENTY], ids=["disk", "both", "memory"])
def test_no_wake_up_is_lost_between_threads(memory: int) -> None:
    count, deadline = 20_000, 30_000 * TIMEOUT_SCALE
    with opened(memory=memory) as (spool, _):

        def write() -> None:
            for number in range(count):
                spool.put([event(number, MEBIBYTE if number % 1000 == 500 else 0)])

        writer = threading.Thread(target=write)
        waits = select.poll()
        waits.register(spool, select.POLLIN)
        writer.start()
        count_taken = 0
        while count_taken < count:
            assert waits.poll(deadline), f"asleep after {count_taken} of {count}"
            for number in numbers(spool.take()):
                assert number == count_taken
                count_taken += 1
        writer.join()
        assert drain(spool) == []
        assert not awake(spool)


def test_a_taker_gets_some_at_a_time() -> None:
    with opened(memory=PLENTY) as (spool, _):
        for number in range(20):
            spool.put([event(number, 100_000)])
        assert 1 <= len(spool.take()) < 20


@pytest.mark.parametrize("taken", [0, 5])
def test_putting_never_waits_for_a_taker_that_does_nothing(taken: int) -> None:
    with opened(memory=1000) as (spool, _):
        for number in range(20_000):
            spool.put([event(number)])
        for _ in range(taken):
            spool.take()
        assert spool.failure is None


# --- a taker that is busy, and one that is stuck -------------------------------------------------


class Impatient(threading.Event):
    """Counts who waits for it, and lets nobody wait."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        assert timeout < 0.1
        self.waits += 1
        return self.is_set()


@pytest.mark.parametrize(
    ("memory", "size", "takes"),
    [(module.MEMORY, module._LOW_WATER - 1000, True), (0, MEBIBYTE, False)],
    ids=["little", "on disk"],
)
def test_what_takes_no_memory_is_not_waited_for(memory: int, size: int, *, takes: bool) -> None:
    with opened(memory=memory) as (spool, _):
        spool._below_low_water = waited = Impatient()
        for number in range(1000 if takes else 10):
            spool.put([event(number, size)])
            if takes:
                spool.take()
        assert waited.waits == 0


def test_a_taker_that_takes_nothing_is_waited_for_once() -> None:
    with opened(memory=module.MEMORY) as (spool, _):
        spool._below_low_water = waited = Impatient()
        for number in range(60):
            spool.put([event(number, MEBIBYTE)])
        assert waited.waits == 1
        assert numbers(spool.take()) == [0]
        assert numbers(drain(spool)) == list(range(1, 60))


def test_a_taker_that_goes_on_is_waited_for_again() -> None:
    with opened(memory=module.MEMORY) as (spool, _):
        spool._below_low_water = waited = Impatient()
        for number in range(4):
            spool.put([event(number, MEBIBYTE)])
        assert waited.waits == 1
        spool.take()
        spool.put([event(4, MEBIBYTE)])
        assert waited.waits == 2


def test_the_wait_ends_when_little_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_YIELD_TIMEOUT", 60 * TIMEOUT_SCALE)
    with opened(memory=module.MEMORY) as (spool, _):
        batch = [event(0, 3 * MEBIBYTE)]
        putter = threading.Thread(target=spool.put, args=(batch,))
        putter.start()
        taken: list[Item] = []
        while not taken:
            taken = spool.take()
        putter.join(10 * TIMEOUT_SCALE)
        assert not putter.is_alive()
        assert taken == batch
