import http.client
import json
import re
import socket
import threading
import time
from email.message import Message
from urllib.parse import urlsplit

import pytest
import requests

from chatapp_tail.sandbox import Answer, AuthRequested, Faults, Journal, Sandbox
from chatapp_tail.sandbox.account import Account
from chatapp_tail.sandbox.http_api import Route, respond
from chatapp_tail.sandbox.http_messages import Request
from chatapp_tail.sandbox.service import Service

from .client import SCALE, TELEGRAM, TEST_TIMEOUT, WAIT, ask_auth

pytestmark = pytest.mark.timeout(TEST_TIMEOUT)


def connection(sandbox: Sandbox) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(sandbox.api_url).netloc, timeout=WAIT)


def test_unknown_paths_and_methods(sandbox: Sandbox) -> None:
    assert requests.get(f"{sandbox.api_url}/nothing", timeout=WAIT).status_code == 404
    answer = requests.get(f"{sandbox.api_url}/broadcasting/auth", timeout=WAIT)
    assert answer.status_code == 405
    assert answer.json()["success"] is False


def test_keeps_connections_alive_and_answers_at_once(sandbox: Sandbox) -> None:
    api = connection(sandbox)
    started = time.monotonic()
    for _ in range(50):
        api.request("POST", "/broadcasting/auth", b"{}", {"Content-Type": "application/json"})
        api.getresponse().read()
    took = time.monotonic() - started
    api.close()
    assert len({entry.peer_port for entry in sandbox.journal.of(AuthRequested)}) == 1
    assert took < SCALE, "each answer waited for a delayed acknowledgement"


def test_a_silent_client_keeps_nobody_out() -> None:
    with Sandbox(tls=True) as sandbox:
        address = ("127.0.0.1", urlsplit(sandbox.api_url).port)
        with socket.create_connection(address, timeout=WAIT):
            assert ask_auth(sandbox, "1.1", TELEGRAM).status_code == 403


def test_many_connections_at_once(sandbox: Sandbox) -> None:
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(ask_auth(sandbox, "1.1", TELEGRAM).status_code)

    threads = [threading.Thread(target=ask) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [403] * 64


def test_a_client_that_vanishes_in_the_middle_prints_nothing(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    port = urlsplit(sandbox.api_url).port
    for start in (b"", b"POST /broadcasting/auth HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"?\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as raw:
            raw.sendall(start)
    assert json.loads(ask_auth(sandbox, "1.1", TELEGRAM).text)["success"] is False
    assert capfd.readouterr() == ("", "")


def test_the_named_groups_of_a_route_arrive_decoded() -> None:
    seen: list[Request] = []

    def history(request: Request, service: Service) -> Answer:
        seen.append(request)
        return Answer(200)

    route = Route("GET", re.compile("/v1/chats/(?P<chat>[^/]+)/messages"), history)
    account = Account("Key", "secret", "token", {})
    service = Service(account, Faults(), Journal(), lambda _: True, threading.Event())
    path = "/v1/chats/group%2F1%40x/messages"
    asked = Request(method="GET", path=path, query={}, headers=Message(), body=b"", peer_port=1)
    assert respond(asked, service, (route,)).status == 200
    assert seen[0].parts == {"chat": "group/1@x"}
