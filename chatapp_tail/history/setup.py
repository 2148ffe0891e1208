"""Assembles the backfill: where channels begin, and what reads their history."""

import time
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from ..chatapp.api import Api
from ..chatapp.channels import license_and_messenger
from ..items import ASKED, NOT_RUNNING, RENEWED, ChannelEvent, Fetching, Gap
from ..threads import Waker
from .checkpoint import Checkpoint
from .dedup import Deduplicator
from .gap_filler import GapFiller
from .message_times import MessageTimes

if TYPE_CHECKING:
    from .reader import History

StartPositions = Mapping[str, tuple[int, str]]
"""Channel -> (since when nothing of it was written, in wall-clock nanoseconds; why)."""


def start_positions(
    channels: Sequence[str], checkpoint: Checkpoint | None, since: int | None, *, everything: bool
) -> StartPositions:
    """Return the channels whose tail begins in the past: where an earlier run ended, or `since`.

    A licence that was added between two runs of `--all` begins where the others do.
    """
    watermarks = checkpoint.watermarks if checkpoint else {}
    last = max((mark.until for mark in watermarks.values()), default=None) if everything else None
    positions: dict[str, tuple[int, str]] = {}
    for channel in channels:
        if channel in watermarks:
            positions[channel] = (watermarks[channel].until, NOT_RUNNING)
        elif since is not None:
            positions[channel] = (since, ASKED)
        elif last is not None:
            positions[channel] = (last, NOT_RUNNING)
    return positions


def first_seen(places: StartPositions, checkpoint: Checkpoint | None) -> dict[str, int]:
    """Return when these channels were tailed first: history is not read from before then."""
    watermarks = checkpoint.watermarks if checkpoint else {}
    return {
        channel: watermarks[channel].began if channel in watermarks else since
        for channel, (since, _) in places.items()
    }


def has_history(channel: str) -> bool:
    """Return whether the API has messages of a channel: only those of licences have."""
    return None not in license_and_messenger(channel)


class HistoryReader:
    """Reads gaps from the API; imports what that needs at the first gap."""

    def __init__(self, api: Api, store: Path | None = None) -> None:
        self._api = api
        self._store = store
        self._history: History | None = None
        self.since = inf
        """When reading began (monotonic), infinity if none is running; resubscribe checks aside."""

    def __call__(
        self, gaps: Sequence[Gap], first_seen: Mapping[str, int], newest: Mapping[str, int]
    ) -> Iterator[ChannelEvent | Gap]:
        """Yield messages and gaps, see `gap_filler.Fetch`."""
        try:
            from .rate_limit import RateLimiter
            from .reader import History
            from .recovery import recover
        except (ImportError, OSError) as error:
            # No descriptor is left, or an upgrade in place has just replaced the program.
            missing = f"history cannot be read: {error}"
            yield from (replace(gap, missing=missing, given_up=True) for gap in gaps)
            return
        self._history = self._history or History(self._api.get, RateLimiter(), store=self._store)
        if any(gap.reason != RENEWED for gap in gaps):
            self.since = time.monotonic()
        yield from recover(self._history, gaps, first_seen, newest)
        self.since = inf

    def state(self) -> Fetching:
        """Return the progress."""
        at, known = time.time_ns(), self._history
        if known is None:
            return Fetching(at, 0, 0, 0)
        return Fetching(at, known.chats, known.chats_read, known.found, known.trouble)


class BackfillSetup(msgspec.Struct, frozen=True):
    """The parts of the backfill; None where gaps are not to be filled."""

    start_positions: StartPositions
    backfill: GapFiller | None = None
    deduplicator: Deduplicator | None = None
    times: MessageTimes | None = None
    reader: HistoryReader | None = None


def set_up_backfill(
    channels: Sequence[str],
    api: Api,
    alarm: Waker,
    checkpoint: Checkpoint | None,
    *,
    since: int | None,
    everything: bool,
    wait: float | None,
) -> BackfillSetup:
    """Return the backfill for channels that have history, with the gaps before the start.

    `since` is in nanoseconds since the epoch, `wait` the seconds that live events wait for the
    messages of a gap, None where gaps are not to be filled; `everything` is `--all`.
    """
    places = start_positions(channels, checkpoint, since, everything=everything)
    if wait is None:
        return BackfillSetup(places)
    if checkpoint:
        # If this run ends before it has read what precedes it, the next one must.
        for channel, (begin, _) in places.items():
            checkpoint.begin(channel, begin)
    times = checkpoint.times if checkpoint else MessageTimes()
    reader = HistoryReader(api, checkpoint.history_store if checkpoint else None)
    backfill = GapFiller(
        reader,
        has_history,
        alarm,
        first_seen=first_seen(places, checkpoint),
        times=times,
        timeout=wait,
    )
    deduplicator = Deduplicator(
        checkpoint.written() if checkpoint else (),
        checkpoint.recovered() if checkpoint else {},
        now=time.time_ns(),
        keep_since=backfill.keep_since,
    )
    return BackfillSetup(places, backfill, deduplicator, times, reader)
