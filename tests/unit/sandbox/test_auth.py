import time

import pytest
import requests

from chatapp_tail.sandbox import AuthAnswered, AuthRequested, Sandbox, messenger_channel
from chatapp_tail.sandbox.account import MADE_UP_TOKEN

from .client import TELEGRAM, TEST_TIMEOUT, WAIT, WHATSAPP, ask_auth, client

pytestmark = pytest.mark.timeout(TEST_TIMEOUT)


def test_authorises_a_form(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        answer = ask_auth(sandbox, opened.socket_id, TELEGRAM)
        assert answer.status_code == 200
        assert answer.json() == {"auth": sandbox.account.sign(opened.socket_id, TELEGRAM)}


def test_authorises_json(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        answer = requests.post(
            f"{sandbox.api_url}/broadcasting/auth",
            json={"socket_id": opened.socket_id, "channel_name": TELEGRAM},
            headers={"Authorization": sandbox.token},
            timeout=WAIT,
        )
        assert answer.json() == {"auth": sandbox.account.sign(opened.socket_id, TELEGRAM)}


@pytest.mark.parametrize("token", ["", "wrong", f"Bearer {MADE_UP_TOKEN}", MADE_UP_TOKEN[:-1]])
def test_refuses_any_other_token(sandbox: Sandbox, token: str) -> None:
    with client(sandbox) as opened:
        answer = ask_auth(sandbox, opened.socket_id, TELEGRAM, token=token)
    assert answer.status_code == 401
    assert answer.json() == {
        "success": False,
        "error": {"code": "ApiInvalidTokenError", "message": "Invalid Token"},
    }


def test_refuses_a_missing_token(sandbox: Sandbox) -> None:
    assert requests.post(f"{sandbox.api_url}/broadcasting/auth", timeout=WAIT).status_code == 401


@pytest.mark.parametrize(
    "channel",
    [
        messenger_channel(1, "telegram"),
        messenger_channel(1229, "grayWhatsApp"),
        "private-v1.companies.1",
    ],
)
def test_refuses_channels_of_others(sandbox: Sandbox, channel: str) -> None:
    with client(sandbox) as opened:
        answer = ask_auth(sandbox, opened.socket_id, channel)
    assert answer.status_code == 403
    assert answer.json()["success"] is False


def test_refuses_a_socket_id_nobody_has(sandbox: Sandbox) -> None:
    assert ask_auth(sandbox, "1.1", TELEGRAM).status_code == 403


def test_refuses_the_socket_id_of_a_closed_socket(sandbox: Sandbox) -> None:
    with client(sandbox) as opened:
        stale = opened.socket_id
    sandbox.wait_for(lambda s: s.open_sockets == 0, WAIT)
    assert ask_auth(sandbox, stale, TELEGRAM).status_code == 403


def test_refuses_incomplete_fields(sandbox: Sandbox) -> None:
    assert ask_auth(sandbox, "", TELEGRAM).status_code == 422
    assert ask_auth(sandbox, "1.1", "").status_code == 422


def test_writes_requests_and_answers_down(sandbox: Sandbox) -> None:
    ask_auth(sandbox, "1.1", TELEGRAM)
    (asked,) = sandbox.journal.of(AuthRequested)
    (answered,) = sandbox.journal.of(AuthAnswered)
    assert (asked.socket_id, asked.channel) == ("1.1", TELEGRAM)
    assert asked.content_type == "application/x-www-form-urlencoded"
    assert ("Authorization", sandbox.token) in asked.headers
    assert (answered.socket_id, answered.channel, answered.status) == ("1.1", TELEGRAM, 403)
    assert sandbox.token not in repr(asked)


def test_one_refused_channel(sandbox: Sandbox) -> None:
    sandbox.faults.refuse_channels[TELEGRAM] = 403
    with client(sandbox) as opened:
        assert ask_auth(sandbox, opened.socket_id, TELEGRAM).status_code == 403
        assert ask_auth(sandbox, opened.socket_id, WHATSAPP).status_code == 200


def test_a_scripted_answer(sandbox: Sandbox) -> None:
    sandbox.faults.answer_auth(429, "<html>", {"Retry-After": "3"}, calls=1)
    with client(sandbox) as opened:
        first = ask_auth(sandbox, opened.socket_id, TELEGRAM)
        assert (first.status_code, first.text) == (429, "<html>")
        assert first.headers["Retry-After"] == "3"
        assert ask_auth(sandbox, opened.socket_id, TELEGRAM).status_code == 200


def test_a_delayed_answer(sandbox: Sandbox) -> None:
    sandbox.faults.auth_delay = 0.2
    started = time.monotonic()
    ask_auth(sandbox, "1.1", TELEGRAM)
    assert time.monotonic() - started >= 0.2


def test_an_answer_that_never_comes_ends_with_the_server() -> None:
    with Sandbox() as sandbox:
        sandbox.faults.auth_hangs = True
        with pytest.raises(requests.Timeout):
            requests.post(f"{sandbox.api_url}/broadcasting/auth", timeout=0.1)
        sandbox.wait_for(lambda s: s.auth_requests == 1, WAIT)
        assert sandbox.journal.of(AuthAnswered) == ()
        started = time.monotonic()
    assert time.monotonic() - started < WAIT
