"""Joins what fills gaps: where each channel begins, who reads history, who shows how far it is."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from ..chatapp.api import Api
from ..chatapp.channels import license_and_messenger
from ..cli.config import Settings
from ..escape import escape_line
from ..items import ASKED, NOT_RUNNING, RENEWED, ChannelEvent, Fetching, Gap, Item, Status, Trouble
from ..pusher.connection import Sink
from ..redaction import redact
from ..reporting.notices import Level, LogFormat, describe_progress
from ..tail.loop import ShowProgress
from ..waker import Waker
from .checkpoint import Checkpoint
from .dedup import Doubles
from .gap_filler import Backfill
from .message_times import MessageTimes

if TYPE_CHECKING:
    from rich.progress import Progress

    from .reader import History

_SHOWN_AFTER = 2.0
_BAR_EVERY, _LINE_EVERY = 0.2, 10.0

_SET_BACK = (
    "the clock was set back since the last run, so nobody knows when that ended; history is read"
    " from the newest message on, and messages may come twice"
)

Uncovered = Mapping[str, tuple[int, str]]
"""Channel -> since when (wall-clock nanoseconds) nothing of it was written, and why."""


def uncovered(
    channels: Sequence[str], checkpoint: Checkpoint | None, since: int | None, *, everything: bool
) -> Uncovered:
    """Return the channels whose tail begins in the past: where an earlier run ended, or `since`.

    A line that came to the account between two runs of `--all` begins where the other ones do.
    """
    marks = checkpoint.marks if checkpoint else {}
    last = max((mark.until for mark in marks.values()), default=None) if everything else None
    found: dict[str, tuple[int, str]] = {}
    for channel in channels:
        if channel in marks:
            found[channel] = (marks[channel].until, NOT_RUNNING)
        elif since is not None:
            found[channel] = (since, ASKED)
        elif last is not None:
            found[channel] = (last, NOT_RUNNING)
    return found


def began(places: Uncovered, checkpoint: Checkpoint | None) -> dict[str, int]:
    """Return when each of these channels was tailed first, as far as history may be read."""
    marks = checkpoint.marks if checkpoint else {}
    return {
        channel: marks[channel].began if channel in marks else since
        for channel, (since, _) in places.items()
    }


def has_history(channel: str) -> bool:
    """Return whether the API keeps messages of a channel: it does of licences' channels only."""
    return None not in license_and_messenger(channel)


class HistoryReader:
    """Reads gaps from the API; what that needs is loaded at the first one."""

    def __init__(self, api: Api, store: Path | None = None) -> None:
        self._api = api
        self._store = store
        self._history: History | None = None
        self.since = inf
        """When reading began (monotonic), as long as it lasts; checks of a subscription aside."""

    def __call__(
        self, gaps: Sequence[Gap], began: Mapping[str, int], newest: Mapping[str, int]
    ) -> Iterator[ChannelEvent | Gap]:
        """Yield messages and gaps, as `Fetch` wants it."""
        try:
            from .rate_limit import Pace
            from .reader import History
            from .recovery import recover
        except (ImportError, OSError) as error:
            # No descriptor is left, or an upgrade in place has just replaced the program.
            missing = f"history cannot be read: {error}"
            yield from (replace(gap, missing=missing, given_up=True) for gap in gaps)
            return
        self._history = self._history or History(self._api.ask, Pace(), store=self._store)
        if any(gap.reason != RENEWED for gap in gaps):
            self.since = time.monotonic()
        yield from recover(self._history, gaps, began, newest)
        self.since = inf

    def state(self) -> Fetching:
        """Return how far it is."""
        at, known = time.time_ns(), self._history
        if known is None:
            return Fetching(at, 0, 0, 0)
        return Fetching(at, known.chats, known.chats_read, known.found, known.trouble)


class HistoryProgress:
    """Shows what takes longer than two seconds: as a bar on a terminal while live events wait.

    Elsewhere, and when they no longer do, as a line now and then.
    """

    def __init__(
        self, reader: HistoryReader, say: Callable[[Fetching], None], *, bar: bool
    ) -> None:
        self._reader = reader
        self._say = say
        self._with_bar = bar
        self._bar: Progress | None = None
        self._line_due = 0.0

    def __call__(self, held: bool | None) -> float:
        """Show or hide it; return in how many seconds to call again. None hides it for good."""
        if not held and self._bar:
            self._bar.stop()
            self._bar = None
        now = time.monotonic()
        left = self._reader.since + _SHOWN_AFTER - now
        if left > 0 or held is None:
            # Reading may begin while the caller waits.
            return min(left, _BAR_EVERY if held else inf)
        if held and self._with_bar:
            self._draw(self._reader.state())
            return _BAR_EVERY
        if now >= self._line_due:
            self._line_due = now + _LINE_EVERY
            self._say(self._reader.state())
        return self._line_due - now

    def _draw(self, state: Fetching) -> None:
        if self._bar is None:
            self._bar = _new_bar()
        (task,) = self._bar.task_ids
        self._bar.update(
            task,
            total=state.chats or None,
            completed=state.chats_read,
            description=escape_line(redact(describe_progress(state))),
        )
        self._bar.refresh()


def _new_bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        BarColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(file=sys.stderr),
        transient=True,
        auto_refresh=False,
    )
    bar.add_task("", total=None)
    bar.start()
    return bar


class Filling(msgspec.Struct, frozen=True):
    """All that fills gaps; nothing of it where they are not to be filled."""

    uncovered: Uncovered
    backfill: Backfill | None = None
    doubles: Doubles | None = None
    times: MessageTimes | None = None
    progress: ShowProgress = lambda _: inf

    def before(self, put: Sink) -> Sink:
        """Return a sink that lets gaps be seen on their way into the spool."""
        if (backfill := self.backfill) is None:
            return put

        def watch_and_put(batch: Sequence[Item]) -> None:
            backfill.watch(batch)
            put(batch)

        return watch_and_put


def open_filling(
    settings: Settings,
    api: Api,
    alarm: Waker,
    checkpoint: Checkpoint | None,
    say: Callable[[Status], None],
) -> Filling:
    """Return what fills the gaps of channels that have history, those from before the start too."""
    places = uncovered(
        settings.connection.channels,
        checkpoint,
        settings.since,
        everything=settings.selection.everything,
    )
    if settings.backfill_wait is None:
        return Filling(places)
    if checkpoint:
        if checkpoint.set_back:
            say(Trouble(time.time_ns(), _SET_BACK))
        # Should this run end before it has read what was before it, the next one still must.
        for channel, (since, _) in places.items():
            checkpoint.begin(channel, since)
    times = checkpoint.times if checkpoint else MessageTimes()
    reader = HistoryReader(api, checkpoint.history_store if checkpoint else None)
    backfill = Backfill(
        reader,
        has_history,
        alarm,
        began=began(places, checkpoint),
        times=times,
        patience=settings.backfill_wait,
    )
    with_bar = sys.stderr.isatty() and settings.log_format is LogFormat.TEXT
    return Filling(
        places,
        backfill,
        Doubles(
            checkpoint.written() if checkpoint else (),
            now=time.time_ns(),
            keep_since=backfill.keep_since,
        ),
        times,
        HistoryProgress(reader, say, bar=with_bar and settings.level > Level.QUIET),
    )
