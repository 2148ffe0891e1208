"""What the loop needs of an output: stdout, or a destination that acknowledges."""

import select
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

L = TypeVar("L")


class OutputStalled(Exception):
    """Nothing is taken any more; `events` were taken from the spool and are not settled."""

    def __init__(self) -> None:
        self.events = 0


class Output(Protocol, Generic[L]):
    """Takes what the pipeline returns; `L` is a line, or a delivery.

    Where it has to wait for room it calls back to the loop, which raises OutputStalled when it
    gives up.
    """

    just_polled: bool
    """Set by the loop: whether it has polled since the last write."""

    @property
    def batch_size(self) -> float:
        """How many lines to collect before they are written."""
        ...

    @property
    def complete(self) -> bool:
        """Whether as many lines are settled as are wanted."""
        ...

    @property
    def unsettled(self) -> int:
        """How much is given and not settled; the tail is not idle then."""
        ...

    @property
    def progress(self) -> int:
        """A number that grows when something was taken or acknowledged."""
        ...

    def begin(self) -> None:
        """Prepare the first write, now that the connection is being made."""
        ...

    def write(self, lines: list[L], position: int = 0) -> bool:
        """Give lines, without those beyond the count; return whether there were any.

        Once they are settled, so are all items of the journal up to `position`.
        """
        ...

    def write_meta(self, line: bytes) -> None:
        """Write a line to stdout that is no event's and does not count."""
        ...

    def relink(self, channel: str) -> None:
        """Note that what is written from now on of a channel came over a new link."""
        ...

    def after(self, action: Callable[[], None]) -> None:
        """Call `action` once everything that was given so far is settled."""
        ...

    def register(self, waits: "select.poll", *, for_room: bool) -> None:
        """Add the descriptors to wait for."""
        ...

    def ready(self, descriptor: int, events: int) -> bool:
        """Note what poll reported; return whether there may be room. May raise BrokenPipe."""
        ...

    def finish(self) -> None:
        """Wait until everything given is settled."""
        ...

    def explain_stall(self, left: int, seconds: str) -> str:
        """Return why the tail ended with `left` events that were neither written nor kept."""
        ...

    def close(self) -> None:
        """Release descriptors and threads."""
        ...
