"""What systemd is told, on a real datagram socket; and that nobody has to listen."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatapp_tail import items
from chatapp_tail.reporting.systemd import Notifier
from tests.conftest import TIMEOUT_SCALE

READY = items.Ready(1, ["a", "b"], ["c"])
LOST = items.Lost(1, "ws://h: closed", 1006, 2.0)
STOPPED = items.Stopped(1, items.StopCause.ASKED, "asked to stop")


class Systemd:
    """The listening end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.variable = address.replace("\0", "@")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(5.0 * TIMEOUT_SCALE)
        self.sock.bind(address)

    def take(self) -> str:
        return self.sock.recv(65536).decode()

    def waiting(self) -> list[str]:
        """What lies there already; sending is done when the call that sends returns."""
        self.sock.setblocking(False)
        notifications = []
        try:
            while True:
                notifications.append(self.sock.recv(65536).decode())
        except BlockingIOError:
            return notifications


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    abstract = request.param == "abstract"
    listening = Systemd(f"\0chatapp-tail-{os.getpid()}" if abstract else str(tmp_path / "notify"))
    yield listening
    listening.sock.close()


def notifier(systemd: Systemd, **more: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": systemd.variable, **more})


def test_what_is_said(systemd: Systemd) -> None:
    told = notifier(systemd)
    told.say(items.Connecting(1, "ws://h"))
    told.say(items.Connected(1, "1.2"))
    told.say(items.Subscribed(1, "a"))
    assert systemd.waiting() == []
    told.say(READY)
    assert systemd.waiting() == ["READY=1\nSTATUS=ready: 2 channels, 1 refused"]
    told.say(LOST)
    assert systemd.waiting() == ["STATUS=lost: ws://h: closed"]
    told.stopping()
    assert systemd.waiting() == ["STOPPING=1"]
    told.beat()
    assert systemd.waiting() == ["WATCHDOG=1"]


QUIET: list[items.Status | items.Gap] = [
    items.Gap("a", 1, 2, "lost"),
    items.ConnectionWarning(1, "odd", None),
    items.Refused(1, "a", "no"),
    items.Idle(1, 60.0, 1.0, None),
    items.Reconnecting(1, 0.5),
    items.FrameTrace(1, ">", "READY=1"),
]


@pytest.mark.parametrize("status", QUIET, ids=lambda status: type(status).__name__)
def test_what_is_not_said(systemd: Systemd, status: items.Status | items.Gap) -> None:
    notifier(systemd).say(status)
    assert systemd.waiting() == []


@pytest.mark.parametrize(
    "reason",
    ["bye\nREADY=1\nMAINPID=1", "bye\rSTOPPING=1", "", "\n", "half \ud800 of a pair", "a\u2028b=1"],
    ids=ascii,
)
def test_what_a_server_says_is_one_harmless_line(systemd: Systemd, reason: str) -> None:
    notifier(systemd).say(items.Lost(1, reason, None, None))
    (notification,) = systemd.waiting()
    assert notification.startswith("STATUS=lost: ")
    assert notification.count("\n") == 0


def test_a_reason_of_any_length_does_no_harm(systemd: Systemd) -> None:
    notifier(systemd).say(items.Lost(1, "x" * 1_000_000, None, None))


# --- nobody listens

ALL: list[Callable[[Notifier], None]] = [
    lambda told: told.say(READY),
    lambda told: told.say(LOST),
    lambda told: told.say(STOPPED),
    Notifier.beat,
]
NOBODY = {
    "not set": {},
    "empty": {"NOTIFY_SOCKET": ""},
    "not there": {"NOTIFY_SOCKET": "/nonexistent/notify"},
    "too long": {"NOTIFY_SOCKET": "/" + "x" * 200},
    "abstract and not there": {"NOTIFY_SOCKET": "@chatapp-tail-nobody"},
    "an abstract one without a name": {"NOTIFY_SOCKET": "@"},
    "of another kind": {"NOTIFY_SOCKET": "vsock:2:1234"},
    "a directory": {"NOTIFY_SOCKET": "/"},
}


@pytest.mark.parametrize("environment", NOBODY.values(), ids=NOBODY)
def test_nobody_listens(environment: dict[str, str]) -> None:
    for say in ALL:
        say(Notifier(environment))


def test_a_socket_that_nobody_reads_does_not_block(tmp_path: Path) -> None:
    systemd = Systemd(str(tmp_path / "notify"))
    told = notifier(systemd)
    for _ in range(5000):
        told.beat()
    assert 0 < len(systemd.waiting()) < 5000
    systemd.sock.close()
    told.beat()


# --- the watchdog


def test_half_of_the_watchdogs_patience(systemd: Systemd) -> None:
    assert notifier(systemd, WATCHDOG_USEC="3000000").interval == 1.5
    ours = {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    assert notifier(systemd, **ours).interval == 1.5


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": ""},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "x"},
    ],
    ids=str,
)
def test_nobody_watches(systemd: Systemd, variables: dict[str, str]) -> None:
    assert notifier(systemd, **variables).interval is None


def test_nobody_watches_without_a_socket() -> None:
    assert Notifier({"WATCHDOG_USEC": "3000000"}).interval is None
