"""Under systemd: ready when it is so, a status that is true, a watchdog that is fed."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatapp_tail.sandbox import ApiRequested, Sandbox
from tests.conftest import TIMEOUT_SCALE, RunTail, StartTail, wait_until
from tests.shell.conftest import (
    CHANNEL,
    SELECT,
    SLOW_WHERE,
    Env,
    StartTailInto,
    numbers_in,
    publish,
    publish_slow,
    reaching,
    received,
    scaled,
    subscribed,
)


class Systemd:
    """The listening end of NOTIFY_SOCKET, and what it was told."""

    def __init__(self, address: str) -> None:
        self.variable = address.replace("\0", "@")
        self.told: list[str] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(address)

    def wait_for(self, word: str, *, timeout: float = 10.0) -> str:
        """Return the next message with this word in it."""
        deadline = time.monotonic() + timeout * TIMEOUT_SCALE
        while (left := deadline - time.monotonic()) > 0:
            self._sock.settimeout(left)
            try:
                self.told.append(self._sock.recv(65536).decode())
            except TimeoutError:
                break
            if word in self.told[-1]:
                return self.told[-1]
        raise AssertionError(f"{word!r} was not said: {self.told}")

    def drain(self) -> list[str]:
        """Return everything it was told, after the end of the process."""
        self._sock.setblocking(False)
        try:
            while True:
                self.told.append(self._sock.recv(65536).decode())
        except BlockingIOError:
            return self.told

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    """On a path, unless a test asks for an abstract name."""
    abstract = getattr(request, "param", "") == "abstract"
    listening = Systemd(f"\0chatapp-tail-{os.getpid()}" if abstract else str(tmp_path / "notify"))
    yield listening
    listening.close()


@pytest.fixture
def env(systemd: Systemd, sandbox: Sandbox) -> dict[str, str]:
    """The environment of a service of `Type=notify`."""
    return {**reaching(sandbox), "NOTIFY_SOCKET": systemd.variable}


@pytest.mark.parametrize("systemd", ["path", "abstract"], indirect=True)
def test_from_start_to_stop(start: StartTail, sandbox: Sandbox, systemd: Systemd) -> None:
    sandbox.faults.withhold_confirmations = True
    tail = start(*SELECT)
    sandbox.wait_for(lambda s: s.auth_requests == 1, scaled(10))
    received(sandbox)
    assert systemd.drain() == [], "connected is not ready"
    sandbox.faults.withhold_confirmations = False
    sandbox.abort_sockets()
    subscribed(sandbox)
    assert "READY=1" in systemd.wait_for("READY=1")
    assert "1 channels, 0 refused" in systemd.told[-1]
    publish(sandbox, [1])
    tail.stdout.take()
    tail.send_signal(signal.SIGTERM)
    assert tail.wait() == -15
    assert systemd.drain()[-1] == "STOPPING=1"
    assert sum("READY=1" in each for each in systemd.told) == 1
    assert sum("STOPPING=1" in each for each in systemd.told) == 1


def test_a_loss_is_told_and_its_end(start: StartTail, sandbox: Sandbox, systemd: Systemd) -> None:
    start(*SELECT)
    systemd.wait_for("READY=1")
    sandbox.abort_sockets()
    assert sandbox.ws_url in systemd.wait_for("STATUS=lost")
    systemd.wait_for("STATUS=ready")


def test_one_refused_channel_does_not_keep_it_from_being_ready(
    start: StartTail, systemd: Systemd
) -> None:
    start(*SELECT, "-c", "99/telegram")
    assert "1 refused" in systemd.wait_for("READY=1")


def test_it_is_not_ready_when_all_is_refused(run: RunTail, systemd: Systemd) -> None:
    assert run("-l", "99", "-m", "telegram").returncode == 5
    assert not [each for each in systemd.drain() if "READY=1" in each]


def test_the_watchdog_is_fed_at_half_its_patience(start: StartTail, systemd: Systemd) -> None:
    start(*SELECT, env={"WATCHDOG_USEC": "400000"})
    systemd.wait_for("WATCHDOG=1")
    began = time.monotonic()
    for _ in range(5):
        systemd.wait_for("WATCHDOG=1")
    assert 0.8 <= time.monotonic() - began <= scaled(4)


def test_the_watchdog_is_fed_while_nothing_can_be_reached(
    start: StartTail, systemd: Systemd, closed_port: int
) -> None:
    """Not ready is not dead."""
    url = f"ws://127.0.0.1:{closed_port}"
    start(*SELECT, "--ws-url", url, env={"WATCHDOG_USEC": "200000"})
    systemd.wait_for("STATUS=lost")
    systemd.wait_for("WATCHDOG=1")
    assert not [each for each in systemd.told if "READY=1" in each]


@pytest.mark.defect("A.18")
def test_the_watchdog_is_fed_while_all_is_filtered_out(
    subscribed_tail: StartTail, sandbox: Sandbox, systemd: Systemd
) -> None:
    tail = subscribed_tail("-w", SLOW_WHERE, env={"WATCHDOG_USEC": "400000"})
    publish_slow(sandbox, 120)
    received(sandbox)
    systemd.drain()
    for _ in range(5):
        systemd.wait_for("WATCHDOG=1", timeout=1)
    tail.send_signal(signal.SIGUSR1)
    filtered = re.search(r"(\d+) filtered out", tail.stderr.wait_for("0 records"))
    assert filtered
    assert int(filtered[1]) < 120, "the flood was over before the beats"


@pytest.mark.defect("A.29f")
def test_waiting_for_room_costs_nothing_when_there_is_nobody_to_vouch_for(
    start_tail_into: StartTailInto, pipe: tuple[int, int], sandbox: Sandbox, env: Env
) -> None:
    """The connection is over, and stdout takes nothing: no beats, and no wake-ups either."""
    watched = {**env, "WATCHDOG_USEC": "400000"}
    tail = start_tail_into(pipe[1], *SELECT, "--no-reconnect", env=watched)
    subscribed(sandbox)
    publish(sandbox, range(200), "x" * 4000)
    received(sandbox)
    threads = Path(f"/proc/{tail.pid}/task")
    sandbox.abort_sockets()
    # The main thread stays, and one that watches it.
    wait_until(lambda: len(list(threads.iterdir())) <= 2, "the end of the connection")
    time.sleep(0.5)
    before = waits_of(tail.pid)
    time.sleep(0.5)
    assert waits_of(tail.pid) - before < 50


def waits_of(pid: int) -> int:
    """How often the main thread has waited for something."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)
    assert found
    return int(found[1])


