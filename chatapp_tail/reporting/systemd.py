"""Notifies systemd of the state of the service (sd_notify(3), `Type=notify`)."""

import os
import socket
from collections.abc import Mapping

from .. import items
from ..redaction import redact

_LONGEST = 200
"""Characters of a reason in STATUS."""


class Notifier:
    """Sends READY once every channel is confirmed or refused, STATUS on losses, WATCHDOG on `beat`.

    `interval` is the seconds between two calls of `beat`; None without a watchdog.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.interval: float | None = None
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        microseconds = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if self._address and ours and microseconds.isdecimal() and int(microseconds):
            self.interval = int(microseconds) / 1e6 / 2

    def say(self, status: items.Status | items.Gap) -> None:
        """Notify of a status change."""
        match status:
            case items.Ready(_, channels, refused):
                text = f"ready: {len(channels)} channels, {len(refused)} refused"
                self._send(f"READY=1\nSTATUS={text}")
            case items.Lost(_, reason):
                self._send("STATUS=lost: " + " ".join(redact(reason).split())[:_LONGEST])

    def stopping(self) -> None:
        """Notify that the program ends."""
        self._send("STOPPING=1")

    def beat(self) -> None:
        """Reset the watchdog's timer."""
        self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                sock.sendto(state.encode(errors="replace"), self._address)
            except OSError:
                return  # no listener is not a reason to stop delivering events
