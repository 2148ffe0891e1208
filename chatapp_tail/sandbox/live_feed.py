"""The thread that publishes live events at a steady rate."""

import queue
import threading
import time
from collections.abc import Callable
from random import Random

from .account import parse_messenger_channel
from .events import LiveEvent, LiveEvents


class LiveFeed:
    """Publishes to the subscribed messenger channels, and greets each new one at once.

    `rate` is in events a second over all channels. The order of the events is the seed's; the
    channel of each one is chosen by the seed among those subscribed at that moment.
    """

    def __init__(
        self,
        rate: float,
        seed: int,
        *,
        channels: Callable[[], frozenset[str]],
        publish: Callable[[str, LiveEvent], object],
    ) -> None:
        self._interval = 1 / rate
        self._events = LiveEvents(seed)
        self._random = Random(seed)
        self._channels = channels
        self._publish = publish
        self._fresh: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sandbox-live", daemon=True)

    def start(self) -> None:
        """Begin; nothing is published before `greet`."""
        self._thread.start()

    def greet(self, channel: str) -> None:
        """Publish one event to a channel now. Any thread; names of other kinds are ignored."""
        if parse_messenger_channel(channel) is not None:
            self._fresh.put(channel)

    def stop(self) -> None:
        """End the thread."""
        self._fresh.put(None)
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            try:
                channel = self._fresh.get(timeout=self._pause(due))
            except queue.Empty:
                channel = self._any_channel()
                # After a stall the feed goes on from now; it does not pour out what it owes.
                due = max(due, time.monotonic() - 1) + self._interval
            else:
                if channel is None:
                    return
                due = max(due, time.monotonic()) + self._interval
            if channel is not None:
                self._tell(channel)

    def _pause(self, due: float) -> float | None:
        if not self._messengers():
            return None
        return max(0.0, due - time.monotonic())

    def _any_channel(self) -> str | None:
        channels = self._messengers()
        return self._random.choice(channels) if channels else None

    def _messengers(self) -> list[str]:
        return sorted(name for name in self._channels() if parse_messenger_channel(name))

    def _tell(self, channel: str) -> None:
        messenger = parse_messenger_channel(channel)
        assert messenger is not None, "only messenger channels get this far"
        self._publish(channel, self._events.next(*messenger, int(time.time())))
