"""Delivers gaps to the main thread: which are reported, with what count, and what they pin.

The checkpoint of a channel is pinned from the moment a gap is reached until the gap is reported,
which is after all of its messages are written.
"""

from collections import Counter

from msgspec.structs import replace

from ..items import RENEWED, ChannelEvent, Gap, Status, Subscribed, Watermarks
from .checkpoint import Checkpoint
from .gap_filler import GapFiller, Reached

_ENDED = "it ended before all of history was read"


class GapDelivery:
    """The gaps of a run as its main thread comes to them.

    Without a `filler` no gap is filled; without a `checkpoint` nothing is pinned.
    """

    def __init__(self, filler: GapFiller | None, checkpoint: Checkpoint | None) -> None:
        self._filler = filler
        self._checkpoint = checkpoint
        self._recovered: Counter[str] = Counter()
        """Channel -> messages of its open gap that were shown."""

    @property
    def holds(self) -> bool:
        """Whether live events wait in the spool until history has filled the gap before them."""
        return self._filler is not None and self._filler.holds

    @property
    def in_progress(self) -> bool:
        """Whether messages of a gap that was reached are still to come."""
        return self._filler is not None and self._filler.in_progress

    @property
    def deadline(self) -> float:
        """Until when (monotonic) live events wait at most."""
        return self._filler.deadline if self._filler else 0.0

    def note(self, status: Status | Gap | Watermarks) -> None:
        """Move the checkpoint: all events before this item are written."""
        if self._checkpoint is None:
            return
        match status:
            case Subscribed(at, channel):
                self._checkpoint.begin(channel, at)
            case Watermarks(until):
                self._checkpoint.advance(until)

    def reach(self, gap: Gap) -> bool:
        """Note that all before a gap is written; return whether the gap is reported as it is.

        One that history is read for is reported when it is filled, one that may be none never is.
        """
        state = self._filler.mark_reached(gap) if self._filler else Reached.NOT_READ
        if self._checkpoint and state is Reached.OPEN:
            self._checkpoint.pin(gap)
        return state is Reached.NOT_READ and gap.reason != RENEWED

    def take(self) -> list[ChannelEvent] | Gap | None:
        """Return messages of gaps, or a gap after its last one; None: nothing just now.

        Raises BackfillBug.
        """
        return self._filler.take() if self._filler else None

    def count_recovered(self, message: ChannelEvent) -> None:
        """Count a message of a gap that is shown."""
        self._recovered[message.channel or ""] += 1

    def report(self, gap: Gap) -> Gap | None:
        """Return a filled gap with its count of messages; None if it turned out to be no gap."""
        recovered = self._recovered.pop(gap.channel, 0)
        if recovered or gap.given_up or gap.reason != RENEWED:
            return replace(gap, recovered=recovered)
        return None

    def unpin(self, gap: Gap) -> None:
        """Unpin the checkpoint: a gap is filled and reported."""
        if self._checkpoint:
            self._checkpoint.unpin(gap)

    def unfinished(self) -> list[Gap]:
        """Return the gaps to be reported at the end because not all of their messages came."""
        gaps = self._filler.unfinished() if self._filler else []
        return [
            replace(gap, recovered=self._recovered.pop(gap.channel, 0), missing=_ENDED)
            for gap in gaps
            if gap.reason != RENEWED or self._recovered[gap.channel]
        ]
