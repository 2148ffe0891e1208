import queue
import time

import pytest

from chatapp_tail.sandbox.events import LiveEvent
from chatapp_tail.sandbox.live_feed import LiveFeed

from .client import QUIET, SCALE, TELEGRAM, TEST_TIMEOUT, WAIT, WHATSAPP

pytestmark = pytest.mark.timeout(TEST_TIMEOUT)

Told = queue.SimpleQueue[tuple[str, LiveEvent]]


def feed(rate: float, channels: frozenset[str], told: Told, seed: int = 1) -> LiveFeed:
    def publish(channel: str, event: LiveEvent) -> None:
        told.put((channel, event))

    return LiveFeed(rate, seed, channels=lambda: channels, publish=publish)


def test_a_greeting_is_published_at_once_even_at_a_slow_rate() -> None:
    told: Told = queue.SimpleQueue()
    live = feed(0.01, frozenset({TELEGRAM}), told)
    live.start()
    live.greet(TELEGRAM)
    channel, event = told.get(timeout=WAIT)
    live.stop()
    assert (channel, event.name) == (TELEGRAM, "message")


def test_nothing_is_published_when_nobody_listens() -> None:
    told: Told = queue.SimpleQueue()
    live = feed(1000, frozenset({"news"}), told)
    live.start()
    live.greet("news")
    with pytest.raises(queue.Empty):
        told.get(timeout=QUIET)
    live.stop()


def test_the_rate_is_kept() -> None:
    told: Told = queue.SimpleQueue()
    live = feed(200, frozenset({TELEGRAM}), told)
    started = time.monotonic()
    live.start()
    live.greet(TELEGRAM)
    for _ in range(101):
        told.get(timeout=WAIT)
    took = time.monotonic() - started
    live.stop()
    assert 0.45 < took < 0.5 + SCALE


def test_every_subscribed_channel_gets_its_share() -> None:
    told: Told = queue.SimpleQueue()
    live = feed(1000, frozenset({TELEGRAM, WHATSAPP}), told)
    live.start()
    live.greet(TELEGRAM)
    channels = [told.get(timeout=WAIT)[0] for _ in range(60)]
    live.stop()
    assert min(channels.count(TELEGRAM), channels.count(WHATSAPP)) > 10


def test_stop_needs_no_start_of_events() -> None:
    live = feed(1, frozenset(), queue.SimpleQueue())
    live.start()
    started = time.monotonic()
    live.stop()
    assert time.monotonic() - started < SCALE
