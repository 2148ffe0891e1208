"""Wake-ups, from any thread, for a wait on descriptors."""

import select
import threading
from collections.abc import Iterator

import pytest

from chatapp_tail.threads import Waker

from ..conftest import TIMEOUT_SCALE


@pytest.fixture
def waker() -> Iterator[Waker]:
    waker = Waker()
    yield waker
    waker.close()


def readable(waker: Waker, timeout: float = 0.0) -> bool:
    return bool(select.select([waker], [], [], timeout * TIMEOUT_SCALE)[0])


def test_asleep_until_woken(waker: Waker) -> None:
    assert not readable(waker)
    waker.wake()
    assert readable(waker)


def test_it_stays_awake_until_cleared(waker: Waker) -> None:
    waker.wake()
    assert readable(waker)
    assert readable(waker)
    waker.clear()
    assert not readable(waker)


def test_clearing_one_asleep_does_not_block(waker: Waker) -> None:
    waker.clear()
    waker.clear()
    assert not readable(waker)


def test_waking_never_blocks_and_many_times_is_once(waker: Waker) -> None:
    for _ in range(100_000):
        waker.wake()
    waker.clear()
    assert not readable(waker)
    waker.wake()
    assert readable(waker)


def test_another_thread_ends_the_wait(waker: Waker) -> None:
    thread = threading.Thread(target=waker.wake)
    thread.start()
    assert readable(waker, 10.0)
    thread.join()


def test_waking_one_that_is_closed_is_nothing() -> None:
    waker = Waker()
    waker.close()
    waker.wake()
