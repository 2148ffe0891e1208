"""RC: when it dials again, how often, and what is the same and what is new afterwards."""

import base64
import gc
import hashlib
import itertools
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from chatapp_tail import items
from chatapp_tail.items import Item, StopCause
from chatapp_tail.pusher import clock, resolver, session
from chatapp_tail.pusher.answers import AuthAnswer, Denied, Granted, Unavailable
from chatapp_tail.pusher.backoff import Backoff
from chatapp_tail.pusher.connection import Connection, Endpoint, Settings, Timing
from chatapp_tail.pusher.moments import Moment
from tests.conftest import TIMEOUT_SCALE
from tests.pusher_machine import CHANNEL, OTHER, PUBLIC

from .frames import TEXT, encode
from .harness import Auth, Client, signature
from .server import Peer, Server, good, mute, ready_then_end, ready_then_mute

SHORT = 0.3 * TIMEOUT_SCALE


def test_rc_125_being_connected_and_subscribed_for_a_moment_resets_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.25)
    with Server(ready_then_end) as server, Client(server) as client:
        client.wait_for(items.Reconnecting, count=3)
        waits = [round(waiting.delay, 2) for waiting in client.all(items.Reconnecting)]
        assert waits == [0.25, 0.5, 1.0]


def most_in_ten_seconds(times: Sequence[float]) -> int:
    """Return how many of the moments fall into the busiest ten seconds."""
    return max(sum(start <= at <= start + 10.0 for at in times) for start in times)


@pytest.mark.timeout(60)
def test_rc_126_never_more_than_five_dials_in_ten_seconds(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.0)  # the worst luck there is

    def close_4200(peer: Peer) -> None:
        peer.ready()
        peer.close(4200)

    def error_4200(peer: Peer) -> None:
        peer.upgrade()
        peer.error(4200, "Server closed. Please reconnect shortly.")
        peer.close(4200)

    scripts: list[Callable[[Peer], None]] = [close_4200, error_4200, Peer.rst, Peer.fin]
    servers = [Server(script) for script in scripts]
    clients = [Client(server) for server in servers]
    clients.append(Client([f"ws://127.0.0.1:{closed_port}"]))
    for client in clients:
        client.__enter__()
    for client in clients:
        client.wait_for(items.Connecting, count=7, timeout=14.0)
        client.stop()
        dials = [item.at / 1e9 for item in client.all(items.Connecting)]
        assert most_in_ten_seconds(dials) <= 5
    for server in servers:
        with server:
            assert most_in_ten_seconds(server.times) <= 5


def test_rc_128_attempts_are_unlimited_by_default_and_limited_by_option(closed_port: int) -> None:
    url = f"ws://127.0.0.1:{closed_port}"
    with Client([url], max_retries=1) as client:
        stopped = client.wait_stopped()
        assert (stopped.cause, "refused" in stopped.reason.lower()) == (StopCause.UNREACHABLE, True)
        assert len(client.all(items.Connecting)) == 2


def test_rc_128_losses_between_which_it_worked_are_no_failures_in_a_row(no_jitter: None) -> None:
    with Server(*[ready_then_end] * 4, good) as server, Client(server, max_retries=1) as client:
        client.wait_for(items.Ready, count=5)


def test_rc_128_a_link_that_worked_but_for_one_channel_did_work(no_jitter: None) -> None:
    def answer(socket_id: str, channel: str) -> AuthAnswer:
        if channel == OTHER:
            return Unavailable("answered 503")
        return Granted(signature(socket_id, channel))

    def script(peer: Peer) -> None:
        peer.ready()
        peer.send_json(event="message", channel=CHANNEL, data="{}")
        peer.fin()

    with (
        Server(*[script] * 4, good) as server,
        Client(server, (CHANNEL, OTHER), auth=Auth(answer), max_retries=2) as client,
    ):
        client.wait_for(items.Subscribed, count=5)


