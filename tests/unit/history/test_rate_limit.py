"""The pace of requests: how many begin in any one second, and none in a pause."""

import random
import threading
import time
from collections.abc import Callable

import pytest

from chatapp_tail.history.rate_limit import EVERY, RateLimiter
from tests.conftest import TIMEOUT_SCALE


class Clock:
    """A clock of many threads that only sleeping moves on."""

    def __init__(self, now: float = 0.0) -> None:
        self._changed = threading.Lock()
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0, "to sleep for no time is to be busy"
        with self._changed:
            self.now = max(self.now, self.now + seconds)
            self.slept.append(seconds)


def begin(limiter: RateLimiter, clock: Clock, count: int) -> list[float]:
    """Begin so many requests one after the other; when each did."""
    begun = []
    for _ in range(count):
        limiter.wait()
        begun.append(clock.now)
    return begun


def most_in_a_second(begun: list[float]) -> int:
    """The most that began in any second, which holds its own begin and not its end."""
    # What is a second apart to the last bit of a float is a second apart.
    return max(sum(each <= other < each + 1 - 1e-6 for other in begun) for each in begun)


def in_threads(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20 * TIMEOUT_SCALE)
        assert not thread.is_alive()


def test_the_first_one_does_not_wait() -> None:
    clock = Clock(1000.0)
    assert begin(RateLimiter(0.5, clock, clock.sleep), clock, 1) == [1000.0]
    assert clock.slept == []


def test_the_others_follow_evenly() -> None:
    clock = Clock(1000.0)
    limiter = RateLimiter(0.5, clock, clock.sleep)
    assert begin(limiter, clock, 4) == [1000.0, 1000.5, 1001.0, 1001.5]


def test_who_comes_later_waits_for_the_rest_of_the_time_only() -> None:
    clock = Clock(1000.0)
    limiter = RateLimiter(0.5, clock, clock.sleep)
    begin(limiter, clock, 1)
    clock.now += 0.25
    assert begin(limiter, clock, 1) == [1000.5]
    assert clock.slept == [0.25]


def test_a_tail_leaves_most_of_the_quota_to_others() -> None:
    assert 1 / EVERY < 10


@pytest.mark.parametrize("seed", range(20))
def test_never_more_than_ten_in_any_second(seed: int) -> None:
    chance = random.Random(seed)
    clock = Clock(chance.uniform(0, 1e6))
    limiter = RateLimiter(clock=clock, sleep=clock.sleep)
    begun: list[float] = []
    for _ in range(200):
        clock.now += chance.choice((0.0, 0.0, 0.001, chance.uniform(0, 0.3), chance.uniform(0, 3)))
        begun += begin(limiter, clock, 1)
    assert most_in_a_second(begun) <= 10


def test_a_rest_is_not_saved_up() -> None:
    clock = Clock()
    limiter = RateLimiter(0.1, clock, clock.sleep)
    begin(limiter, clock, 1)
    clock.now = 100.0
    assert begin(limiter, clock, 2) == [100.0, 100.1]


def test_nothing_begins_in_a_pause() -> None:
    clock = Clock(50.0)
    limiter = RateLimiter(0.1, clock, clock.sleep)
    limiter.pause(7.0)
    assert begin(limiter, clock, 1) == [57.0]


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    clock = Clock(50.0)
    limiter = RateLimiter(0.1, clock, clock.sleep)
    limiter.pause(7.0)
    clock.now = 52.0
    limiter.pause(1.0)
    limiter.pause(0.0)
    assert begin(limiter, clock, 1) == [57.0]


def test_a_pause_that_comes_while_somebody_waits_holds_for_it_too() -> None:
    clock = Clock(50.0)

    def sleep_while_others_are_told_to_pause(seconds: float) -> None:
        if not clock.slept:
            limiter.pause(20.0)
        clock.sleep(seconds)

    limiter = RateLimiter(1, clock, sleep_while_others_are_told_to_pause)
    assert begin(limiter, clock, 2) == [50.0, 70.0]


def test_threads_that_really_wait() -> None:
    limiter = RateLimiter(0.03)
    began = time.monotonic()
    begun: list[float] = []

    def work() -> None:
        for _ in range(5):
            limiter.wait()
            begun.append(time.monotonic())

    in_threads(work, 8)
    assert len(begun) == 40
    assert max(begun) - began >= 1.0


def test_one_who_waits_keeps_nobody_from_pausing() -> None:
    """A thread that waits for its turn does not hold the lock."""
    asleep, wake = threading.Event(), threading.Event()

    def sleep(_: float) -> None:
        asleep.set()
        assert wake.wait(10 * TIMEOUT_SCALE)

    now = [5.0]
    limiter = RateLimiter(1, lambda: now[0], sleep)
    limiter.wait()
    waiting = threading.Thread(target=limiter.wait)
    waiting.start()
    assert asleep.wait(10 * TIMEOUT_SCALE)
    limiter.pause(0.5)
    assert waiting.is_alive()
    now[0] = 10.0
    wake.set()
    waiting.join(10 * TIMEOUT_SCALE)
    assert not waiting.is_alive()