def test_a_watchdog_of_somebody_else_is_not_fed(
    start: StartTail, sandbox: Sandbox, systemd: Systemd
) -> None:
    tail = start(*SELECT, "-n", "1", env={"WATCHDOG_USEC": "10000", "WATCHDOG_PID": "1"})
    systemd.wait_for("READY=1")
    publish(sandbox, [1])
    assert tail.wait() == 0
    assert not [each for each in systemd.drain() if "WATCHDOG" in each]


def test_a_count_that_is_reached_is_a_stop_too(
    start: StartTail, sandbox: Sandbox, systemd: Systemd
) -> None:
    tail = start(*SELECT, "-n", "1")
    systemd.wait_for("READY=1")
    publish(sandbox, [1])
    assert tail.wait() == 0
    assert systemd.drain()[-1] == "STOPPING=1"


def test_odd_text_of_a_server_does_not_end_it(
    start: StartTail, sandbox: Sandbox, systemd: Systemd
) -> None:
    """Half of a surrogate pair is legal JSON, and no UTF-8."""
    tail = start(*SELECT, "-n", "1")
    systemd.wait_for("READY=1")
    odd = json.dumps({"code": 4200, "message": "half \ud800 of a pair\nMAINPID=1"})
    sandbox.close_sockets(1000, before=f'{{"event":"pusher:error","data":{odd}}}')
    systemd.wait_for("STATUS=lost", timeout=3)
    assert systemd.told[-1].count("\n") == 0
    sandbox.wait_for(lambda s: s.connections == 2 and s.subscribers(CHANNEL), scaled(15))
    publish(sandbox, [1])
    assert tail.wait() == 0, tail.stderr.text


@pytest.mark.parametrize("address", ["", "/nonexistent/notify", "@nobody-is-here"])
def test_nobody_listens(address: str, subscribed_tail: StartTail, sandbox: Sandbox) -> None:
    watched = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "10000"}
    tail = subscribed_tail("-n", "1", env=watched)
    publish(sandbox, [1])
    assert tail.wait() == 0
    assert (numbers_in(tail.stdout.text), tail.stderr.text) == ([1], "")


def test_a_socket_that_nobody_reads_does_no_harm(
    subscribed_tail: StartTail, sandbox: Sandbox, systemd: Systemd
) -> None:
    """systemd itself may be busy; more beats than a socket holds must not block the tail."""
    tail = subscribed_tail("-n", "2000", env={"WATCHDOG_USEC": "200"})
    publish(sandbox, range(2000))
    assert tail.wait(timeout=20) == 0
    assert len(systemd.drain()) < 2000


def test_other_commands_tell_nothing(run: RunTail, sandbox: Sandbox, systemd: Systemd) -> None:
    assert run("lines").returncode == 0
    assert sandbox.journal.of(ApiRequested)
    assert systemd.drain() == []
