"""Reads history beside a sandbox that ends before the thread that reads does."""

import threading
from collections.abc import Iterator, Mapping, Sequence

from chatapp_tail.chatapp.api import Api
from chatapp_tail.history.setup import HistoryReader
from chatapp_tail.items import ChannelEvent, Gap


class Reading:
    """Reads history as long as the sandbox is there to be asked.

    Without its end a thread would ask again for minutes, while other tests run.
    """

    def __init__(self, api: Api) -> None:
        self._reader = HistoryReader(api)
        self._one_at_once = threading.Lock()
        self._over = False

    def __call__(
        self, gaps: Sequence[Gap], first_seen: Mapping[str, int], newest: Mapping[str, int]
    ) -> Iterator[ChannelEvent | Gap]:
        """Yield messages and gaps, as `Fetch` wants it."""
        with self._one_at_once:
            yield from gaps if self._over else self._reader(gaps, first_seen, newest)

    def end(self) -> None:
        """Wait for what is being read, and read no more."""
        with self._one_at_once:
            self._over = True
