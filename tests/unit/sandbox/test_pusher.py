import asyncio
import gc
import json
import re
import socket
import threading
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.sync.client import connect

from chatapp_tail.sandbox import (
    ClientFrame,
    Closed,
    Connected,
    Sandbox,
    Subscribed,
    Unsubscribed,
    UpgradeRefused,
    pusher_error,
)
from chatapp_tail.sandbox.pusher import PusherServer

from .client import TELEGRAM, TEST_TIMEOUT, WAIT, WHATSAPP, client, raw_client

pytestmark = pytest.mark.timeout(TEST_TIMEOUT)


# The handshake.


def test_says_connection_established_first() -> None:
    with Sandbox(activity_timeout=17) as sandbox, raw_client(sandbox) as opened:
        frame = opened.greet()
    assert frame["event"] == "pusher:connection_established"
    assert re.fullmatch(r"\d+\.\d+", opened.socket_id)
    assert json.loads(frame["data"])["activity_timeout"] == 17


def test_writes_the_connection_down(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        (connected,) = sandbox.journal.of(Connected)
        assert connected.socket_id == opened.socket_id
        assert connected.path == f"/app/{sandbox.app_key}"
        assert connected.query == (("protocol", "7"), ("client", "test"), ("version", "1.0.0"))
        assert "Sec-WebSocket-Key" in dict(connected.headers)
        assert connected.established


def test_socket_ids_differ(sandbox: Sandbox) -> None:
    with client(sandbox) as first, client(sandbox) as second:
        assert first.socket_id != second.socket_id


def test_a_wrong_key_is_refused_in_band_and_closed(sandbox: Sandbox) -> None:
    with raw_client(sandbox, key="Wrong") as opened:
        error = opened.receive()
        assert error["event"] == "pusher:error"
        assert error["data"]["code"] == 4001
        with pytest.raises(ConnectionClosed) as closed:
            opened.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4001


def test_a_prefix_before_app_is_served(sandbox: Sandbox) -> None:
    with connect(f"{sandbox.ws_url}/some/prefix/app/{sandbox.app_key}") as raw:
        assert "connection_established" in str(raw.recv(timeout=WAIT))


def test_another_path_is_not_found(sandbox: Sandbox) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"{sandbox.ws_url}/other"),
    ):
        pass
    assert refused.value.response.status_code == 404
    assert [e.status for e in sandbox.journal.of(UpgradeRefused)] == [404]


# Keep-alive.


