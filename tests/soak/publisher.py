"""Publishes numbered events over soketi's HTTP API, and keeps the time of each."""

import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pusher.errors import PusherError

from tests.interop.soketi import Soketi

from .numbered import Background

_EVENT = "message"
_LARGEST_TRIGGER = 20_000
"""The SDK refuses more than about 30 000 bytes outside of a batch."""


@dataclass(frozen=True, slots=True)
class Published:
    """One numbered event, and the span in which the server took it, in wall-clock nanoseconds.

    A trigger that failed is not `sure`: the server may have died before or after it published.
    """

    channel: str
    number: int
    before: int
    after: int
    sure: bool


class Publisher(Background):
    """A thread that publishes `rate` times a second on average; numbers count up by channel.

    While `serving` is clear the server is known to be down and nothing is tried.
    """

    def __init__(self, soketi: Soketi, channels: Sequence[str], *, seed: int, rate: float) -> None:
        super().__init__()
        self.serving = threading.Event()
        self.serving.set()
        self.log: list[Published] = []
        self._soketi = soketi
        self._channels = channels
        self._rng = random.Random(seed)
        self._rate = rate
        self._next = dict.fromkeys(channels, 0)

    def publish(self, channel: str, sizes: Sequence[int]) -> list[Published]:
        """Publish one event for each size of padding, in one request."""
        first = self._next[channel]
        self._next[channel] += len(sizes)
        events = [(_EVENT, _data(channel, first + i, size)) for i, size in enumerate(sizes)]
        before = time.time_ns()
        try:
            if len(events) == 1 and sizes[0] < _LARGEST_TRIGGER:
                self._soketi.trigger(channel, *events[0])
            else:
                self._soketi.trigger_batch(channel, events)
            sure = True
        except (OSError, PusherError, ValueError, AssertionError):
            sure = False
        after = time.time_ns()
        batch = [Published(channel, first + i, before, after, sure) for i in range(len(sizes))]
        self.log.extend(batch)
        return batch

    def _run(self) -> None:
        while not self._stopping.wait(self._rng.expovariate(self._rate)):
            if self.serving.wait(0.1):
                self.publish(self._rng.choice(self._channels), self._sizes())

    def _sizes(self) -> list[int]:
        kind = self._rng.random()
        if kind < 0.2:
            return [self._rng.randint(0, 300) for _ in range(self._rng.randint(2, 10))]
        if kind < 0.28:
            return [self._rng.randint(1_000, 8_000)]
        if kind < 0.29:
            return [self._rng.randint(20_000, 60_000)]
        return [self._rng.randint(0, 300)]


def _data(channel: str, number: int, size: int) -> str:
    return json.dumps({"channel": channel, "number": number, "size": size, "pad": "x" * size})
