"""What the list means where it is silent: any peer, any pace; never alive but deaf."""

import os
import threading
from pathlib import Path

import pytest

from chatapp_tail import items
from chatapp_tail.pusher.answers import AuthAnswer
from chatapp_tail.pusher.connection import Timing
from tests.conftest import TIMEOUT_SCALE
from tests.pusher_machine import CHANNEL, MESSAGE, PUBLIC

from .frames import CLOSE, CONTINUATION, TEXT, encode
from .harness import Client, Link
from .server import Peer, Script, Server, good, mute, ready_then_mute, upgraded_mute

SHORT = 0.3 * TIMEOUT_SCALE
SOON = Timing(
    ping_interval=SHORT, pong_timeout=SHORT, established_timeout=SHORT, confirm_timeout=SHORT
)
EVENT = MESSAGE.encode()


# --- silence and slowness -------------------------------------------------------------------------


def half_a_frame(peer: Peer) -> None:
    peer.ready()
    peer.send_raw(encode(TEXT, EVENT)[:10])
    peer.wait_end()


def half_a_header(peer: Peer) -> None:
    peer.ready()
    peer.send_raw(b"\x81")
    peer.wait_end()


def dripped_frame(peer: Peer) -> None:
    peer.ready()
    peer.drip(encode(TEXT, EVENT * 100), pause=0.02)


def endless_fragments(peer: Peer) -> None:
    peer.ready()
    peer.send(TEXT, b"", fin=False)
    while True:
        peer.send(CONTINUATION, b"", fin=False)
        peer.pause(0.01)


def mute_but_reading_nothing(peer: Peer) -> None:
    peer.upgrade()
    peer.establish()
    peer.wait_end()


def dripped_upgrade(peer: Peer) -> None:
    peer.drip(peer.upgrade_answer()[:-4] + b"\r\nX-Padding: " + b"x" * 10_000, pause=0.02)


def endless_headers(peer: Peer) -> None:
    peer.send_raw(peer.upgrade_answer()[:-2])
    while True:
        peer.send_raw(b"X-Padding: made up\r\n" * 1000)


def endless_header(peer: Peer) -> None:
    peer.send_raw(peer.upgrade_answer()[:-2] + b"X-Padding: ")
    while True:
        peer.send_raw(b"x" * 65536)


def endless_body(peer: Peer) -> None:
    peer.wait_request()
    peer.send_raw(b"HTTP/1.1 503 X\r\nContent-Length: 999999999999\r\n\r\n")
    while True:
        peer.send_raw(b"x" * 65536)


STALLS: list[Script] = [
    mute, upgraded_mute, half_a_frame, half_a_header, dripped_frame, endless_fragments,
    ready_then_mute, mute_but_reading_nothing, dripped_upgrade, endless_headers, endless_header,
    endless_body,
]  # fmt: skip


@pytest.mark.parametrize("stall", STALLS, ids=lambda stall: stall.__name__)
def test_spirit_whatever_stalls_is_left_in_time(stall: Script, no_jitter: None) -> None:
    with (
        Server(stall, good) as server,
        Client(server, timing=SOON, connect_timeout=SHORT) as client,
    ):
        server.peer(1, timeout=3 * SHORT / TIMEOUT_SCALE + 2)
        client.wait_for(items.Lost)
        client.wait_for(items.Ready, where=lambda item: item.at > client.all(items.Lost)[0].at)


@pytest.mark.parametrize("stall", STALLS, ids=lambda stall: stall.__name__)
def test_spirit_whatever_stalls_a_stop_ends_it_at_once(stall: Script) -> None:
    with Server(stall) as server, Client(server) as client:
        peer = server.peer()
        peer.wait_request()
        if stall.__name__.startswith("endless_") and stall is not endless_fragments:
            peer.wait(lambda: peer.sent > 100_000, "much sent")
        client.stop(within=1.5)


def test_spirit_a_server_that_never_confirms_is_never_called_ready() -> None:
    with (
        Server(mute_but_reading_nothing) as server,
        Client(server, (CHANNEL,), timing=Timing(confirm_timeout=SHORT)) as client,
    ):
        server.peer().wait_event("pusher:subscribe", count=3)
        assert client.all(items.Ready) == []
        assert len(client.all(items.ConnectionWarning)) >= 2
        assert client.all(items.Lost) == []


def test_spirit_a_peer_that_never_reads_holds_nothing_up() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.establish()
        peer.confirm(PUBLIC)
        while True:
            peer.send_json(event="pusher:ping")

    timing = Timing(ping_interval=0.001)
    with (
        Server(script, reads=False, receive_buffer=4096) as server,
        Client(server, (PUBLIC,), timing=timing) as client,
    ):
        client.wait_for(items.Ready)
        client.stop(within=2)


def test_spirit_a_quiet_link_takes_no_processor_time() -> None:
    with Server() as server, Client(server) as client:
        client.wait_for(items.Ready)
        (thread,) = (t for t in threading.enumerate() if t.name == "chatapp-tail-socket")
        before = processor_seconds(thread)
        assert server.never_connected(1, within=1.0)
        assert processor_seconds(thread) - before < 0.1


