"""HS: from the address to `connected`."""

import json
import re
import ssl
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from chatapp_tail import items
from chatapp_tail.items import StopCause
from chatapp_tail.pusher.connection import Endpoint, Timing
from chatapp_tail.pusher.events import ProtocolWarning
from tests.conftest import TIMEOUT_SCALE, RunTail
from tests.pusher_machine import CHANNEL, Machine, rejected

from .frames import PING
from .harness import KEY, Auth, Client
from .server import Peer, Server, good, mute, upgraded_mute

SHORT = 0.4 * TIMEOUT_SCALE


@pytest.mark.parametrize("key", ["", "  "])
def test_hs_001_an_empty_app_key_is_refused_before_dialling(run_tail: RunTail, key: str) -> None:
    with Server() as server:
        done = run_tail(
            "-c", "1229/telegram", "--app-key", key, "--ws-url", server.url,
            env={"CHATAPP_TOKEN": "made-up"},
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert "--app-key" in done.stderr
        assert server.peers == []


@pytest.mark.parametrize(
    "url", ["", "ws://", "ws://:6001", "127.0.0.1:6001", "https://127.0.0.1", "ws://h:port",
            "ws://h:65536", "ws://h:0", "ws://[::1", "ws://h/?a=b", "ws://u:p@h"]
)  # fmt: skip
def test_hs_002_an_address_without_a_proper_host_is_refused_with_a_reason(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        Endpoint.parse(url)


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example", "nowhere.invalid"])
def test_hs_002_a_name_that_cannot_be_looked_up_is_not_a_bug(host: str) -> None:
    with Client([Endpoint(False, host, 80)]) as client:
        assert client.wait_for(items.Lost).lasted is None
    assert client.wait_stopped().cause is StopCause.ASKED


@pytest.mark.parametrize(
    ("url", "port"),
    [("ws://h", 80), ("wss://h", 443), ("ws://h:6001", 6001), ("wss://h:6001", 6001)],
)
def test_hs_005_the_given_host_and_port_are_used(url: str, port: int) -> None:
    endpoint = Endpoint.parse(url)
    assert (endpoint.host, endpoint.port) == ("h", port)
    assert endpoint.tls is url.startswith("wss:")


def test_hs_005_the_host_header_names_host_and_port() -> None:
    with Server() as server, Client(server):
        request = server.peer().wait_request()
        assert request.headers["host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("prefix", ["/prefix", "/two/parts", "/prefix/"])
def test_hs_006_a_path_prefix_stands_before_app(prefix: str) -> None:
    with Server() as server, Client([server.url + prefix]):
        target = server.peer().wait_request().target
        assert urlsplit(target).path == f"{prefix.rstrip('/')}/app/{KEY}"


def test_hs_007_the_url_carries_protocol_client_and_version() -> None:
    with Server() as server, Client(server):
        request = server.peer().wait_request()
        query = parse_qs(urlsplit(request.target).query, strict_parsing=True)
        assert query["protocol"] == ["7"]
        assert query["client"] == ["python-chatapp-tail"]
        assert query["version"][0].replace(".", "").isdecimal()
        assert "origin" not in request.headers
        assert "sec-websocket-extensions" not in request.headers


def test_hs_007_the_key_is_percent_encoded() -> None:
    url = Endpoint.parse("ws://h").url("a/b?c#d é%")
    assert urlsplit(url).path == "/app/a%2Fb%3Fc%23d%20%C3%A9%25"


@pytest.mark.case(9)
@pytest.mark.parametrize(
    "shape",
    [pytest.param(json.dumps, id="string"), pytest.param(lambda data: data, id="object")],
)
def test_hs_008_connection_established_with_string_or_object_data_connects(
    shape: Callable[[object], object],
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        data = shape({"socket_id": "123.456", "activity_timeout": 30})
        peer.send_json(event="pusher:connection_established", data=data)
        peer.serve()

    with Server(script) as server, Client(server) as client:
        assert client.wait_for(items.Connected).socket_id == "123.456"
        client.wait_for(items.Ready)


ODD_SOCKET_IDS = {
    "a lone surrogate": "1.\ud800",
    "megabytes": "1" * 5_000_000,
    "escapes": "1\x1b[2J",
    "a space": "1 2",
    "nothing": "",
}


@pytest.mark.defect("A.27", "A2.23g")
@pytest.mark.parametrize("socket_id", ODD_SOCKET_IDS.values(), ids=ODD_SOCKET_IDS)
def test_hs_008_what_cannot_be_a_socket_id_is_no_connection(
    socket_id: str, no_jitter: None
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        data = {"socket_id": socket_id}
        peer.send_json(event="pusher:connection_established", data=data)
        peer.wait_end()

    auth = Auth()
    with Server(script, good) as server, Client(server, auth=auth) as client:
        client.wait_for(items.Ready)
        lost = client.wait_for(items.Lost)
        assert (lost.lasted, "no proper socket id" in lost.reason) == (None, True)
        assert len(auth.calls) == 1


@pytest.mark.defect("A.27")
def test_hs_008_half_a_surrogate_in_a_status_is_printable() -> None:
    failed = rejected(CHANNEL, {"status": "\ud800", "error": "x"})
    machine = Machine().establish().grant().receive(failed)
    machine.all(ProtocolWarning)[0].reason.encode()


def test_hs_013_another_first_event_does_not_hang(no_jitter: None) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.send_json(event="message", channel=CHANNEL, data="{}")
        peer.wait_end()

    with Server(script, good) as server, Client(server) as client:
        client.wait_for(items.Ready)
        assert client.events == []


@pytest.mark.parametrize("as_string", [False, True])
def test_hs_015_error_4001_first_closes_the_socket_itself_and_stops(as_string: bool) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.error(4001, "App key MadeUpKey does not exist", as_string=as_string)
        peer.wait_end()

    with Server(script) as server, Client(server) as client:
        stopped = client.wait_stopped()
        assert stopped.cause is StopCause.SERVER_REFUSED
        assert "App key MadeUpKey does not exist" in stopped.reason
        server.peer().wait_end()
        assert len(server.peers) == 1


def tls_only(peer: Peer) -> None:
    peer.upgrade()
    peer.error(4000, "TLS only")
    peer.wait_end()


def test_hs_016_error_4000_first_switches_to_tls_and_retries(
    trusted: ssl.SSLContext, ca_file: str, no_jitter: None
) -> None:
    with (
        Server(tls_only, good, tls=trusted) as server,
        Client(server, ca_file=ca_file) as client,
    ):
        client.wait_for(items.Ready)
        assert [peer.tls for peer in server.peers] == [False, True]
        assert server.peer(1).wait_request().headers["host"] == f"127.0.0.1:{server.port}"


def test_hs_016_error_4000_over_tls_stops(trusted: ssl.SSLContext, ca_file: str) -> None:
    with (
        Server(tls_only, tls=trusted) as server,
        Client([server.tls_url], ca_file=ca_file) as client,
    ):
        assert client.wait_stopped().cause is StopCause.SERVER_REFUSED


def test_hs_019_a_server_that_never_answers_http_is_given_up_in_time(no_jitter: None) -> None:
    with Server(mute, good) as server, Client(server, connect_timeout=SHORT) as client:
        client.wait_for(items.Ready)
        lost = client.wait_for(items.Lost)
        assert (lost.lasted, lost.code) == (None, None)
        assert re.search("no answer|timed out", lost.reason)
        assert server.times[1] - server.times[0] < 4 * SHORT


def test_hs_020_silence_after_the_upgrade_is_given_up_even_with_ping_answers(
    no_jitter: None,
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        while True:  # as lively as WebSocket can be, and never established
            peer.send(PING, b"are you there")
            peer.next_frame()
            peer.pause(0.02)

    timing = Timing(established_timeout=SHORT)
    with Server(script, upgraded_mute, good) as server, Client(server, timing=timing) as client:
        client.wait_for(items.Ready)
        reasons = [lost.reason for lost in client.all(items.Lost)]
        assert len(reasons) == 2
        assert all("said nothing" in reason for reason in reasons)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_hs_021_http_4xx_stops_with_its_status(status: int) -> None:
    with Server(lambda peer: peer.refuse(status)) as server, Client(server) as client:
        stopped = client.wait_stopped()
        assert stopped.cause is StopCause.SERVER_REFUSED
        assert str(status) in stopped.reason


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 200])
def test_hs_021_other_http_statuses_are_reported_and_retried(status: int, no_jitter: None) -> None:
    with Server(lambda peer: peer.refuse(status), good) as server, Client(server) as client:
        client.wait_for(items.Ready)
        lost = client.wait_for(items.Lost)
        assert (lost.code, str(status) in lost.reason) == (status, True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_hs_021_a_redirect_is_reported_with_its_status_and_not_followed(
    status: int, no_jitter: None
) -> None:
    def script(peer: Peer) -> None:
        peer.refuse(status, "Location: ws://127.0.0.1:1/elsewhere\r\n")

    with Server(script, good) as server, Client(server) as client:
        client.wait_for(items.Ready)
        assert str(status) in client.wait_for(items.Lost).reason


def test_hs_021_retry_after_is_honoured(no_jitter: None) -> None:
    def script(peer: Peer) -> None:
        peer.refuse(503, "Retry-After: 1\r\n")

    with Server(script, good) as server, Client(server) as client:
        client.wait_for(items.Ready)
        assert server.times[1] - server.times[0] >= 1.0


@pytest.mark.parametrize("how", ["close", "fin", "rst"])
def test_hs_022_any_end_before_established_is_retried(how: str, no_jitter: None) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        getattr(peer, how)()

    with Server(script, good) as server, Client(server) as client:
        client.wait_for(items.Ready)
        assert client.wait_for(items.Lost).lasted is None
        assert client.wait_for(items.Reconnecting).delay < 0.1


def test_hs_025_a_first_connection_that_fails_is_retried_like_any_other(
    closed_port: int, no_jitter: None
) -> None:
    with Server() as server:
        client = Client([f"ws://127.0.0.1:{closed_port}", server.url])
        with client:
            client.wait_for(items.Ready)
            lost = client.wait_for(items.Lost)
            assert "refused" in lost.reason.lower()
            assert [type(item) for item in client.said[:3]] == [
                items.Connecting, items.Lost, items.Reconnecting,
            ]  # fmt: skip


def test_hs_025_unless_told_otherwise(closed_port: int) -> None:
    with Client([f"ws://127.0.0.1:{closed_port}"], max_retries=0) as client:
        assert client.wait_stopped().cause is StopCause.UNREACHABLE
        assert client.all(items.Reconnecting) == []
