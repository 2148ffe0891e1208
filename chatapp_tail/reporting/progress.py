"""Shows how far reading history is: as a bar on a terminal, else as a line every ten seconds."""

import sys
import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Protocol

from ..escape import escape_line
from ..items import Fetching
from ..redaction import redact
from .notices import describe_progress

if TYPE_CHECKING:
    from rich.progress import Progress

_SHOWN_AFTER = 2.0
"""Seconds of reading after which it is shown."""
_BAR_EVERY, _LINE_EVERY = 0.2, 10.0
"""Seconds between two updates."""

ShowProgress = Callable[[bool | None], float]
"""Shows or hides how far history is; called before every wait with whether live events wait for
history, and with None at the end. Returns the seconds until its next call."""


class Reader(Protocol):
    """Reads history; `since` is when that began (monotonic), infinity while nothing is read."""

    since: float

    def state(self) -> Fetching:
        """Return the counts so far."""


class HistoryProgress:
    """Shows reading that takes longer than two seconds.

    As a bar on a terminal while live events wait, otherwise as a line every ten seconds.
    """

    def __init__(self, reader: Reader, say: Callable[[Fetching], None], *, bar: bool) -> None:
        self._reader = reader
        self._say = say
        self._with_bar = bar
        self._bar: Progress | None = None
        self._line_due = 0.0

    def __call__(self, held: bool | None) -> float:
        """Show or hide the progress; return the seconds until the next call."""
        if not held and self._bar:
            self._bar.stop()
            self._bar = None
        now = time.monotonic()
        left = self._reader.since + _SHOWN_AFTER - now
        if left > 0 or held is None:
            # Reading may begin during the caller's wait.
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
