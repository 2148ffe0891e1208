"""What the list means where it is silent: any peer, any order, any pace; never alive but deaf."""

import json
import os
import threading
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatapp_tail import items
from chatapp_tail.pusher.answers import AuthAnswer, Denied, Granted, TokenRefused, Unavailable
from chatapp_tail.pusher.backoff import Backoff, Retry
from chatapp_tail.pusher.connection import Timing
from chatapp_tail.pusher.events import ProtocolWarning, SubscriptionsSettled, SubscriptionSucceeded
from chatapp_tail.pusher.frames import FrameDecoder
from chatapp_tail.pusher.protocol import Protocol
from tests.conftest import TIMEOUT_SCALE

from .frames import CLOSE, CONTINUATION, TEXT, encode
from .harness import CHANNEL, OTHER, PUBLIC, Client, Machine
from .server import Peer, Script, Server, good, mute, upgraded_mute

SHORT = 0.3 * TIMEOUT_SCALE
SOON = Timing(
    ping_interval=SHORT, pong_timeout=SHORT, established_timeout=SHORT, confirm_timeout=SHORT
)
PATIENT = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
EVENT = json.dumps({"event": "message", "channel": CHANNEL, "data": "{}"}).encode()


def ready(peer: Peer) -> None:
    """Bring a connection to where all is well."""
    peer.upgrade()
    peer.establish()
    peer.wait_event("pusher:subscribe")
    peer.confirm(CHANNEL)


# --- silence and slowness -------------------------------------------------------------------------


def half_a_frame(peer: Peer) -> None:
    ready(peer)
    peer.send_raw(encode(TEXT, EVENT)[:10])
    peer.wait_end()


def half_a_header(peer: Peer) -> None:
    ready(peer)
    peer.send_raw(b"\x81")
    peer.wait_end()


def dripped_frame(peer: Peer) -> None:
    ready(peer)
    peer.drip(encode(TEXT, EVENT * 100), pause=0.02)


def endless_fragments(peer: Peer) -> None:
    ready(peer)
    peer.send(TEXT, b"", fin=False)
    while True:
        peer.send(CONTINUATION, b"", fin=False)
        peer.pause(0.01)


def confirm_then_mute(peer: Peer) -> None:
    ready(peer)
    peer.wait_end()


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
    confirm_then_mute, mute_but_reading_nothing, dripped_upgrade, endless_headers, endless_header,
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


def test_spirit_a_frame_in_single_bytes_is_the_same_frame() -> None:
    with Server() as server, Client(server) as client:
        client.wait_for(items.Ready)
        for byte in encode(TEXT, EVENT) + encode(TEXT, b"x" * 200):
            server.peer().send_raw(bytes([byte]))
        client.wait_for(items.ConnectionWarning)
        assert client.events == ["message"]


