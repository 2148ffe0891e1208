"""KA: a dead link is noticed, whatever TCP thinks of it."""

import time

import pytest

from chatapp_tail import items
from chatapp_tail.pusher.backoff import Retry
from chatapp_tail.pusher.connection import Timing
from tests.conftest import TIMEOUT_SCALE
from tests.pusher_machine import MESSAGE, Machine, frame

from .frames import CONTINUATION, PING, PONG, TEXT, encode
from .harness import Client, Link
from .server import Peer, Script, Server, good, ready_then_mute

EVENT = MESSAGE.encode()


def test_ka_099_a_mute_server_is_left_without_waiting_for_its_close(no_jitter: None) -> None:
    ping, pong = 0.2 * TIMEOUT_SCALE, 0.2 * TIMEOUT_SCALE
    timing = Timing(ping_interval=ping, pong_timeout=pong)
    with Server(ready_then_mute, good) as server, Client(server, timing=timing) as client:
        client.wait_for(items.Ready, count=2)
        first = server.peer(0)
        confirmed_at = first.wait_frame(TEXT).at
        assert first.wait_end() - confirmed_at < ping + pong + 1.0
        assert first.close_code is None
        assert "no answer to a ping" in client.wait_for(items.Lost).reason
        assert server.overlaps == 0


def test_ka_101_the_answer_goes_out_at_once(link: Link) -> None:
    _, peer = link
    peer.send_json(event="pusher:ping")
    peer.wait_event("pusher:pong", timeout=2)


@pytest.mark.parametrize("payload", [b"", b"\x00\xff" * 62 + b"x"])
def test_ka_102_a_websocket_ping_is_answered_with_its_payload(payload: bytes, link: Link) -> None:
    _, peer = link
    peer.send(PING, payload)
    assert peer.wait_frame(PONG, timeout=2).payload == payload


def test_ka_102_a_websocket_ping_inside_a_fragmented_message_is_answered_at_once(
    link: Link,
) -> None:
    client, peer = link
    peer.send(TEXT, EVENT[:20], fin=False)
    peer.send(PING, b"inside")
    assert peer.wait_frame(PONG, timeout=2).payload == b"inside"
    peer.send(CONTINUATION, b"", fin=False)
    peer.send(PING, b"again")
    assert peer.wait_frame(PONG, count=2, timeout=2).payload == b"again"
    assert client.events == []
    peer.send(CONTINUATION, EVENT[20:])
    client.wait_for(items.ChannelEvent)
    assert client.all(items.Lost) == []


def test_ka_103_an_unsolicited_pong_is_life_and_nothing_else(link: Link) -> None:
    client, peer = link
    before = len(client.said)
    peer.send_json(event="pusher:pong", data={})
    peer.send(PONG, b"unsolicited")
    peer.send(TEXT, EVENT)
    client.wait_for(items.ChannelEvent)
    assert len(client.said) == before + 1
    assert [frame.opcode for frame in peer.frames] == [TEXT]


def slow_frame(payload: bytes, block: int, pause: float) -> Script:
    """Return a script that sends a frame in blocks, with a pause after each."""

    def script(peer: Peer) -> None:
        peer.ready()
        data = encode(TEXT, payload)
        for start in range(0, len(data), block):
            peer.send_raw(data[start : start + block])
            peer.pause(pause)
        peer.serve()

    return script


@pytest.mark.defect("A.29j")
def test_ka_100_a_frame_that_takes_longer_than_a_ping_and_its_answer_is_life() -> None:
    short = 0.3 * TIMEOUT_SCALE
    text = EVENT.replace(b'"{}"', b'"' + b"x" * 200_000 + b'"')
    script = slow_frame(text, 10_000, short / 3)
    timing = Timing(ping_interval=short, pong_timeout=short)
    with Server(script) as server, Client(server, timing=timing) as client:
        client.wait_for(items.ChannelEvent, timeout=20)
        assert client.all(items.Lost) == []


def test_ka_100_a_frame_that_drips_is_no_life(no_jitter: None) -> None:
    short = 0.3 * TIMEOUT_SCALE
    script = slow_frame(EVENT * 200, 100, short / 10)
    timing = Timing(ping_interval=short, pong_timeout=short)
    with Server(script, good) as server, Client(server, timing=timing) as client:
        assert "no answer to a ping" in client.wait_for(items.Lost).reason


@pytest.mark.parametrize("pongs", [1, 5, 60])
def test_ka_104_pongs_that_come_and_then_stop_are_noticed(pongs: int) -> None:
    machine = Machine(timing=Timing(ping_interval=15, pong_timeout=10)).subscribe()
    for _ in range(pongs):
        machine.after(15).receive(frame("pusher:pong"))
    last = machine.now
    assert machine.after(24.9).goes_on
    assert machine.pings[-1] - last <= 15
    assert machine.after(0.2).ended.retry is Retry.BACK_OFF


def test_ka_108_a_clock_that_jumped_is_a_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    with Server() as server, Client(server, timing=Timing(ping_interval=60)) as client:
        client.wait_for(items.Ready)
        peer = server.peer()
        monkeypatch.setattr(time, "time", lambda: real() + 3600)
        peer.wait_event("pusher:ping", timeout=7)
        monkeypatch.undo()
