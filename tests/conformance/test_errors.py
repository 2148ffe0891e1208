"""ER: what closes and errors mean for the connection."""

import pytest

from chatapp_tail import items
from chatapp_tail.items import StopCause
from chatapp_tail.pusher.backoff import Retry
from tests.pusher_machine import CHANNEL, OTHER, Machine

from .frames import CLOSE, encode
from .harness import Client
from .server import Peer, Server, good, ready_then_end


@pytest.mark.parametrize("code", [*range(1000, 1010), *range(1011, 1016)])
def test_er_111_a_general_close_code_backs_off(code: int) -> None:
    ended = Machine().subscribe().close(code).ended
    assert (ended.retry, ended.code) == (Retry.BACK_OFF, code)


def test_er_111_close_1010_is_fatal_for_us() -> None:
    assert Machine().subscribe().close(1010).ended.stop is StopCause.SERVER_REFUSED


@pytest.mark.parametrize("code", [1001, 1012, 1013, 1014, 3000, 4999])
def test_er_111_the_code_is_reported_as_it_came_and_echoed(code: int, no_jitter: None) -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        peer.close(code)
        assert peer.wait_frame(CLOSE).code == code

    with Server(script, good) as server, Client(server) as client:
        client.wait_for(items.Ready, count=2)
        lost = client.wait_for(items.Lost)
        assert (lost.code, str(code) in lost.reason) == (code, True)
        server.peer(0).wait_end()


@pytest.mark.parametrize(
    "payload", [b"", b"\x03", b"\x00\x00", b"\x03\xee", b"\x03\xf7", b"\xff\xff"]
)
def test_er_111_a_close_that_may_not_be_sent_is_answered_without_that_code(
    payload: bytes, no_jitter: None
) -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        peer.send_raw(encode(CLOSE, payload))
        assert peer.wait_frame(CLOSE).code in (None, 1000, 1002)

    with Server(script, good) as server, Client(server) as client:
        client.wait_for(items.Ready, count=2)
        assert client.wait_for(items.Lost).code is not None


def test_er_111_nothing_after_a_close_frame_counts(no_jitter: None) -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        late = b'{"event":"message","channel":"c","data":"{}"}'
        peer.send_raw(encode(CLOSE, (1000).to_bytes(2, "big")) + encode(1, late))

    with Server(script, good) as server, Client(server) as client:
        client.wait_for(items.Ready, count=2)
        assert client.events == []


@pytest.mark.parametrize("code", [4001, 4003, 4004, 4006, 4007, 4008, 4099])
def test_er_112_a_40xx_close_after_connected_stops_with_the_reason(code: int) -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        peer.close(code, b"made-up reason")

    with Server(script) as server, Client(server) as client:
        stopped = client.wait_stopped()
        assert stopped.cause is StopCause.SERVER_REFUSED
        assert "made-up reason" in stopped.reason
        assert str(code) in stopped.reason
        assert len(server.peers) == 1


@pytest.mark.defect("A.7c", "A2.16c")
@pytest.mark.parametrize("in_band", [True, False], ids=["in band", "close"])
@pytest.mark.parametrize("code", [4001, 4003, 4004, 4009])
def test_er_112_a_40xx_on_a_reconnect_is_retried(code: int, in_band: bool, no_jitter: None) -> None:
    def refusing(peer: Peer) -> None:
        peer.upgrade()
        if in_band:
            peer.error(code, "made up")
            peer.wait_end()
        else:
            peer.close(code, b"made up")

    with Server(ready_then_end, refusing, good) as server, Client(server) as client:
        client.wait_for(items.Ready, count=2)
        refused = client.wait_for(items.Lost, count=2)
        assert (refused.code, "made up" in refused.reason) == (code, True)
        assert client.wait_for(items.Reconnecting, count=2).delay >= 0.9


@pytest.mark.defect("A2.16c")
def test_er_112_a_40xx_on_the_first_connection_stops_when_no_endpoint_is_left(
    no_jitter: None,
) -> None:
    def refusing(peer: Peer) -> None:
        peer.upgrade()
        peer.close(4001, b"made up")

    with Server(refusing) as first, Server() as second, Client([first.url, second.url]) as client:
        client.wait_for(items.Ready)
    with Server(refusing) as first, Server(refusing) as second:
        with Client([first.url, second.url]) as client:
            assert client.wait_stopped().cause is StopCause.SERVER_REFUSED
        assert (len(first.peers), len(second.peers)) == (1, 1)


def test_er_113_close_4100_is_over_capacity() -> None:
    assert Machine().subscribe().close(4100).ended.retry is Retry.OVER_CAPACITY


def test_er_114_close_4200_reconnects_at_once_the_first_time() -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        peer.close(4200)

    with Server(script, good) as server, Client(server) as client:
        client.wait_for(items.Ready, count=2)
        assert client.wait_for(items.Reconnecting).delay < 0.05


@pytest.mark.parametrize("code", [4300, 4301, 4302, 4400, 4999])
def test_er_115_close_4300_and_above_backs_off(code: int) -> None:
    ended = Machine().subscribe().close(code, "made up").ended
    assert (ended.retry, ended.code) == (Retry.BACK_OFF, code)
    assert "made up" in ended.reason


@pytest.mark.parametrize("reason", [b"", b"made up", b"\xff\xfe", b"x" * 123, "é\x1b[31m".encode()])
def test_er_116_the_close_reason_is_shown_and_never_a_crash(reason: bytes, no_jitter: None) -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        peer.close(1011, reason)

    with Server(script, good) as server, Client(server) as client:
        client.wait_for(items.Ready, count=2)
        lost = client.wait_for(items.Lost)
        assert lost.code == 1011
        assert reason.decode("utf-8", "replace") in lost.reason


@pytest.mark.parametrize("as_string", [False, True])
@pytest.mark.parametrize("code", [None, 4000, 4001, 4009, 4100, 4200, 4201, 4301, 4302, 1, -5])
def test_er_117_an_in_band_error_after_connected_is_reported_and_no_more(
    code: int | None, as_string: bool
) -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        peer.error(code, "made up", as_string=as_string)
        peer.send_json(event="message", channel=CHANNEL, data="{}")
        peer.serve()

    with Server(script) as server, Client(server) as client:
        client.wait_for(items.ChannelEvent)
        (trouble,) = client.troubles()
        assert "made up" in trouble
        assert client.all(items.Lost) == []


@pytest.mark.parametrize(
    "data", ["null", "5", "[]", '"x"', "{}", '{"code":"4001"}', '{"code":true}', '{"code":4001.5}',
             '{"message":{}}', '{"code":9223372036854775808,"message":null}', '"[["']
)  # fmt: skip
def test_er_117_an_in_band_error_of_any_shape_is_survived(data: str) -> None:
    for text in (f'{{"event":"pusher:error","data":{data}}}', '{"event":"pusher:error"}'):
        machine = Machine().subscribe().receive(text)
        assert machine.goes_on
        assert len(machine.warned) == 1


def test_er_118_also_while_a_subscription_is_pending() -> None:
    machine = Machine(CHANNEL, OTHER).establish().grant(CHANNEL).error(4100, "Over capacity")
    assert machine.close(1000).ended.retry is Retry.OVER_CAPACITY


def test_er_118_over_the_wire(no_jitter: None) -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        peer.error(4001, "App does not exist", as_string=True)
        peer.fin()

    with Server(script) as server, Client(server) as client:
        stopped = client.wait_stopped()
        assert stopped.cause is StopCause.SERVER_REFUSED
        assert "App does not exist" in stopped.reason