@settings(PATIENT)
@given(st.lists(st.binary(max_size=300), max_size=6), st.data())
def test_spirit_how_the_bytes_are_cut_changes_nothing(payloads: list[bytes], data: Any) -> None:
    stream = b"".join(
        encode(TEXT, payload[:7], fin=False) + encode(CONTINUATION, payload[7:])
        for payload in payloads
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    decoder, messages = FrameDecoder(1 << 20), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        messages += decoder.feed(stream[start:end])
    assert messages == [(TEXT, payload) for payload in payloads]
    assert decoder.fault is None


@settings(PATIENT)
@given(st.lists(st.binary(max_size=64), max_size=20))
def test_spirit_no_bytes_make_the_decoder_fail(blocks: list[bytes]) -> None:
    decoder = FrameDecoder(1 << 10)
    for block in blocks:
        for opcode, payload in decoder.feed(block):
            assert opcode != CONTINUATION
            assert len(payload) <= 1 << 10


# --- garbage --------------------------------------------------------------------------------------

GARBAGE: dict[str, Callable[[Peer], None]] = {
    "noise": lambda peer: peer.send_raw(os.urandom(512) + b"\r\n\r\n"),
    "an empty line": lambda peer: peer.send_raw(b"\r\n\r\n"),
    "another protocol": lambda peer: peer.send_raw(b"220 mail ready\r\n\r\n"),
    "no status": lambda peer: peer.send_raw(b"HTTP/1.1\r\n\r\n"),
    "status in words": lambda peer: peer.send_raw(b"HTTP/1.1 abc X\r\n\r\n"),
    "a negative status": lambda peer: peer.send_raw(b"HTTP/1.1 -5 X\r\n\r\n"),
    "a header without colon": lambda peer: peer.send_raw(b"HTTP/1.1 101 X\r\nhello\r\n\r\n"),
    "a header not in UTF-8": lambda peer: peer.send_raw(b"HTTP/1.1 101 X\r\nA: \xff\r\n\r\n"),
    "a wrong accept": lambda peer: peer.send_raw(
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAA\r\n\r\n"
    ),
    "no accept": lambda peer: peer.send_raw(
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    ),
    "a length in words": lambda peer: peer.send_raw(
        b"HTTP/1.1 503 X\r\nContent-Length: abc\r\n\r\n"
    ),
    "a negative length": lambda peer: peer.send_raw(
        b"HTTP/1.1 503 X\r\nContent-Length: -1\r\n\r\n"
    ),
    "a length that never comes": lambda peer: peer.send_raw(
        b"HTTP/1.1 503 X\r\nContent-Length: 99999999999999999999\r\n\r\n"
    ),
    "half an answer": lambda peer: peer.send_raw(peer.upgrade_answer()[:-3]),
    "frames before the answer": lambda peer: peer.send_raw(encode(TEXT, EVENT)),
    "a close before the answer": lambda peer: peer.send_raw(encode(CLOSE, b"\x03\xe8")),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_spirit_garbage_for_an_upgrade_answer_is_a_failed_dial_and_no_bug(
    garbage: str, no_jitter: None
) -> None:
    def script(peer: Peer) -> None:
        peer.wait_request()
        GARBAGE[garbage](peer)
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


FLOODS: dict[str, dict[str, object]] = {
    "errors": {"event": "pusher:error", "data": {"code": 4301, "message": "made up"}},
    "confirmations": {"event": "pusher_internal:subscription_succeeded", "channel": "other"},
    "refusals": {"event": "pusher:subscription_error", "channel": "other", "data": {}},
    "greetings": {"event": "pusher:connection_established", "data": {"socket_id": "2.2"}},
    "failures": {"event": "pusher:subscription_error", "channel": CHANNEL, "data": {}},
    "unknown": {"event": "pusher:made_up"},
    "junk": {},
}


@pytest.mark.parametrize("flood", FLOODS)
def test_spirit_a_flood_of_the_same_is_said_a_few_times_and_not_each(flood: str) -> None:
    machine = Machine()
    machine.subscribe()
    for _ in range(1000):
        machine.receive(**FLOODS[flood])
    assert 1 <= len(machine.all(ProtocolWarning)) <= 20
    assert machine.protocol.ended is None


# --- any order ------------------------------------------------------------------------------------

CHANNELS = (CHANNEL, OTHER, PUBLIC)
NAMES = st.sampled_from([*CHANNELS, "never wanted", "", None, 5])
CODES = st.one_of(st.none(), st.integers(3990, 4410), st.sampled_from(["4001", True, 1e300, -1]))
FRAMES = st.one_of(
    st.builds(
        lambda socket_id, timeout: {
            "event": "pusher:connection_established",
            "data": {"socket_id": socket_id, "activity_timeout": timeout},
        },
        st.sampled_from(["1.1", "", None, 5]),
        st.one_of(st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
    ),
    st.builds(
        lambda event, channel, data: {"event": event, "channel": channel, "data": data},
        st.sampled_from(
            ["pusher:ping", "pusher:pong", "pusher_internal:subscription_succeeded", "message",
             "pusher:subscription_error", "pusher_internal:subscription_error", "pusher:made_up"]
        ),
        NAMES,
        st.one_of(st.none(), st.just("{}"), st.builds(lambda s: {"status": s}, CODES)),
    ),
    st.builds(
        lambda code, message: {"event": "pusher:error", "data": {"code": code, "message": message}},
        CODES,
        st.one_of(
            st.text(max_size=5),
            st.sampled_from([f"Existing subscription to channel {name}" for name in CHANNELS]),
        ),
    ),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
        lambda inner: st.dictionaries(st.sampled_from(["event", "channel", "data"]), inner),
        max_leaves=5,
    ),
)  # fmt: skip
ANSWERS = st.sampled_from(
    [Granted("k:s"), Denied("no"), Unavailable("later", None), Unavailable("later", 3.0),
     TokenRefused("no")]
)  # fmt: skip
STEPS = st.one_of(
    FRAMES.map(lambda frame: ("text", json.dumps(frame).encode())),
    st.binary(max_size=20).map(lambda junk: ("text", junk)),
    st.sampled_from(["binary", "control", "probe"]).map(lambda kind: (kind, None)),
    st.floats(0, 40).map(lambda seconds: ("pass", seconds)),
    st.tuples(st.sampled_from(CHANNELS), ANSWERS).map(lambda answer: ("answer", answer)),
    st.one_of(st.integers(0, 5000), st.just(1006)).map(lambda code: ("close", code)),
)
GREETING = ("text", b'{"event":"pusher:connection_established","data":{"socket_id":"1.1"}}')


def play(
    protocol: Protocol, steps: Sequence[tuple[str, Any]], now: float
) -> tuple[list[Any], float]:
    """Feed a machine; return what came out and the time it ended or the script did."""
    out: list[Any] = []
    for kind, value in steps:
        match kind:
            case "text":
                protocol.receive_text(value, now, 0)
            case "binary":
                protocol.receive_binary(now)
            case "control":
                protocol.receive_control(now)
            case "probe":
                protocol.ping_now(now)
            case "answer":
                protocol.receive_auth(value[0], "1.1", value[1], now)
            case "close":
                protocol.receive_close(value, "made up")
            case _:
                until = now + value
                while protocol.ended is None and protocol.deadline() <= until:
                    now = max(now, protocol.deadline())
                    protocol.tick(now)
                    out += protocol.take_events()
                now = until if protocol.ended is None else now
        out += protocol.take_events()
        for text in protocol.take_outgoing():
            assert json.loads(text)["event"] in ("pusher:subscribe", "pusher:ping", "pusher:pong")
        if protocol.ended:
            break
    return out, now


@settings(PATIENT, max_examples=200)
@given(st.booleans(), st.lists(STEPS, max_size=30), st.floats(0, 0.999))
def test_spirit_any_order_of_anything_is_survived_and_never_waits_for_ever(
    greeted: bool, steps: list[tuple[str, Any]], jitter: float
) -> None:
    protocol = Protocol(CHANNELS, now=0.0, timing=Timing(), random=lambda: jitter)
    out, now = play(protocol, [GREETING, *steps] if greeted else steps, 0.0)
    confirmed = [event.channel for event in out if isinstance(event, SubscriptionSucceeded)]
    for decided in (event for event in out if isinstance(event, SubscriptionsSettled)):
        assert set(decided.confirmed) <= set(confirmed)
        assert sorted(decided.confirmed + decided.refused) == sorted(CHANNELS)
    assert protocol.ready == any(isinstance(event, SubscriptionsSettled) for event in out)
    if protocol.ended is None:
        assert protocol.deadline() < inf
        # A server that is mute from now on is left within ping interval and pong timeout.
        play(protocol, [("pass", 25.0)], now)
        assert protocol.ended is not None
    assert (protocol.ended.stop is None) == (protocol.ended.retry is not None)
    assert protocol.deadline() == inf


LINKS = st.one_of(
    st.just(None),  # the dial fails
    st.lists(STEPS, max_size=6),
    st.sampled_from([4200, 4201, 4299, 4100, 1000, 1006, 4300]).map(lambda code: [("close", code)]),
)


@settings(PATIENT, max_examples=200)
@given(
    st.lists(st.tuples(LINKS, st.booleans()), min_size=1, max_size=6),
    st.lists(st.floats(0, 0.999), min_size=1, max_size=5),
)
def test_spirit_no_script_of_a_server_ever_gets_more_than_five_dials_in_ten_seconds(
    links: list[tuple[list[tuple[str, Any]] | None, bool]], jitter: list[float]
) -> None:
    drawn = 0

    def random() -> float:
        nonlocal drawn
        drawn += 1
        return jitter[drawn % len(jitter)]

    backoff, now, dials = Backoff(random), 0.0, []
    for number in range(30):
        script, greeted = links[number % len(links)]
        backoff.dialled(now)
        dials.append(now)
        retry, stable_for = Retry.BACK_OFF, 0.0
        if script is not None:
            protocol = Protocol(CHANNELS, now=now, timing=Timing(), random=random)
            steps = [GREETING, *script] if greeted else script
            _, end = play(protocol, [*steps, ("pass", 60.0)], now)
            assert protocol.ended is not None
            if protocol.ended.stop:
                break
            retry = protocol.ended.retry or Retry.BACK_OFF
            stable_for, now = (end - now if protocol.ready else 0.0), end
        now = backoff.next_dial(now, retry, stable_for=stable_for)
    assert all(later - first > 10.0 for first, later in zip(dials, dials[5:], strict=False))


# --- the tail never looks alive while it is deaf --------------------------------------------------


def test_spirit_a_server_that_forgets_a_subscription_is_noticed_and_mended() -> None:
    def script(peer: Peer) -> None:
        ready(peer)
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
        ready(peer)
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
