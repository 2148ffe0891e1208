"""What is given to a destination that acknowledges, and what it says of it.

A sink is used by one thread, which never waits for it: `give` queues, `take` returns outcomes.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ..chatapp.records import Record
from ..errors import ExitStatus


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One request, or one run of a command: the records of it, and its body.

    `number` rises from one delivery to the next. Deliveries of one `key`, the chat, are delivered
    in the order of their numbers; others may overtake each other.
    """

    number: int
    key: str
    records: Sequence[Record]
    body: bytes


class Delivered(msgspec.Struct, frozen=True):
    """The destination acknowledged a delivery with `answer`, such as `200`, at the last attempt.

    `seconds` is how long that attempt took.
    """

    delivery: Delivery
    answer: str
    seconds: float
    attempts: int


class Refused(msgspec.Struct, frozen=True):
    """The destination refuses this delivery and takes others: it is a dead letter.

    `status` is that of HTTP or of the command, None where there was none; `first_attempt` is in
    wall-clock nanoseconds.
    """

    delivery: Delivery
    status: int | None
    reason: str
    attempts: int
    first_attempt: int


class Trouble(msgspec.Struct, frozen=True):
    """Nothing is acknowledged at present, for `reason`; the next attempt is in `retry_in` seconds.

    Reported at each attempt that fails.
    """

    reason: str
    retry_in: float


class Retried(msgspec.Struct, frozen=True):
    """One delivery failed and is tried again, while others succeed."""

    delivery: Delivery
    reason: str
    retry_in: float


class Advice(msgspec.Struct, frozen=True):
    """The destination works, and something about it should be changed: a sentence for people."""

    text: str


class Failed(msgspec.Struct, frozen=True):
    """The destination is wrong for good; nothing more is delivered."""

    status: ExitStatus
    reason: str


Outcome = Delivered | Refused | Retried | Trouble | Advice | Failed


class Sink(Protocol):
    """A destination that acknowledges each delivery."""

    name: str
    """What it is called in notices and dead letters, without user info and query."""

    def fileno(self) -> int:
        """Return a descriptor that is readable while `take` may return outcomes."""
        ...

    def give(self, deliveries: Sequence[Delivery]) -> None:
        """Queue deliveries, which are in the order of their numbers; never waits."""
        ...

    def relink(self, channel: str) -> None:
        """Note that what is given from now on of a channel came over a new link to the server."""
        ...

    def take(self) -> list[Outcome]:
        """Return what happened since the last call; never waits."""
        ...

    def close(self) -> None:
        """Give up what is not delivered, and release connections, processes and threads."""
        ...
