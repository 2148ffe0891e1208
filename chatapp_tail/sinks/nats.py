"""Publishes to a stream of NATS JetStream: the facade of the thread that does it.

The client is asyncio's, so it has a thread with a loop of its own; only whole batches cross over.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from ..errors import UsageError
from ..threads import Waker
from .delivery import Delivery, Outcome
from .nats_url import NatsSettings
from .publish_window import Given

INSTALL = "pip install 'chatapp-tail[nats]'"
_CLOSED_WITHIN = 1.0


def check_installed(settings: NatsSettings) -> None:
    """Raise UsageError if a package is missing."""
    needed = {"nats": "a destination of NATS"}
    if settings.creds:
        needed["nkeys"] = "--nats-creds"
    for module, what in needed.items():
        if find_spec(module) is None:
            raise UsageError(f"{what} needs a package that is not installed: {INSTALL}")


class NatsSink:
    """Publishes each delivery, of one record, until the stream has it."""

    def __init__(self, settings: NatsSettings) -> None:
        check_installed(settings)
        self.name = settings.url.name
        self._given: deque[Given] = deque()
        self._notified = True
        """Whether the thread will look at what was given; it looks when it begins."""
        self._notify: Callable[[], object] = lambda: None
        self._stop: Callable[[], object] = lambda: None
        self._outcomes: deque[Outcome] = deque()
        self._has_outcomes = Waker()
        self._woken = False
        self._takes = 0
        """Calls of `take`: what one returned is settled when the next one begins."""
        self._closing = False
        self._bug: Exception | None = None
        self._thread = threading.Thread(
            target=self._run, args=(settings,), name="chatapp-tail-nats", daemon=True
        )
        self._thread.start()

    def fileno(self) -> int:
        """Return a descriptor that is readable while `take` may return outcomes."""
        return self._has_outcomes.fileno()

    def give(self, deliveries: Sequence[Delivery]) -> None:
        """Queue deliveries, which are in the order of their numbers; never waits."""
        self._given.extend(deliveries)
        self._wake_thread()

    def relink(self, channel: str) -> None:
        """Note that what is given from now on of a channel came over a new link."""
        self._given.append(channel)
        self._wake_thread()

    def take(self) -> list[Outcome]:
        """Return what happened since the last call; raises what the thread died of.

        What the last call returned has to be settled by now.
        """
        self._takes += 1
        if self._woken:
            self._has_outcomes.clear()
            self._woken = False
        if self._bug:
            raise self._bug
        return [self._outcomes.popleft() for _ in range(len(self._outcomes))]

    def close(self) -> None:
        """End the connection, within about a second."""
        self._closing = True
        self._stop()
        self._thread.join(_CLOSED_WITHIN)
        if not self._thread.is_alive():
            self._has_outcomes.close()

    def _wake_thread(self) -> None:
        if not self._notified:
            self._notified = True
            self._notify()

    # In the thread.

    def _run(self, settings: NatsSettings) -> None:
        try:
            # With the client 0.1 s, in which the connection to ChatApp is made.
            from .nats_publisher import run

            run(settings, self._take_given, self._report, self._progress, self._connect)
        except Exception as bug:
            self._bug = bug
            self._wake_owner()

    def _connect(self, notify: Callable[[], object], stop: Callable[[], object]) -> None:
        """Take the functions that have the loop look at what was given, and end."""
        self._notify, self._stop = notify, stop
        if self._closing:
            stop()

    def _take_given(self) -> list[Given]:
        self._notified = False
        return [self._given.popleft() for _ in range(len(self._given))]

    def _report(self, outcomes: Sequence[Outcome]) -> None:
        self._outcomes.extend(outcomes)
        self._wake_owner()

    def _progress(self) -> tuple[int, bool]:
        """Return how many calls of `take` there were, and whether all outcomes are settled."""
        return self._takes, self._closing and not self._outcomes

    def _wake_owner(self) -> None:
        if not self._woken:
            # In this order: a wake-up that `take` does not know of would never be cleared.
            self._has_outcomes.wake()
            self._woken = True
