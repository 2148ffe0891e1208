"""The fixtures themselves, proved by a client of a few lines that is not ours."""

import hashlib
import hmac
import json
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.conftest import StartProcess
from tests.interop.soketi import APP_KEY, APP_SECRET, HOST, TOKEN, AuthEndpoint, Certificate, Soketi

CHANNEL = "private-v1.licenses.1229.messengers.telegram"


def receive(link: ClientConnection) -> dict[str, Any]:
    """The next frame as JSON."""
    frame: dict[str, Any] = json.loads(link.recv(timeout=10))
    return frame


@contextmanager
def subscribed(server: Soketi, endpoint: AuthEndpoint) -> Iterator[ClientConnection]:
    """A connection that has subscribed to CHANNEL with the signature of the endpoint."""
    trust: dict[str, Any] = {}
    if server.certificate is not None:
        trust["ssl"] = ssl.create_default_context(cafile=server.certificate.ca_file)
    url = f"{server.ws_url}/app/{APP_KEY}?protocol=7&client=raw&version=0.0.1"
    with connect(url, proxy=None, **trust) as link:
        socket_id = json.loads(receive(link)["data"])["socket_id"]
        answer = requests.post(
            f"{endpoint.url}/broadcasting/auth",
            data={"socket_id": socket_id, "channel_name": CHANNEL},
            headers={"Authorization": TOKEN},
            verify=str(endpoint.certificate.ca_file) if endpoint.certificate else True,
            timeout=10,
        )
        wanted = {"channel": CHANNEL, **answer.json()}
        link.send(json.dumps({"event": "pusher:subscribe", "data": wanted}))
        assert receive(link)["event"] == "pusher_internal:subscription_succeeded"
        yield link


AWKWARD = [
    '{"b": 1.0, "a":1e400, "n":12345678901234567890123, "a":2}',
    '{"text":"\\u0441\\/ снег 🐚 \\ud83d\\ude00 \\u0000"}',
    "not json at all",
    '""',
    " [1 ,\n2] ",
]


@pytest.mark.parametrize("data", AWKWARD)
def test_data_passes_byte_for_byte(soketi: Soketi, auth: AuthEndpoint, data: str) -> None:
    with subscribed(soketi, auth) as link:
        soketi.trigger(CHANNEL, "message", data)
        frame = receive(link)
    assert frame == {"event": "message", "channel": CHANNEL, "data": data}


def test_batch_keeps_order(soketi: Soketi, auth: AuthEndpoint) -> None:
    events = [(f"event{number}", str(number)) for number in range(10)]
    with subscribed(soketi, auth) as link:
        soketi.trigger_batch(CHANNEL, events)
        got = [receive(link) for _ in events]
    assert [(frame["event"], frame["data"]) for frame in got] == events


def test_refusals_by_the_server_are_seen(soketi: Soketi) -> None:
    with pytest.raises(AssertionError, match="413"):
        soketi.trigger_batch(CHANNEL, [("message", "x" * 102_401)])
    with pytest.raises(AssertionError, match="400"):
        soketi.trigger_batch(CHANNEL, [("message", "x")] * 11)


def test_wss(tls_soketi: Soketi, tls_auth: AuthEndpoint) -> None:
    with subscribed(tls_soketi, tls_auth) as link:
        tls_soketi.wait_subscribed(CHANNEL)
        tls_soketi.trigger(CHANNEL, "message", "{}")
        assert receive(link)["data"] == "{}"


def test_subscribers_are_counted(soketi: Soketi, auth: AuthEndpoint) -> None:
    with subscribed(soketi, auth), subscribed(soketi, auth):
        soketi.wait_subscribed(CHANNEL, count=2)
    with pytest.raises(AssertionError, match="1 subscribers of private-nobody"):
        soketi.wait_subscribed("private-nobody", timeout=0.1)


def test_kill_and_restart_on_the_same_port(own_soketi: Soketi, auth: AuthEndpoint) -> None:
    port = own_soketi.port
    with subscribed(own_soketi, auth) as link:
        own_soketi.kill()
        with pytest.raises(ConnectionClosed):
            link.recv(timeout=10)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), timeout=5)
    own_soketi.restart()
    assert own_soketi.port == port
    with subscribed(own_soketi, auth):
        own_soketi.wait_subscribed(CHANNEL)


