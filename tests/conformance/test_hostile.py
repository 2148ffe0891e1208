"""HI: anything a server can send is survived, counted, and said once."""

import json
import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from chatapp_tail import items
from chatapp_tail.items import ChannelEvent, StopCause
from chatapp_tail.pusher.backoff import Retry
from chatapp_tail.pusher.frames import TOO_BIG, FrameDecoder
from chatapp_tail.pusher.transport import MAX_MESSAGE
from tests.conftest import StartTail
from tests.pusher_machine import CHANNEL, MESSAGE, Machine
from tests.servers import HttpEndpoint

from .conftest import server_context
from .frames import BINARY, CONTINUATION, PING, PONG, TEXT, encode
from .harness import Client, Link
from .server import Peer, Script, Server, good

EVENT = MESSAGE.encode()


def sends(data: bytes) -> Script:
    """Return a script that brings a connection to where all is well and then sends bytes."""

    def script(peer: Peer) -> None:
        peer.ready()
        peer.send_raw(data)
        peer.wait_end()

    return script


@pytest.mark.parametrize("text", ["{}", "[]", "5", '"x"', "null", "true", ""])
def test_hi_144_before_established_too(text: str) -> None:
    assert Machine().receive(text).subscribe().protocol.ready


@pytest.mark.defect("A.29i")
def test_hi_144_text_that_is_not_utf_8_ends_the_link_with_1007(no_jitter: None) -> None:
    with Server(sends(encode(TEXT, b'{"event":"\xff"}')), good) as server, Client(server) as client:
        client.wait_for(items.Ready, count=2)
        assert server.peer(0).wait_end()
        assert server.peer(0).close_code == 1007
        lost = client.wait_for(items.Lost)
        assert lost.code == 1007
        assert "UTF-8" in lost.reason


@pytest.mark.parametrize(
    "text",
    ['{"event":"\\ud800","channel":null,"data":"\\ud800"}', '{"event":"","channel":null}',
     f'{{"event":"a","event":"message","channel":"c","channel":"{CHANNEL}"}}',
     '{"event":"\\u0000"}', '{"event":"message","data":"\\ud83d"}', ' \n{"event" : "message" }\t'],
)  # fmt: skip
def test_hi_145_odd_but_legal_frames_are_delivered(text: str) -> None:
    (event,) = Machine().subscribe().receive(text).all(ChannelEvent)
    event.event.encode()
    (event.channel or "").encode()


