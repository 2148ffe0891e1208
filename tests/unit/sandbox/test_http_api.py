import http.client
import json
import re
import socket
import threading
import time
from contextlib import closing
from email.message import Message
from urllib.parse import urlsplit

import pytest
import requests

from chatapp_tail.sandbox import (
    Answer,
    ApiAnswered,
    ApiRequested,
    AuthRequested,
    Faults,
    History,
    Journal,
    Sandbox,
)
from chatapp_tail.sandbox.account import Account
from chatapp_tail.sandbox.http_api import Route, respond
from chatapp_tail.sandbox.http_messages import Request
from chatapp_tail.sandbox.service import Service
from chatapp_tail.sandbox.throttle import Throttle
from chatapp_tail.sandbox.token_issuer import TokenIssuer

from .client import SCALE, TELEGRAM, TEST_TIMEOUT, WAIT, ask_api, ask_auth

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
    service = Service(
        account=account,
        faults=Faults(),
        journal=Journal(),
        tokens=TokenIssuer("token", access_lifetime=1, refresh_lifetime=1, per_day=1),
        history=History(),
        throttle=Throttle(None),
        is_connected=lambda _: True,
        stopping=threading.Event(),
    )
    path = "/v1/chats/group%2F1%40x/messages"
    asked = Request(method="GET", path=path, query={}, headers=Message(), body=b"", peer_port=1)
    assert respond(asked, service, (route,)).status == 200
    assert seen[0].parts == {"chat": "group/1@x"}


def test_writes_every_request_and_answer_down(sandbox: Sandbox) -> None:
    ask_api(sandbox, "/v1/chats", limit=5)
    ask_api(sandbox, "/v1/nothing")
    asked = sandbox.journal.of(ApiRequested)
    assert [(e.method, e.path) for e in asked] == [("GET", "/v1/chats"), ("GET", "/v1/nothing")]
    assert asked[0].query == (("limit", "5"),)
    assert ("Authorization", sandbox.token) in asked[0].headers
    assert sandbox.token not in repr(asked)
    assert [e.status for e in sandbox.journal.of(ApiAnswered)] == [200, 404]
    assert sandbox.api_requests() == 2
    assert sandbox.api_requests("/v1/c*") == 1
    assert sandbox.api_requests("/v1") == 0


@pytest.mark.parametrize(
    "path",
    [
        "/v1/licenses",
        "/v1/companies",
        "/v1/chats",
        "/v1/licenses/1229/messengers/telegram/chats",
        "/v1/licenses/1229/messengers/telegram/chats/x/messages",
    ],
)
def test_reading_takes_a_valid_token(sandbox: Sandbox, path: str) -> None:
    assert ask_api(sandbox, path).status_code == 200
    for token in ("", "wrong", f"Bearer {sandbox.token}"):
        answer = ask_api(sandbox, path, token=token)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "ApiInvalidTokenError"


# Scripted faults.


def test_a_scripted_answer_for_a_path(sandbox: Sandbox) -> None:
    html = {"Content-Type": "text/html"}
    sandbox.faults.answer_api("/v1/lic*", 502, "<html>", html, calls=2)
    answers = [ask_api(sandbox, "/v1/licenses") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [502, 502, 200]
    assert (answers[0].text, answers[0].headers["Content-Type"]) == ("<html>", "text/html")


def test_scripted_answers_leave_other_paths_alone(sandbox: Sandbox) -> None:
    sandbox.faults.answer_api("/v1/licenses", 500)
    assert ask_api(sandbox, "/v1/companies").status_code == 200
    assert ask_auth(sandbox, "1.1", TELEGRAM).status_code == 403
    assert ask_api(sandbox, "/v1/licenses").status_code == 500


def test_a_redirect_to_another_host(sandbox: Sandbox) -> None:
    location = {"Location": "https://example.invalid/v1/licenses"}
    sandbox.faults.answer_api("/v1/licenses", 302, headers=location)
    answer = ask_api(sandbox, "/v1/licenses")
    assert (answer.status_code, answer.headers["Location"]) == (302, location["Location"])


def test_one_call_in_three_fails(sandbox: Sandbox) -> None:
    sandbox.faults.answer_api("/v1/licenses", 503, one_in=3)
    statuses = [ask_api(sandbox, "/v1/licenses").status_code for _ in range(6)]
    assert statuses == [200, 200, 503, 200, 200, 503]


def test_an_answer_lost_on_its_way(sandbox: Sandbox) -> None:
    sandbox.faults.answer_api("/v1/tokens/check", 0, calls=1, processed=True)
    with pytest.raises(requests.ConnectionError):
        ask_api(sandbox, "/v1/tokens/check")
    assert sandbox.tokens_checked == 1
    assert ask_api(sandbox, "/v1/tokens/check").status_code == 200


def test_a_connection_closed_before_the_request_had_an_effect(sandbox: Sandbox) -> None:
    sandbox.faults.answer_api("/v1/tokens/check", 0, calls=1)
    api = connection(sandbox)
    api.request("GET", "/v1/tokens/check")
    with pytest.raises(http.client.RemoteDisconnected):  # not one byte came
        api.getresponse()
    api.close()
    assert sandbox.tokens_checked == 0


def test_latency_for_a_path(sandbox: Sandbox) -> None:
    sandbox.faults.delay_api("/v1/licenses", 0.2, calls=1)
    started = time.monotonic()
    assert ask_api(sandbox, "/v1/licenses").status_code == 200
    assert time.monotonic() - started >= 0.2


def test_a_request_that_hangs_ends_with_the_server_and_has_no_effect() -> None:
    with Sandbox() as sandbox:
        sandbox.faults.hang_api("/v1/tokens/check", calls=1)
        with pytest.raises(requests.Timeout):
            requests.get(f"{sandbox.api_url}/v1/tokens/check", timeout=0.1)
        assert ask_api(sandbox, "/v1/tokens/check").status_code == 200
        started = time.monotonic()
    assert time.monotonic() - started < WAIT
    assert sandbox.tokens_checked == 1
    assert [entry.status for entry in sandbox.journal.of(ApiAnswered)] == [200, 0]


def test_more_requests_than_a_second_may_have() -> None:
    with Sandbox(requests_per_second=3) as sandbox:
        answers = [ask_api(sandbox, "/v1/licenses") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].json()["success"] is False


def test_an_answer_may_come_byte_by_byte(sandbox: Sandbox) -> None:
    sandbox.faults.drip_api("/v1/licenses", 0.001, calls=1)
    started = time.monotonic()
    answer = ask_api(sandbox, "/v1/licenses")
    assert answer.json()["success"] is True
    assert time.monotonic() - started > 0.001 * len(answer.content)


def test_an_answer_that_drips_does_not_keep_the_server_from_ending() -> None:
    with Sandbox() as sandbox, closing(connection(sandbox)) as api:
        sandbox.faults.drip_api("*", 3600.0)
        api.request("GET", "/v1/licenses")
        sandbox.wait_for(lambda sandbox: sandbox.api_requests("/v1/licenses"), WAIT)