def processor_seconds(thread: threading.Thread) -> float:
    """What one thread has used so far (proc(5)); others of the suite may be busy beside it."""
    stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_text()
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def test_spirit_a_frame_in_single_bytes_is_the_same_frame(link: Link) -> None:
    client, peer = link
    for byte in encode(TEXT, EVENT) + encode(TEXT, b"x" * 200):
        peer.send_raw(bytes([byte]))
    client.wait_for(items.ConnectionWarning)
    assert client.events == ["message"]


# --- garbage --------------------------------------------------------------------------------------

GARBAGE: dict[str, bytes] = {
    "noise": os.urandom(512) + b"\r\n\r\n",
    "an empty line": b"\r\n\r\n",
    "another protocol": b"220 mail ready\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "status in words": b"HTTP/1.1 abc X\r\n\r\n",
    "a negative status": b"HTTP/1.1 -5 X\r\n\r\n",
    "a header without colon": b"HTTP/1.1 101 X\r\nhello\r\n\r\n",
    "a header not in UTF-8": b"HTTP/1.1 101 X\r\nA: \xff\r\n\r\n",
    "a wrong accept": (
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAA\r\n\r\n"
    ),
    "no accept": b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "a length in words": b"HTTP/1.1 503 X\r\nContent-Length: abc\r\n\r\n",
    "a negative length": b"HTTP/1.1 503 X\r\nContent-Length: -1\r\n\r\n",
    "a length that never comes": b"HTTP/1.1 503 X\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "half an answer": b"",  # which is made of the request
    "frames before the answer": encode(TEXT, EVENT),
    "a close before the answer": encode(CLOSE, b"\x03\xe8"),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_spirit_garbage_for_an_upgrade_answer_is_a_failed_dial_and_no_bug(
    garbage: bytes, no_jitter: None
) -> None:
    def script(peer: Peer) -> None:
        peer.wait_request()
        peer.send_raw(garbage or peer.upgrade_answer()[:-3])
        peer.wait_end()

    with Server(script, good) as server, Client(server, connect_timeout=2 * SHORT) as client:
        client.wait_for(items.Ready)
        (lost,) = client.all(items.Lost)
        assert lost.lasted is None


def test_spirit_a_cookie_that_is_none_is_no_bug() -> None:
    def script(peer: Peer) -> None:
        cookie = b"Set-Cookie: a/b=c; domain=127.0.0.1\r\n\r\n"
        peer.send_raw(peer.upgrade_answer()[:-2] + cookie)
        peer.establish()
        peer.serve()

    with Server(script) as server, Client(server) as client:
        # It is no answer that can be read, so it is said, and tried again.
        assert "upgrade failed" in client.wait_for(items.Lost).reason
        client.wait_for(items.Connecting, count=2)


@pytest.mark.parametrize("wish", ["99999999999", "9" * 400, "-1", "soon", "1e9", ""])
def test_spirit_an_absurd_retry_after_is_no_bug(wish: str) -> None:
    def script(peer: Peer) -> None:
        peer.refuse(503, f"Retry-After: {wish}\r\n")

    with Server(script) as server, Client(server) as client:
        waiting = client.wait_for(items.Reconnecting)
        assert waiting.delay <= 3600
        client.stop()


@pytest.mark.parametrize("junk", [b"5", b"{", b'{"event":5}', b""], ids=repr)
def test_spirit_junk_before_established_is_survived(junk: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.send(TEXT, junk)
        peer.send(2, junk)
        peer.send(0x9, junk)
        peer.establish()
        peer.serve()

    with Server(script) as server, Client(server) as client:
        client.wait_for(items.Ready)
        assert client.all(items.Lost) == []


# --- any order ------------------------------------------------------------------------------------


# --- the tail never looks alive while it is deaf --------------------------------------------------


def test_spirit_a_server_that_forgets_a_subscription_is_noticed_and_mended() -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        peer.wait_event("pusher:subscribe", count=2)
        peer.confirm(CHANNEL)  # the first recheck is answered
        peer.wait_event("pusher:subscribe", count=4)  # the second is not: asked anew
        peer.confirm(CHANNEL)
        peer.serve()

    timing = Timing(recheck_interval=SHORT, confirm_timeout=SHORT)
    with Server(script) as server, Client(server, timing=timing) as client:
        gap = client.wait_for(items.Gap)
        assert "forgot" in gap.reason
        assert client.all(items.Lost) == []


def test_spirit_a_recheck_that_is_refused_is_a_gap_too() -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        peer.wait_event("pusher:subscribe", count=2)
        peer.error(4009, "Connection is unauthorized")
        peer.wait_event("pusher:subscribe", count=3)
        peer.serve()

    timing = Timing(recheck_interval=SHORT)
    with Server(script) as server, Client(server, timing=timing) as client:
        client.wait_for(items.Gap, timeout=4)


def test_spirit_a_bug_in_an_auth_thread_ends_the_connection_aloud() -> None:
    def answer(socket_id: str, channel: str) -> AuthAnswer:
        raise RuntimeError("made up")

    with Server() as server:
        client = Client(server, auth=answer)
        client.connection.start()
        stopped = client.wait_stopped()
        assert (stopped.cause, "made up" in stopped.reason) == ("bug", True)
        assert client.connection.join(5 * TIMEOUT_SCALE)