def test_stop_says_4200(own_soketi: Soketi, auth: AuthEndpoint) -> None:
    with subscribed(own_soketi, auth) as link:
        own_soketi.stop()
        assert receive(link)["event"] == "pusher:error"
        with pytest.raises(ConnectionClosed) as closed:
            link.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4200


def test_a_paused_server_is_silent_and_comes_back(own_soketi: Soketi, auth: AuthEndpoint) -> None:
    with subscribed(own_soketi, auth) as link:
        own_soketi.pause()
        link.send('{"event":"pusher:ping","data":{}}')
        with pytest.raises(TimeoutError):
            link.recv(timeout=0.3)
        own_soketi.resume()
        assert receive(link)["event"] == "pusher:pong"


def test_ports_are_not_shared(node: str) -> None:
    with Soketi() as one, Soketi() as other:
        assert one.port != other.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, one.port), timeout=5)


def test_a_server_that_cannot_start_is_reported(node: str, certificate: Certificate) -> None:
    missing = certificate.cert_file.with_name("missing.pem")
    broken = Soketi(Certificate(certificate.ca_file, missing, missing))
    with pytest.raises(AssertionError, match="soketi"), broken:
        pass


def test_auth_takes_form_and_json_over_one_connection(auth: AuthEndpoint) -> None:
    url = f"{auth.url}/broadcasting/auth"
    fields = {"socket_id": "1.2", "channel_name": CHANNEL}
    headers = {"Authorization": TOKEN}
    with requests.Session() as session:
        form = session.post(url, data=fields, headers=headers, timeout=10)
        document = session.post(url, json=fields, headers=headers, timeout=10)
    signature = hmac.new(APP_SECRET.encode(), f"1.2:{CHANNEL}".encode(), hashlib.sha256)
    assert form.json() == document.json() == {"auth": f"{APP_KEY}:{signature.hexdigest()}"}
    assert len(auth.calls) == 2
    assert auth.calls[0].connection == auth.calls[1].connection


@pytest.mark.parametrize("authorization", [None, "wrong", f"Bearer {TOKEN}"])
def test_auth_refuses_other_tokens(auth: AuthEndpoint, authorization: str | None) -> None:
    answer = requests.post(
        f"{auth.url}/broadcasting/auth",
        data={"socket_id": "1.2", "channel_name": CHANNEL},
        headers={"Authorization": authorization} if authorization else {},
        timeout=10,
    )
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "ApiInvalidTokenError"


def test_auth_ends_while_a_client_keeps_its_connection() -> None:
    with requests.Session() as session:
        with AuthEndpoint() as endpoint:
            assert session.post(endpoint.url, timeout=10).status_code == 404
            leaving = time.monotonic()
        assert time.monotonic() - leaving < 5


LINES = """
import sys, time
print("a", flush=True)
print("b\\r", file=sys.stderr, flush=True)
sys.stdin.read()
print("no newline", end="")
sys.exit(3)
"""


def test_live_process_lines_and_status(start_process: StartProcess) -> None:
    process = start_process([sys.executable, "-c", LINES], stdin=True)
    assert process.stdout.take() == "a"
    assert process.stderr.wait_for("b") == "b\r"
    with pytest.raises(AssertionError, match="passed"):
        process.stdout.take(timeout=0.05)
    assert process.process.stdin is not None
    process.process.stdin.close()
    assert process.wait() == 3
    assert process.stdout.text == "a\nno newline"
    with pytest.raises(AssertionError, match="the stream ended"):
        process.stdout.wait_for("never")


def test_live_process_ends_with_its_children(start_process: StartProcess) -> None:
    process = start_process(["sh", "-c", "sleep 1000 & sleep 1000"])
    started = time.monotonic()
    process.__exit__()
    assert process.process.returncode == -signal.SIGKILL
    assert time.monotonic() - started < 5
