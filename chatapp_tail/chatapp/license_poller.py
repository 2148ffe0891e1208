"""Polls for licences that are added while `--all` runs."""

import threading
import time

from ..errors import ChatAppTailError
from ..items import ConnectionWarning
from ..pusher.clock import moment
from ..pusher.connection import Connection, Sink
from .api import Api
from .selection import Selection

POLL_INTERVAL = 300.0
"""Seconds between two polls."""


class LicensePoller:
    """Requests the licences every few minutes and subscribes to new channels.

    Events of a new channel since the poll before are a gap. The caller has made the first poll.
    """

    def __init__(self, api: Api, selection: Selection, connection: Connection, sink: Sink) -> None:
        self._api = api
        self._selection = selection
        self._connection = connection
        self._sink = sink
        self._last_poll = moment()

    def start(self) -> None:
        """Start a daemon thread, since no poll has to be finished."""
        threading.Thread(target=self._run, name="chatapp-tail-lines", daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(POLL_INTERVAL):
            self._poll()

    def _poll(self) -> None:
        started = moment()
        try:
            licenses = self._api.licenses()
        except ChatAppTailError as error:
            self._sink([ConnectionWarning(time.time_ns(), f"cannot look for new lines: {error}")])
            return
        self._connection.subscribe(self._selection.channels(licenses), since=self._last_poll)
        self._last_poll = started