def test_rc_129_there_is_only_one_connection_at_a_time(no_jitter: None) -> None:
    def closed(peer: Peer) -> None:
        peer.ready()
        peer.close(4200)
        peer.wait_end()

    timing = Timing(ping_interval=SHORT, pong_timeout=SHORT)
    with (
        Server(ready_then_mute, closed, Peer.upgrade, ready_then_end, good) as server,
        Client(server, timing=timing) as client,
    ):
        client.wait_for(items.Ready, count=4)
        assert server.overlaps == 0


def test_rc_130_the_new_socket_id_is_used_everywhere_and_all_channels_return(
    no_jitter: None,
) -> None:
    auth, channels = Auth(), (CHANNEL, OTHER, PUBLIC)

    def script(peer: Peer) -> None:
        peer.ready(len(channels), "first.1")
        peer.fin()

    with Server(script, good) as server, Client(server, channels, auth=auth) as client:
        again = client.wait_for(items.Ready, count=2)
        assert again.channels == list(channels)
        assert sorted(server.peer(1).subscribed()) == sorted(channels)
        sent = {m["data"]["channel"]: m["data"] for m in server.peer(1).events("pusher:subscribe")}
        assert sent[CHANNEL]["auth"] == signature("2.1", CHANNEL)
        assert sent[OTHER]["auth"] == signature("2.1", OTHER)
        assert {socket_id for socket_id, _ in auth.calls} == {"first.1", "2.1"}


def both_ready_then_end(peer: Peer) -> None:
    peer.ready(2)
    peer.fin()


def test_rc_131_a_channel_that_does_not_come_back_disturbs_no_other_and_is_retried(
    no_jitter: None,
) -> None:
    def answer(socket_id: str, channel: str) -> AuthAnswer:
        if auth.calls.count(("2.1", OTHER)) == 1 and channel == OTHER:
            return Unavailable("answered 503")
        return Granted(signature(socket_id, channel))

    auth = Auth(answer)
    with (
        Server(both_ready_then_end, good) as server,
        Client(server, (CHANNEL, OTHER), auth=auth) as client,
    ):
        client.wait_for(items.Ready, count=2)
        again = [item.channel for item in client.all(items.Subscribed)][2:]
        assert again == [CHANNEL, OTHER]
        assert auth.calls.count(("2.1", OTHER)) == 2


def test_rc_131_a_channel_refused_after_a_reconnect_disturbs_no_other(no_jitter: None) -> None:
    def answer(socket_id: str, channel: str) -> AuthAnswer:
        if (socket_id, channel) == ("2.1", OTHER):
            return Denied("answered 403")
        return Granted(signature(socket_id, channel))

    timing = Timing(refusal_lasting=SHORT)
    with (
        Server(both_ready_then_end, good) as server,
        Client(server, (CHANNEL, OTHER), auth=answer, timing=timing) as client,
    ):
        again = client.wait_for(items.Ready, count=2)
        assert (again.channels, again.refused) == ([CHANNEL], [OTHER])


def test_rc_133_states_are_announced_in_order_and_once(no_jitter: None) -> None:
    with Server(Peer.fin, ready_then_end, good) as server, Client(server) as client:
        client.wait_for(items.Ready, count=2)
        client.stop()
        names = [type(item).__name__ for item in client.said]
        failed = ["Connecting", "Lost", "Reconnecting"]
        worked = ["Connecting", "Connected", "Subscribed", "Watermarks", "Ready"]
        again = ["Connecting", "Connected", "Subscribed", "Gap", "Watermarks", "Ready"]
        assert names == [*failed, *worked, "Lost", "Reconnecting", *again, "Stopped"]


