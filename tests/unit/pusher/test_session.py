"""The loop of one link, with a scripted link in place of a socket."""

import time
from collections import deque
from collections.abc import Sequence
from typing import cast

from chatapp_tail.items import ChannelEvent, Connected, Item, Ready, Subscribed, Watermarks
from chatapp_tail.pusher.frames import NO_STATUS, TEXT, Message
from chatapp_tail.pusher.gaps import GapTracker
from chatapp_tail.pusher.protocol import Protocol
from chatapp_tail.pusher.session import Session
from chatapp_tail.pusher.timing import Timing
from chatapp_tail.pusher.transport import Transport

ESTABLISHED = b'{"event":"pusher:connection_established","data":{"socket_id":"1.2"}}'
CONFIRMED = b'{"event":"pusher_internal:subscription_succeeded","channel":"news"}'
EVENT = b'{"event":"message","channel":"news","data":"{}"}'


class ScriptedLink:
    """Returns one list of text messages per `read`, and then the end of the stream."""

    unfinished = 0
    faulty = False

    def __init__(self, *reads: Sequence[bytes]) -> None:
        self._reads = deque(reads)
        self.sent: list[str] = []
        self.end: tuple[int, str] | None = None

    def wait(self, timeout: float) -> None:
        """Return at once: there is always something to read."""

    def read(self) -> list[Message]:
        if self._reads:
            return [(TEXT, text) for text in self._reads.popleft()]
        self.end = (NO_STATUS, "")
        return []

    def flush(self) -> None:
        """Nothing is ever left to send."""

    def send_text(self, text: str) -> None:
        self.sent.append(text)


def run(link: ScriptedLink) -> list[tuple[str, list[Item]]]:
    """Run a session to its end; return the batches in order, with what they were given to."""
    batches: list[tuple[str, list[Item]]] = []
    Session(
        cast("Transport", link),
        Protocol(["news"], now=time.monotonic(), timing=Timing(), random=lambda: 0.5),
        sink=lambda batch: batches.append(("sink", list(batch))),
        watch=lambda batch: batches.append(("watch", list(batch))),
        ask_auth=lambda _: None,
        inbox=deque(),
        join=lambda _: None,
        gap_tracker=GapTracker(),
        stopping=lambda: False,
        trace=False,
    ).run()
    return [(place, batch) for place, batch in batches if batch]


def test_statuses_are_watched_before_the_batch_with_them_is_handed_on() -> None:
    batches = run(ScriptedLink([ESTABLISHED], [CONFIRMED, EVENT]))
    kinds = [(place, [type(item) for item in batch]) for place, batch in batches]
    assert kinds == [
        ("watch", [Connected]),
        ("sink", [Connected]),
        ("watch", [Subscribed, Watermarks]),
        ("watch", [Ready]),
        ("sink", [Subscribed, Watermarks, Ready, ChannelEvent]),
    ]


def test_events_are_not_watched() -> None:
    batches = run(ScriptedLink([ESTABLISHED], [CONFIRMED], [EVENT], [EVENT, EVENT]))
    assert [(place, len(batch)) for place, batch in batches[-2:]] == [("sink", 1), ("sink", 2)]