@pytest.mark.parametrize("payload", [EVENT, b"", b"\x00\xff" * 1000])
def test_hi_147_a_binary_frame_never_drops_the_link(payload: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        for _ in range(3):
            peer.send(BINARY, payload)
        peer.send(TEXT, EVENT.replace(b"message", b"after"))
        peer.serve()

    with Server(script) as server, Client(server) as client:
        client.wait_for(ChannelEvent, where=lambda event: event.event == "after")
        assert client.all(items.Lost) == []
        assert len(client.troubles()) <= 1


def test_hi_149_a_message_at_the_cap_is_delivered_whole() -> None:
    shell = b'{"event":"message","channel":null,"data":""}'
    text = shell.replace(b'""', b'"' + b"x" * (MAX_MESSAGE - len(shell)) + b'"')
    assert len(text) == MAX_MESSAGE
    with Server() as server, Client(server) as client:
        client.wait_for(items.Ready)
        server.peer().send_raw(encode(TEXT, text))
        event = client.wait_for(ChannelEvent)
        assert len(event.data or b"") == MAX_MESSAGE - len(shell)


@pytest.mark.parametrize("fragmented", [False, True])
def test_hi_149_a_message_above_the_cap_closes_with_1009_and_says_its_size(
    fragmented: bool, no_jitter: None
) -> None:
    size = MAX_MESSAGE + 1
    data = encode(TEXT, b"x" * 1000, fin=False) if fragmented else b""
    opcode, rest = (CONTINUATION, size - 1000) if fragmented else (TEXT, size)
    data += bytes([0x80 | opcode, 127]) + rest.to_bytes(8, "big")
    with Server(sends(data), good) as server, Client(server) as client:
        client.wait_for(items.Ready, count=2)
        assert server.peer(0).close_code == 1009
        lost = client.wait_for(items.Lost)
        assert (lost.code, str(size) in lost.reason) == (1009, True)


@pytest.mark.parametrize("size", [2**63 - 1, 2**63, 2**64 - 1])
def test_hi_149_an_absurd_size_needs_no_memory(size: int) -> None:
    decoder = FrameDecoder(MAX_MESSAGE)
    assert decoder.feed(b"\x81\x7f" + size.to_bytes(8, "big")) == []
    assert decoder.fault is not None
    assert decoder.fault.code in (TOO_BIG, 1002)


def test_hi_149_the_link_backs_off() -> None:
    machine = Machine().subscribe()
    machine.protocol.fail("a message of 17000000 bytes", 1009)
    assert machine.drain().ended.retry is Retry.BACK_OFF


FAULTS = {
    "rsv1": encode(TEXT, EVENT, rsv=4),
    "rsv2": encode(TEXT, EVENT, rsv=2),
    "rsv3 in a ping": encode(PING, b"", rsv=1),
    "masked": encode(TEXT, EVENT, masked=True),
    "opcode 3": encode(3, b""),
    "opcode 15": encode(15, b""),
    "continuation of nothing": encode(CONTINUATION, b""),
    "text within a message": encode(TEXT, b"a", fin=False) + encode(TEXT, EVENT),
    "fragmented ping": encode(PING, b"", fin=False),
    "long ping": encode(PING, b"x" * 126),
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeroes": bytes(64),
    "ones": b"\xff" * 64,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_hi_151_a_broken_frame_is_told_1002_and_the_connection_renewed(
    fault: str, no_jitter: None
) -> None:
    with (
        Server(sends(encode(TEXT, EVENT) + FAULTS[fault]), good) as server,
        Client(server) as client,
    ):
        client.wait_for(items.Ready, count=2)
        assert server.peer(0).close_code == 1002
        lost = client.wait_for(items.Lost)
        assert (lost.code, "1002" in lost.reason) == (1002, True)
        assert client.events == ["message"]  # what came before the fault


def test_hi_153_fifty_thousand_events_at_once_are_all_there_in_order(link: Link) -> None:
    count = 50_000
    client, peer = link
    peer.send_raw(
        b"".join(encode(TEXT, b'{"event":"e%d","channel":null}' % n) for n in range(count))
    )
    client.wait_for(ChannelEvent, where=lambda event: event.event == f"e{count - 1}")
    assert client.events == [f"e{number}" for number in range(count)]


def flooded(ping: bytes) -> tuple[Peer, float]:
    """Send 20 000 pings and then an event; return the peer and how long the event took."""
    with Server() as server, Client(server) as client:
        client.wait_for(items.Ready)
        peer = server.peer()
        started = time.monotonic()
        peer.send_raw(ping * 20_000 + encode(TEXT, EVENT))
        client.wait_for(ChannelEvent)
        took = time.monotonic() - started
        assert client.all(items.Lost) == []
        client.stop()
    return peer, took


def test_hi_154_a_flood_of_pusher_pings_is_answered_but_not_each() -> None:
    peer, took = flooded(encode(TEXT, b'{"event":"pusher:ping","data":{}}'))
    assert 1 <= len(peer.events("pusher:pong")) < 2000
    assert took < 5


def test_hi_154_a_flood_of_websocket_pings_is_answered_but_not_each() -> None:
    # RFC 6455 section 5.5.3 lets an endpoint answer only the most recent ping.
    peer, took = flooded(encode(PING, b"x" * 125))
    assert 1 <= len(peer.of(PONG)) < 2000
    assert took < 5


def test_hi_154_a_flooder_that_reads_no_answer_costs_no_memory_without_end(
    no_jitter: None,
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.establish()
        flood = encode(PING, b"x" * 125) * 1000
        for _ in range(400):
            peer.send_raw(flood)

    with Server(script, reads=False, receive_buffer=4096) as server, Client(server) as client:
        lost = client.wait_for(items.Lost, timeout=15)
        assert "reads nothing" in lost.reason or lost.code == 1006


ESCAPES = "\x1b]0;made up\x07\x1b[2J\x9b31m\r\u202e"


@pytest.mark.parametrize("output", ["pretty", "json"])
def test_hi_156_escapes_are_visible_for_people_and_untouched_for_machines(
    start_tail: StartTail, output: str
) -> None:
    data = json.dumps({"payload": {"data": [{"id": 1, "text": ESCAPES}]}}, ensure_ascii=False)

    def script(peer: Peer) -> None:
        peer.ready()
        peer.confirm(f"other{ESCAPES}")
        peer.send_json(event=f"pusher:{ESCAPES}")
        peer.error(None, f"made up {ESCAPES}")
        peer.send_json(event=f"message{ESCAPES}", channel=CHANNEL, data=data)
        peer.send_json(event="message", channel=f"{CHANNEL}{ESCAPES}", data=data)
        peer.close(4001, ESCAPES.encode())
        peer.wait_end()

    with HttpEndpoint() as api, Server(script) as server:
        tail = start_tail(
            "-vv", "-o", output, "-c", CHANNEL, "--ws-url", server.url, "--api-url", api.url,
            env={"CHATAPP_TOKEN": "made-up"},
        )  # fmt: skip
        assert tail.wait() == 6
    shown, unsafe = [tail.stderr.text], set("\x1b\x07\x9b\r\u202e")
    if output == "pretty":
        shown.append(tail.stdout.text)
    assert all(shown)
    assert not any(set(text) & unsafe for text in shown)
    if output == "json":
        (line,) = tail.stdout.all
        record = json.loads(line)
        assert record["data"]["text"] == ESCAPES
        assert json.dumps({"id": 1, "text": ESCAPES}, ensure_ascii=False) in line


def tls_case(authority: trustme.CA, case: str) -> ssl.SSLContext:
    """Return TLS with something wrong about the certificate."""
    match case:
        case "wrong name":
            return server_context(authority.issue_cert("other.example"))
        case "expired":
            past = datetime.now(UTC) - timedelta(days=1)
            return server_context(authority.issue_cert("127.0.0.1", not_after=past))
        case _:
            return server_context(trustme.CA().issue_cert("127.0.0.1"))


@pytest.mark.parametrize("case", ["wrong name", "expired", "unknown authority"])
def test_hi_160_a_certificate_that_is_not_in_order_stops_with_the_reason(
    authority: trustme.CA, ca_file: str, case: str
) -> None:
    said = {"wrong name": "mismatch", "expired": "expired", "unknown authority": "issuer"}[case]
    with Server(tls=tls_case(authority, case)) as server:
        url = server.tls_url
        with Client([url], ca_file=ca_file) as client:
            stopped = client.wait_stopped()
            assert stopped.cause is StopCause.UNTRUSTED
            assert "certificate" in stopped.reason
            assert said in stopped.reason
            assert len(server.peers) == 1
            assert server.peer().request is None  # nothing was said in clear, nor to a stranger


def test_hi_160_a_server_that_speaks_no_tls_is_retried_and_never_spoken_to_in_clear() -> None:
    def script(peer: Peer) -> None:
        peer.send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.wait_end()

    with (
        Server(script) as server,
        Client([server.tls_url], max_retries=0) as client,
    ):
        stopped = client.wait_stopped()
        assert stopped.cause is StopCause.UNREACHABLE
        assert "TLS" in stopped.reason
        assert server.peer().request is None