class Names:
    """A made-up DNS: answers for one host and counts the questions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.asking = threading.Event()
        self.slow = 0.0
        """How many seconds an answer takes."""
        self.ports: list[int] = []
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: Any, *rest: Any, **named: Any) -> Any:
        if host != "pusher.example":
            return self._real(host, *rest, **named)
        if named.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "made up")
        self.asked += 1
        self.asking.set()
        time.sleep(self.slow)
        # Addresses that differ in their port only: one machine plays many.
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in self.ports
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


def test_rc_134_names_are_looked_up_again_for_each_attempt(names: Names, no_jitter: None) -> None:
    with Server(ready_then_end) as before, Server() as after:
        names.ports = [before.port]
        with Client(["ws://pusher.example"]) as client:
            client.wait_for(items.Ready)
            names.ports = [after.port]
            client.wait_for(items.Ready, count=2)
            after.peer()
        assert names.asked >= 2


def test_rc_134_every_address_of_a_name_is_tried(names: Names, closed_port: int) -> None:
    with Server() as server:
        names.ports = [closed_port, server.port]
        with Client(["ws://pusher.example"]) as client:
            client.wait_for(items.Ready)
            assert client.all(items.Lost) == []


@pytest.mark.parametrize("sick", [mute, lambda peer: peer.refuse(503)], ids=["mute", "503"])
def test_rc_134_an_address_that_accepts_and_does_not_work_does_not_hide_the_next(
    sick: Callable[[Peer], None], names: Names, no_jitter: None
) -> None:
    with Server(sick) as first, Server() as second:
        names.ports = [first.port, second.port]
        with Client(["ws://pusher.example"], connect_timeout=SHORT) as client:
            client.wait_for(items.Ready, timeout=5)


def close_1011(peer: Peer) -> None:
    peer.ready()
    peer.close(1011)


def confirm_nothing(peer: Peer) -> None:
    peer.upgrade()
    peer.establish()
    while True:
        peer.next_frame()
        peer.send_json(event="pusher:pong")


SICK = {"closes": close_1011, "confirms nothing": confirm_nothing, "mute": ready_then_mute}
IMPATIENT = Timing(ping_interval=SHORT, pong_timeout=SHORT, confirm_timeout=SHORT)


@pytest.mark.defect("A2.15")
@pytest.mark.parametrize("sick", SICK.values(), ids=SICK)
def test_rc_134_an_endpoint_that_establishes_and_is_sick_is_left_for_the_next(
    sick: Callable[[Peer], None], no_jitter: None
) -> None:
    with (
        Server(sick) as first,
        Server() as second,
        Client([first.url, second.url], timing=IMPATIENT) as client,
    ):
        second.peer(0, timeout=15)
        client.wait_for(items.Ready, where=lambda item: item.at > client.all(items.Lost)[0].at)
        assert len(first.peers) == 1


@pytest.mark.defect("A2.15")
def test_rc_134_an_address_that_establishes_and_is_sick_is_left_for_the_next(
    names: Names, no_jitter: None
) -> None:
    with Server(close_1011) as first, Server() as second:
        names.ports = [first.port, second.port]
        with Client(["ws://pusher.example"]):
            second.peer()
        assert len(first.peers) == 1


@pytest.mark.defect("A2.23d")
def test_rc_134_a_slow_look_up_does_not_count_as_a_slow_server(names: Names) -> None:
    names.slow = 2 * SHORT
    with Server() as server:
        names.ports = [server.port]
        with Client(["ws://pusher.example"], connect_timeout=SHORT) as client:
            client.wait_for(items.Ready)
            assert client.all(items.Lost) == []


@pytest.mark.defect("A2.23d")
def test_rc_134_a_look_up_without_end_is_given_up_and_named(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "LOOKUP_TIMEOUT", SHORT)
    names.slow = 20 * SHORT
    with Client(["ws://pusher.example"], max_retries=0) as client:
        assert "its name could not be resolved within" in client.wait_stopped().reason


def test_rc_134_a_stop_ends_a_look_up(names: Names) -> None:
    names.slow = 20 * SHORT
    with Client(["ws://pusher.example"]) as client:
        names.asking.wait(10 * TIMEOUT_SCALE)
        client.stop(within=1.0)


@pytest.mark.defect("A2.24d")
def test_rc_134_a_name_without_an_address_is_said_to_be_one(names: Names) -> None:
    with Client(["ws://pusher.example"], max_retries=0) as client:
        assert client.wait_stopped().reason.endswith("its name has no address")


def test_rc_135_a_gap_goes_from_the_last_proof_to_the_new_confirmation_per_channel(
    no_jitter: None,
) -> None:
    def script(peer: Peer) -> None:
        peer.ready(2)
        peer.send_json(event="message", channel=CHANNEL, data="{}")
        peer.wait_end()  # half a second of nothing, and that is part of the gap

    timing = Timing(ping_interval=SHORT, pong_timeout=SHORT)
    with Server(script, good) as server, Client(server, (CHANNEL, OTHER), timing=timing) as client:
        client.wait_for(items.Gap, count=2)
        client.wait_for(items.Ready, count=2)
        gaps = client.all(items.Gap)
        last_event = client.all(items.ChannelEvent)[-1]
        confirmed = {item.channel: item.at for item in client.all(items.Subscribed)[2:]}
        assert sorted(gap.channel for gap in gaps) == sorted([CHANNEL, OTHER])
        # The last proof is the request that was confirmed; no ping was answered after it.
        assert all(gap.since <= last_event.received for gap in gaps)
        assert {gap.channel: gap.until for gap in gaps} == confirmed
        assert all(gap.until - gap.since >= 1.5 * SHORT * 1e9 for gap in gaps)
        assert all("no answer to a ping" in gap.reason for gap in gaps)


def test_rc_135_a_failed_attempt_in_between_leaves_one_gap_from_its_true_start(
    no_jitter: None,
) -> None:
    scripts = (ready_then_end, Peer.rst, lambda peer: peer.refuse(503), good)
    with Server(*scripts) as server, Client(server) as client:
        client.wait_for(items.Ready, count=2)
        (gap,) = client.all(items.Gap)
        assert gap.since <= client.all(items.Lost)[0].at
        assert gap.until == client.all(items.Subscribed)[1].at


def test_rc_135_a_first_connection_has_no_gap() -> None:
    with Server(Peer.fin, good) as server, Client(server) as client:
        client.wait_for(items.Ready)
        assert client.all(items.Gap) == []


def test_rc_135_a_subscription_that_the_server_revokes_and_grants_again_is_a_gap() -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        data = {"type": "Revoked", "error": "made up", "status": 4302}
        peer.send_json(event="pusher:subscription_error", channel=CHANNEL, data=data)
        peer.wait_event("pusher:subscribe", count=2)
        peer.confirm(CHANNEL)
        peer.serve()

    with Server(script) as server, Client(server) as client:
        client.wait_for(items.Subscribed, count=2)
        client.wait_for(items.Gap, timeout=2)


@pytest.mark.defect("A2.7")
def test_rc_135_gaps_that_follow_one_another_in_a_burst_are_distinct() -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        for number in range(2, 5):
            peer.send_json(event="pusher:subscription_error", channel=CHANNEL, data={"status": 500})
            for _ in range(3):
                peer.confirm(CHANNEL)
            peer.wait_event("pusher:subscribe", count=number)
            peer.confirm(CHANNEL)
        peer.serve()

    with Server(script) as server, Client(server) as client:
        client.wait_for(items.Gap, count=3)
        gaps = client.all(items.Gap)
        assert len({gap.since for gap in gaps}) == len(gaps)
        assert all(
            before.since < before.until and after.since >= before.since
            for before, after in itertools.pairwise(gaps)
        )


@pytest.mark.defect("A.6")
def test_rc_135_history_is_read_from_the_last_confirmation_of_the_channel() -> None:
    def script(peer: Peer) -> None:
        peer.ready()
        for _ in range(3):
            while peer.next_frame().opcode != TEXT:
                pass
            peer.send_json(event="pusher:pong")
        peer.wait_event("pusher:ping", count=2)
        peer.fin()

    timing = Timing(ping_interval=SHORT)
    with Server(script, good) as server, Client(server, timing=timing) as client:
        gap = client.wait_for(items.Gap)
        confirmed = client.wait_for(items.Subscribed).at
        asked = client.wait_for(items.Watermarks).until[CHANNEL]
        assert gap.read_from is not None
        assert gap.read_from <= confirmed < gap.since
        assert abs(gap.read_from - asked) < 50_000_000


@pytest.mark.defect("A.10", "A2.2a")
def test_rc_135_a_clock_that_is_set_back_does_not_empty_the_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    behind = [0]

    def moment() -> Moment:
        now = clock.moment()
        return Moment(now.wall - behind[0], now.elapsed)

    def script(peer: Peer) -> None:
        peer.ready()
        client.wait_for(items.Ready)
        behind[0] = 3600 * 10**9
        peer.pause(SHORT)
        peer.fin()

    monkeypatch.setattr(session, "moment", moment)
    server = Server(script, good)
    client = Client(server)
    with server, client:
        gap = client.wait_for(items.Gap)
        assert SHORT * 1e9 <= gap.until - gap.since < 20e9
        assert gap.until == client.all(items.Subscribed)[1].at
        assert gap.until < client.all(items.Subscribed)[0].at


@pytest.mark.defect("A2.19a")
def test_rc_135_a_channel_is_covered_as_soon_as_it_is_confirmed() -> None:
    with Server() as server, Client(server, (CHANNEL, PUBLIC)) as client:
        client.wait_for(items.Ready)
        client.wait_for(items.Watermarks, count=2)
        at = {item.channel: item.at for item in client.all(items.Subscribed)}
        for covered in client.all(items.Watermarks):
            ((channel, until),) = covered.until.items()
            assert until <= at[channel]


ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Footprint:
    """What a process holds."""

    threads: int
    descriptors: int
    objects: int
    kilobytes: int

    @classmethod
    def now(cls) -> "Footprint":
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            threading.active_count(),
            len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names only
            len(gc.get_objects()),
            pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        )


class Dropper:
    """Establishes, confirms and drops each connection at once; one thread that keeps nothing."""

    GREETING = b"".join(
        encode(TEXT, text)
        for text in (
            b'{"event":"pusher:connection_established","data":"{\\"socket_id\\":\\"1.1\\"}"}',
            b'{"event":"pusher_internal:subscription_succeeded","channel":"news"}',
            b'{"event":"message","channel":"news","data":"{}"}',
        )
    )

    def __enter__(self) -> int:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        port: int = self._listener.getsockname()[1]
        return port

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                request = b""
                while not request.endswith(b"\r\n\r\n"):
                    request += sock.recv(4096)
                found = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
                assert found is not None
                digest = hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
                sock.sendall(
                    b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
                    + self.GREETING
                )  # fmt: skip

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.mark.timeout(120)
def print_footprints() -> None:
    """Reconnect ten thousand times; print the footprints after a tenth and at the end."""
    Backoff.next_dial = lambda _, now, *__, **___: now  # type: ignore[method-assign]
    done = threading.Event()
    lost: list[None] = []
    footprints: list[Footprint] = []

    def sink(batch: Sequence[Item]) -> None:
        for item in batch:
            if not isinstance(item, items.Lost) or done.is_set():
                continue
            lost.append(None)
            if len(lost) in (1000, 10_000):
                footprints.append(Footprint.now())
            if len(lost) == 10_000:
                done.set()

    with Dropper() as port:
        settings = Settings((Endpoint.parse(f"ws://127.0.0.1:{port}"),), "MadeUpKey", (PUBLIC,))
        connection = Connection(settings, Auth(), sink)
        connection.start()
        assert done.wait(100 * TIMEOUT_SCALE), f"only {len(lost)} reconnects"
        connection.stop()
        assert connection.join(5 * TIMEOUT_SCALE)
    print(json.dumps([asdict(footprint) for footprint in footprints]))


def test_rc_136_ten_thousand_reconnects_leave_nothing_behind() -> None:
    """In a process of its own: of one that ran other tests, the memory moves by itself."""
    program = "from tests.conformance.test_reconnect import print_footprints; print_footprints()"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, cwd=ROOT
    )
    early, late = (Footprint(**footprint) for footprint in json.loads(done.stdout))
    assert late.threads == early.threads
    assert late.descriptors <= early.descriptors + 1
    assert late.objects < early.objects + 1000
    assert late.kilobytes < early.kilobytes + 4096