def test_answers_pings(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        opened.send("pusher:ping")
        assert opened.receive() == {"event": "pusher:pong", "data": {}}
    assert sandbox.pings == 1


def test_small_frames_do_not_wait_for_acknowledgements(sandbox: Sandbox) -> None:
    with client(sandbox):
        (peer,) = sandbox._server.peers()
        accepted = peer.connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


# Subscriptions.


def test_a_signed_private_channel_is_confirmed(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        assert opened.subscribe(TELEGRAM) == {
            "event": "pusher_internal:subscription_succeeded",
            "channel": TELEGRAM,
        }
    assert [e.outcome for e in sandbox.journal.of(Subscribed)] == ["confirmed"]


def test_a_public_channel_needs_no_auth(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        assert opened.subscribe("news")["event"] == "pusher_internal:subscription_succeeded"


def test_a_second_subscription_is_confirmed_again_and_delivers_once(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        opened.subscribe(TELEGRAM)
        assert opened.subscribe(TELEGRAM)["event"] == "pusher_internal:subscription_succeeded"
        sandbox.publish(TELEGRAM, "message", "{}")
        assert opened.receive()["event"] == "message"
        assert opened.receives_nothing()


@pytest.mark.parametrize("of", ["nothing", "other channel", "other socket", "other key"])
def test_a_wrong_signature_is_refused(sandbox: Sandbox, of: str) -> None:
    with client(sandbox) as opened:
        auth = {
            "nothing": "",
            "other channel": opened.auth(WHATSAPP),
            "other socket": sandbox.account.sign("1.1", TELEGRAM),
            "other key": "Key" + opened.auth(TELEGRAM),
        }[of]
        opened.send("pusher:subscribe", channel=TELEGRAM, auth=auth)
        refusal = opened.receive()
        assert refusal["event"] == "pusher:subscription_error"
        assert refusal["channel"] == TELEGRAM
        assert refusal["data"]["type"] == "AuthError"
        assert refusal["data"]["status"] == 401
        assert sandbox.publish(TELEGRAM, "message", "{}") == 0
        assert opened.subscribe(TELEGRAM)["event"] == "pusher_internal:subscription_succeeded"


def test_unsubscribing_has_no_reply_and_ends_delivery(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        opened.subscribe(TELEGRAM)
        opened.send("pusher:unsubscribe", channel=TELEGRAM)
        sandbox.wait_for(lambda s: s.journal.count(Unsubscribed), WAIT)
        assert sandbox.publish(TELEGRAM, "message", "{}") == 0
        assert opened.receives_nothing()


@pytest.mark.parametrize(
    "text", ["{", "5", "[]", '{"event":5}', '{"event":"client-x","data":{}}', '{"event":"a"}']
)
def test_other_frames_are_written_down_and_ignored(sandbox: Sandbox, text: str) -> None:
    with client(sandbox) as opened:
        opened.socket.send(text)
        sandbox.wait_for(lambda s: s.journal.count(ClientFrame), WAIT)
        opened.send("pusher:ping")
        assert opened.receive()["event"] == "pusher:pong"
    assert [e.content for e in sandbox.journal.of(ClientFrame)] == [text]


# Delivery.


def test_publishes_the_exact_data_to_the_subscribers(sandbox: Sandbox) -> None:
    data = '{"b":1.50,"text":"\\u00e9 é 😀"}'
    with client(sandbox) as first, client(sandbox) as second, client(sandbox) as third:
        first.subscribe(TELEGRAM)
        second.subscribe(TELEGRAM)
        third.subscribe(WHATSAPP)
        assert sandbox.publish(TELEGRAM, "message", data) == 2
        expected = {"event": "message", "channel": TELEGRAM, "data": data}
        assert first.receive() == second.receive() == expected
        assert third.receives_nothing()


def test_send_frame_reaches_all_or_one_channel(sandbox: Sandbox) -> None:
    with client(sandbox) as first, client(sandbox) as second:
        first.subscribe("news")
        assert sandbox.send_frame('{"event":"all"}') == 2
        assert sandbox.send_frame(b'{"event":"some"}', channel="news") == 1
        assert first.receive()["event"] == "all"
        assert first.receive()["event"] == "some"
        assert second.receive()["event"] == "all"
        assert second.receives_nothing()


def test_send_frame_sends_bytes_that_are_no_text(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        sandbox.send_frame(b"\xff")
        assert opened.socket.recv(timeout=WAIT, decode=False) == b"\xff"


def test_send_wire_sends_what_no_server_would(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        sandbox.send_wire(Frame(Opcode.TEXT, b'{"ev', fin=False).serialize(mask=False))
        sandbox.send_wire(Frame(Opcode.CONT, b'ent":1}').serialize(mask=False))
        assert opened.receive() == {"event": 1}


def test_a_burst_arrives_whole_and_in_order(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        opened.subscribe("news")
        for number in range(5000):
            sandbox.publish("news", "n", str(number))
        assert [opened.receive()["data"] for _ in range(5000)] == [str(n) for n in range(5000)]


def test_many_channels_on_many_sockets(sandbox: Sandbox) -> None:
    channels = [f"channel-{number}" for number in range(500)]
    with client(sandbox) as first, client(sandbox) as second:
        for opened in (first, second):
            for channel in channels:
                opened.subscribe(channel)
        assert all(sandbox.subscribers(channel) == 2 for channel in channels)
        assert sandbox.publish("channel-499", "e", "x") == 2
        assert first.receive()["channel"] == second.receive()["channel"] == "channel-499"


# Ends.


def test_writes_down_how_a_client_closed(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        opened.socket.close(4242, "enough")
    sandbox.wait_for(lambda s: s.journal.count(Closed), WAIT)
    (closed,) = sandbox.journal.of(Closed)
    assert (closed.socket_id, closed.code, closed.reason) == (opened.socket_id, 4242, "enough")
    assert not closed.by_server
    assert sandbox.open_sockets == 0


def test_writes_down_that_a_client_vanished(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        opened.socket.socket.shutdown(socket.SHUT_RDWR)
        sandbox.wait_for(lambda s: s.journal.count(Closed), WAIT)
    assert [(e.code, e.by_server) for e in sandbox.journal.of(Closed)] == [(1006, False)]


def test_closes_all_with_a_code_after_an_error(sandbox: Sandbox) -> None:
    with client(sandbox) as first, client(sandbox) as second:
        assert sandbox.close_sockets(4200, "bye", before=pusher_error(4200, "restart")) == 2
        for opened in (first, second):
            assert opened.receive()["data"] == {"code": 4200, "message": "restart"}
            with pytest.raises(ConnectionClosed) as closed:
                opened.receive()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4200, "bye")
    sandbox.wait_for(lambda s: s.journal.count(Closed) == 2, WAIT)
    assert all(entry.by_server for entry in sandbox.journal.of(Closed))


def test_refuses_to_close_with_a_code_that_may_not_be_sent(sandbox: Sandbox) -> None:
    with pytest.raises(ProtocolError):
        sandbox.close_sockets(1006)


def test_what_is_published_before_a_close_arrives_before_it(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        opened.subscribe("news")
        sandbox.publish("news", "last", "1")
        sandbox.close_sockets(1012)
        assert opened.receive()["event"] == "last"


def test_nothing_follows_a_close_frame(sandbox: Sandbox) -> None:
    port = urlsplit(sandbox.ws_url).port
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as raw:
        raw.sendall(upgrade(f"/app/{sandbox.app_key}"))
        sandbox.wait_for(lambda s: s.open_sockets == 1, WAIT)
        sandbox.close_sockets(4200, "bye")
        assert sandbox.send_frame("late") == 1
        received = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b"bye" in received
    assert b"late" not in received


@pytest.mark.parametrize("reset", [True, False])
def test_aborts_without_a_close_frame(sandbox: Sandbox, reset: bool) -> None:
    port = urlsplit(sandbox.ws_url).port
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as raw:
        raw.sendall(upgrade(f"/app/{sandbox.app_key}"))
        while b"activity_timeout" not in raw.recv(65536):
            pass
        assert sandbox.abort_sockets(reset=reset) == 1
        if reset:
            with pytest.raises(ConnectionResetError):
                raw.recv(65536)
        else:
            assert raw.recv(65536) == b""
    sandbox.wait_for(lambda s: s.open_sockets == 0, WAIT)
    assert [entry.code for entry in sandbox.journal.of(Closed)] == [1006]


# Scripted faults.


def test_mute_never_establishes(sandbox: Sandbox) -> None:
    sandbox.faults.mute = True
    with raw_client(sandbox) as opened:
        opened.send("pusher:ping")
        assert opened.receives_nothing()
        assert [e.established for e in sandbox.journal.of(Connected)] == [False]
        assert sandbox.pings == 0
        assert sandbox.send_frame('{"event":"first"}') == 1
        assert opened.receive()["event"] == "first"


def test_withheld_confirmations(sandbox: Sandbox) -> None:
    sandbox.faults.withhold_confirmations = True
    with client(sandbox) as opened:
        opened.send("pusher:subscribe", channel="news")
        sandbox.wait_for(lambda s: s.journal.count(Subscribed), WAIT)
        assert sandbox.journal.of(Subscribed)[0].outcome == "withheld"
        assert sandbox.publish("news", "e", "x") == 0
        assert opened.receives_nothing()
        sandbox.faults.clear()
        assert opened.subscribe("news")["event"] == "pusher_internal:subscription_succeeded"


def test_withheld_pongs(sandbox: Sandbox) -> None:
    sandbox.faults.withhold_pongs = True
    with client(sandbox) as opened:
        opened.send("pusher:ping")
        sandbox.wait_for(lambda s: s.pings == 1, WAIT)
        assert opened.receives_nothing()


def test_forgotten_subscriptions(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        opened.subscribe("news")
        sandbox.forget_subscriptions()
        assert sandbox.publish("news", "e", "x") == 0
        opened.send("pusher:ping")
        assert opened.receive()["event"] == "pusher:pong"


def test_refused_upgrades(sandbox: Sandbox) -> None:
    sandbox.faults.refuse_upgrades(503, retry_after=9, calls=1)
    with pytest.raises(InvalidStatus) as refused, raw_client(sandbox):
        pass
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"] == "9"
    with client(sandbox) as opened:
        assert opened.socket_id


def test_held_upgrades_end_with_an_abort(sandbox: Sandbox) -> None:
    sandbox.faults.hold_upgrades = True
    port = urlsplit(sandbox.ws_url).port
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as raw:
        raw.sendall(upgrade(f"/app/{sandbox.app_key}"))
        raw.settimeout(0.15)
        with pytest.raises(TimeoutError):
            raw.recv(1)
        raw.settimeout(WAIT)
        sandbox.abort_sockets(reset=False)
        assert raw.recv(1) == b""


def test_a_stop_closes_who_is_just_being_accepted(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop is held until it has to accept and to stop in one round."""
    held = threading.Event()

    def call_and_release(server: PusherServer, coroutine: Coroutine[Any, Any, None]) -> None:
        stopped = asyncio.run_coroutine_threadsafe(coroutine, server._loop)
        held.set()
        stopped.result(WAIT)

    sandbox._server._loop.call_soon_threadsafe(held.wait)
    with socket.create_connection(("127.0.0.1", urlsplit(sandbox.ws_url).port)) as late:
        monkeypatch.setattr(PusherServer, "_call", call_and_release)
        sandbox.stop()
        late.settimeout(WAIT)
        assert late.recv(1) == b""
    gc.collect()  # an unclosed transport would warn here, and a warning is an error


def upgrade(path: str) -> bytes:
    lines = (
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    return "\r\n".join((*lines, "", "")).encode()
