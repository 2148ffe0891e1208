"""SD: the end is quick, clean and final, whatever goes on at the time."""

import json
import os
import signal
import socket
import ssl
import threading
from pathlib import Path

import pytest

from chatapp_tail import items
from chatapp_tail.items import StopCause
from chatapp_tail.pusher.answers import AuthAnswer, Granted
from chatapp_tail.pusher.connection import Timing
from tests.conftest import TIMEOUT_SCALE, StartTail
from tests.pusher_machine import CHANNEL
from tests.servers import HttpEndpoint

from .frames import CLOSE
from .harness import Auth, Client, Link, Program
from .server import Peer, Script, Server, mute, upgraded_mute


def test_sd_137_a_stop_says_1000_and_ends_without_reconnecting() -> None:
    with Server() as server, Client(server) as client:
        client.wait_for(items.Ready)
        client.stop()
        assert server.peer().wait_frame(CLOSE).code == 1000
        server.peer().wait_end()
        assert client.wait_stopped().cause is StopCause.ASKED
        assert (client.all(items.Lost), client.all(items.Reconnecting)) == ([], [])
        assert len(server.peers) == 1


def test_sd_137_a_server_that_does_not_answer_the_close_is_dropped() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.establish()
        peer.wait_end()

    with Server(script) as server, Client(server) as client:
        client.wait_for(items.Connected)
        client.stop(within=2.0)
        server.peer().wait_end()


def test_sd_137_no_event_follows_a_stop() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.establish()
        peer.wait_frame(CLOSE)
        for _ in range(100):
            peer.send_json(event="late", channel=CHANNEL, data="{}")
        peer.wait_end()

    with Server(script) as server, Client(server) as client:
        client.wait_for(items.Connected)
        client.stop()
        assert client.events == []
        assert isinstance(client.said[-1], items.Stopped)


def test_sd_137_a_server_that_never_stops_talking_cannot_hold_the_end_up() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.establish()
        while True:
            peer.send_json(event="message", channel=CHANNEL, data="x" * 10_000)

    with Server(script) as server, Client(server) as client:
        client.wait_for(items.ChannelEvent)
        client.stop(within=2.0)


@pytest.mark.parametrize("script", [mute, upgraded_mute], ids=["before upgrade", "after upgrade"])
def test_sd_138_a_stop_while_connecting_ends_at_once(script: Script) -> None:
    with Server(script) as server, Client(server) as client:
        server.peer().wait_request()
        client.stop(within=1.0)
        server.peer().wait_end()


def test_sd_138_a_stop_in_the_middle_of_the_tls_handshake_ends_at_once() -> None:
    with Server(mute) as server, Client([server.tls_url]) as client:
        server.peer()
        client.stop(within=1.0)


def test_sd_138_a_stop_while_tcp_connects_ends_at_once() -> None:
    with full_backlog() as port, Client([f"ws://127.0.0.1:{port}"]) as client:
        client.wait_for(items.Connecting)
        client.stop(within=1.0)


class full_backlog:  # noqa: N801 - a context manager
    """A port of 127.0.0.1 that answers no SYN, as a firewall that drops would."""

    def __enter__(self) -> int:
        self._sockets = [socket.socket()]
        self._sockets[0].bind(("127.0.0.1", 0))
        self._sockets[0].listen(0)
        port: int = self._sockets[0].getsockname()[1]
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            self._sockets.append(filler)
        return port

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            each.close()


def test_sd_138_a_stop_while_waiting_ends_at_once(closed_port: int) -> None:
    def script(peer: Peer) -> None:
        peer.refuse(503, "Retry-After: 30\r\n")

    with Server(script) as server, Client(server) as client:
        assert client.wait_for(items.Reconnecting).delay > 20
        client.stop(within=1.0)


def test_sd_138_a_stop_while_auth_is_pending_ends_at_once() -> None:
    gate = threading.Event()

    def answer(socket_id: str, channel: str) -> AuthAnswer:
        gate.wait(20)
        return Granted("k:s")

    auth = Auth(answer)
    with Server() as server, Client(server, auth=auth) as client:
        auth.wait_calls(1)
        client.stop(within=1.5)
        gate.set()  # an answer that comes after the end harms nobody
        assert client.wait_stopped().cause is StopCause.ASKED


def test_sd_138_a_stop_before_the_start_is_kept() -> None:
    with Server() as server:
        client = Client(server)
        client.connection.stop()
        with client:
            assert client.wait_stopped().cause is StopCause.ASKED
        assert server.peers == []


def test_sd_140_stopping_twice_is_stopping_once(link: Link) -> None:
    client, peer = link
    client.stop()
    client.stop()
    assert len(client.all(items.Stopped)) == 1
    assert len(peer.of(CLOSE)) == 1


def test_sd_141_after_the_end_nothing_is_sent_and_no_timer_fires() -> None:
    before = set(threading.enumerate())
    timing = Timing(ping_interval=0.05, quiet_interval=0.05, recheck_interval=0.05)
    with Server() as server, Client(server, timing=timing) as client:
        server.peer().wait_event("pusher:ping")
        client.stop()
        said, sent = len(client.said), len(server.peer().frames)
        assert server.peer().frames[-1].opcode == CLOSE
        assert server.never_connected(1, within=0.5)
        assert (len(client.said), len(server.peer().frames)) == (said, sent)
        names = [thread.name for thread in set(threading.enumerate()) - before]
        assert not any(name.startswith("chatapp-tail") for name in names)


def test_sd_142_a_new_connection_after_the_end_works_with_all_channels() -> None:
    with Server() as server:
        for number in range(2):
            with Client(server) as client:
                assert client.wait_for(items.Ready).channels == [CHANNEL]
            assert server.peer(number).subscribed() == [CHANNEL]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sd_143_a_signal_writes_what_was_received_and_dies_of_it(
    start_tail: StartTail, number: signal.Signals
) -> None:
    with HttpEndpoint() as api, Server() as server:
        tail = start_tail(
            "-c", CHANNEL, "--ws-url", server.url, "--api-url", api.url,
            env={"CHATAPP_TOKEN": "made-up"},
        )  # fmt: skip
        peer = server.peer()
        peer.wait_event("pusher:subscribe")
        for event in range(1000):
            peer.send_json(event="message", channel=CHANNEL, data=json.dumps({"id": event}))
        tail.stdout.take()
        tail.send_signal(number)
        assert tail.wait(timeout=3) == -number
        ids = [json.loads(line)["data"]["id"] for line in tail.stdout.all]
        assert ids == list(range(len(ids)))
        assert tail.stderr.text == ""
        assert peer.close_code == 1000


def test_sd_143_a_reader_that_goes_away_while_idle_is_a_quiet_end(home: Path) -> None:
    reader, writer = os.pipe()
    with HttpEndpoint() as api, Server() as server:
        with Program(server, api.url, home, writer) as program:
            os.close(writer)
            server.peer().wait_event("pusher:subscribe")
            os.close(reader)
            assert program.wait(timeout=3) == (0, "")
        assert server.peer().close_code == 1000


def test_sd_137_over_tls_too(trusted: ssl.SSLContext, ca_file: str) -> None:
    with Server(tls=trusted) as server:
        url = server.tls_url
        with Client([url], ca_file=ca_file) as client:
            client.wait_for(items.Ready)
            client.stop(within=2.0 * TIMEOUT_SCALE)
            assert server.peer().wait_frame(CLOSE).code == 1000
