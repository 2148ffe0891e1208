"""AU: how private channels are signed for."""

import json
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from chatapp_tail import items
from chatapp_tail.chatapp.api import Api
from chatapp_tail.chatapp.http import Http
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.tokens import StaticToken, TokenFile
from chatapp_tail.items import StopCause
from chatapp_tail.pusher.answers import AuthAnswer, Denied, Granted, TokenRefused, Unavailable
from tests.conftest import TIMEOUT_SCALE, StartTail
from tests.pusher_machine import CHANNEL, OTHER, PUBLIC, Machine
from tests.servers import Answer, Call, HttpEndpoint, good, signed

from .harness import Auth, Client, signature
from .server import Peer, Server, ready_then_end
from .server import good as well

TOKEN = "$2y$10$madeUpTokenOfNobody0123456789abcdefghijklmnopqrstuvwxy"


def api(url: str, *, timeout: float = 10.0) -> Api:
    """Return the program's access to a scripted endpoint."""
    return Api(Http(url, timeout=timeout), StaticToken(Secret(TOKEN)))


def ask(answer: Answer, *, timeout: float = 10.0, other: Answer | None = None) -> AuthAnswer:
    """Return what `Api` makes of an answer; `other` is for every other call it makes."""
    with HttpEndpoint(lambda _: answer, lambda call: other or good(call)) as endpoint:
        return api(endpoint.url, timeout=timeout).authorise("1.1", CHANNEL)


def test_au_026_the_returned_signature_is_sent_exactly() -> None:
    odd = 'MadeUpKey:ab"\\/é\u2028'
    with (
        HttpEndpoint(lambda _: Answer(body=json.dumps({"auth": odd}))) as endpoint,
        Server() as server,
        Client(server, auth=api(endpoint.url).authorise) as client,
    ):
        client.wait_for(items.Ready)
        (call,) = endpoint.wait_calls(1)
        assert call.request.line == "POST /broadcasting/auth HTTP/1.1"
        assert call.form == {"socket_id": "1.1", "channel_name": CHANNEL}
        assert call.request.headers["authorization"] == TOKEN
        data = server.peer().wait_event("pusher:subscribe")["data"]
        assert data == {"channel": CHANNEL, "auth": odd}


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_au_028_an_http_refusal_is_denied_with_channel_and_status(status: int) -> None:
    answer = ask(Answer(status, '{"message":"This action is unauthorized."}'))
    assert isinstance(answer, Denied)
    assert str(status) in answer.reason
    assert "This action is unauthorized." in answer.reason


DEAD = Answer(401, '{"success":false,"error":{"code":"ApiInvalidTokenError"}}')


def test_au_029_a_401_of_a_dead_token_that_cannot_be_renewed_is_a_refused_token() -> None:
    answer = ask(Answer(401, '{"message":"Unauthenticated."}'), other=DEAD)
    assert isinstance(answer, TokenRefused)
    assert "401" in answer.reason


def test_au_029_a_dead_token_is_renewed_once_and_the_request_repeated(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")

    def answer(call: Call) -> Answer:
        if call.request.headers["authorization"] == "new":
            return signed(call)
        file.write_text("new")
        return DEAD

    with HttpEndpoint(answer) as endpoint:
        access = Api(Http(endpoint.url), TokenFile(file))
        assert access.authorise("1.1", CHANNEL) == Granted(signature("1.1", CHANNEL))
        assert [call.request.headers["authorization"] for call in endpoint.calls] == ["old", "new"]


def test_au_029_a_renewed_token_that_is_refused_too_ends_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")

    def answer(_: Call) -> Answer:
        file.write_text("new")
        return DEAD

    with HttpEndpoint(answer) as endpoint:
        access = Api(Http(endpoint.url), TokenFile(file))
        assert isinstance(access.authorise("1.1", CHANNEL), TokenRefused)
        assert len(endpoint.calls) == 2


def test_au_029_a_401_with_a_good_token_is_about_the_channel() -> None:
    assert isinstance(ask(Answer(401)), Denied)


def test_au_029_a_refused_token_stops_the_connection() -> None:
    auth = Auth(lambda *_: TokenRefused("answered 401"))
    with Server() as server, Client(server, auth=auth) as client:
        stopped = client.wait_stopped()
        assert (stopped.cause, "answered 401" in stopped.reason) == (StopCause.CREDENTIALS, True)
        assert len(auth.calls) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_au_030_a_passing_failure_is_unavailable_with_retry_after(status: int) -> None:
    answer = ask(Answer(status, headers="Retry-After: 7\r\n"))
    assert isinstance(answer, Unavailable)
    assert (answer.retry_after, str(status) in answer.reason) == (7.0, True)


def test_au_030_retry_after_may_be_a_date() -> None:
    answer = ask(
        Answer(503, headers=f"Retry-After: {formatdate(time.time() + 60, usegmt=True)}\r\n")
    )
    assert isinstance(answer, Unavailable)
    assert answer.retry_after is not None
    assert 50 < answer.retry_after <= 61


@pytest.mark.parametrize(
    "raw", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", b"\x00\xff"]
)
def test_au_030_a_network_failure_is_unavailable(raw: bytes) -> None:
    assert isinstance(ask(Answer(raw=raw)), Unavailable)


def test_au_030_a_closed_port_is_unavailable(closed_port: int) -> None:
    access = api(f"http://127.0.0.1:{closed_port}")
    assert isinstance(access.authorise("1.1", CHANNEL), Unavailable)


@pytest.mark.parametrize("retry_after", ["99999999999", "9" * 400])
def test_au_030_an_absurd_retry_after_does_not_silence_the_channel_for_ever(
    retry_after: str,
) -> None:
    answer = ask(Answer(503, headers=f"Retry-After: {retry_after}\r\n"))
    machine = Machine().establish().answer(CHANNEL, answer).live(4000)
    assert len(machine.asked) > 1


@pytest.mark.parametrize(
    "body", ["", "<html>", "{}", "[]", "null", '{"auth":null}', '{"auth":5}', '{"auth":""}',
             '{"auth":"a:b"', '{"AUTH":"a:b"}', "[" * 100_000]
)  # fmt: skip
def test_au_031_200_without_a_signature_is_a_failure_and_the_channel_stays_wanted(
    body: str,
) -> None:
    answer = ask(Answer(200, body))
    assert isinstance(answer, Unavailable)
    machine = Machine().establish().answer(CHANNEL, answer)
    assert machine.warned == [CHANNEL]
    assert machine.after(2).asked == [CHANNEL, CHANNEL]


def test_au_033_an_auth_call_times_out() -> None:
    gate = threading.Event()
    started = time.monotonic()
    answer = ask(Answer(gate=gate), timeout=0.3 * TIMEOUT_SCALE)
    assert isinstance(answer, Unavailable)
    assert time.monotonic() - started < 3 * TIMEOUT_SCALE


@pytest.mark.parametrize(
    "other",
    [Answer(503, headers="Retry-After: 3600\r\n"), Answer(gate=threading.Event())],
    ids=["asks to wait", "never answers"],
)
def test_au_033_nor_do_the_questions_behind_a_refusal_take_longer(other: Answer) -> None:
    answers: list[AuthAnswer] = []
    timeout = 0.3 * TIMEOUT_SCALE
    with HttpEndpoint(lambda _: Answer(403), lambda _: other) as endpoint:
        access = api(endpoint.url, timeout=timeout)
        asking = threading.Thread(
            target=lambda: answers.append(access.authorise("1.1", CHANNEL)), daemon=True
        )
        asking.start()
        asking.join(4 * TIMEOUT_SCALE)
        assert len(answers) == 1, "no answer yet"


def test_au_033_a_silent_auth_endpoint_delays_neither_events_nor_other_channels() -> None:
    gate = threading.Event()

    def answer(socket_id: str, channel: str) -> AuthAnswer:
        if channel == OTHER:
            gate.wait(20)
        return Granted(signature(socket_id, channel))

    with Server() as server, Client(server, (OTHER, CHANNEL, PUBLIC), auth=Auth(answer)) as client:
        client.wait_for(items.Subscribed, count=2)
        server.peer().send_json(event="message", channel=CHANNEL, data="{}")
        client.wait_for(items.ChannelEvent)
        assert client.all(items.Ready) == []
        gate.set()
        client.wait_for(items.Ready)


def test_au_034_an_answer_for_a_lost_connection_is_thrown_away(no_jitter: None) -> None:
    gate = threading.Event()

    def answer(socket_id: str, channel: str) -> AuthAnswer:
        if socket_id == "1.1":
            gate.wait(20)
        return Granted(signature(socket_id, channel))

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.establish()
        auth.wait_calls(1)
        peer.fin()

    auth = Auth(answer)
    with Server(script, well) as server, Client(server, auth=auth) as client:
        auth.wait_calls(2)
        gate.set()
        client.wait_for(items.Ready)
        (sent,) = server.peer(1).events("pusher:subscribe")
        assert sent["data"]["auth"] == signature("2.1", CHANNEL)
        assert server.peer(0).events("pusher:subscribe") == []


@pytest.mark.parametrize(
    "answer",
    [Answer(401), Answer(403), Answer(503), Answer(200, "<html>"), Answer(raw=b""),
     Answer(302, headers="Location: http://127.0.0.1:1/\r\n")],
    ids=lambda answer: str(answer.status),
)  # fmt: skip
def test_au_042_no_answer_of_the_api_ever_shows_the_token(answer: Answer) -> None:
    assert TOKEN not in repr(ask(answer))
    assert TOKEN not in repr(Secret(TOKEN))


def test_au_042_signatures_are_not_part_of_what_prints() -> None:
    assert "s3cret" not in repr(Granted("k:s3cret"))


@pytest.mark.parametrize(
    ("sign", "said"),
    [
        ("MadeUpKey:5ec2e7", "Invalid signature"),
        ('MadeUpKey:"5ec2e7', "Invalid signature"),
        # pusher.com quotes the signature it was sent.
        ("MadeUpKey:5ec2e7", "Invalid signature: Expected HMAC SHA256 hex digest, but got 5ec2e7"),
    ],
    ids=["as usual", "with a quote", "echoed by the server"],
)
def test_au_042_the_most_talkative_run_shows_neither_token_nor_signature(
    start_tail: StartTail, sign: str, said: str
) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.establish()
        peer.wait_event("pusher:subscribe")
        peer.error(None, said)
        peer.wait_end()

    answer = Answer(body=json.dumps({"auth": sign}))
    with HttpEndpoint(lambda _: answer) as endpoint, Server(script) as server:
        tail = start_tail(
            "-vv", "-c", CHANNEL, "--ws-url", server.url, "--api-url", endpoint.url,
            env={"CHATAPP_TOKEN": TOKEN},
        )  # fmt: skip
        tail.wait()
        shown = tail.stderr.text + tail.stdout.text
        assert "Invalid signature" in shown
        assert TOKEN not in shown
        assert "5ec2e7" not in shown


def test_au_043_200_channels_are_signed_eight_at_a_time_over_kept_connections() -> None:
    channels = [f"private-v1.users.{number}" for number in range(1, 201)]
    with (
        HttpEndpoint() as endpoint,
        Server() as server,
        Client(server, channels, auth=api(endpoint.url).authorise) as client,
    ):
        ready = client.wait_for(items.Ready, timeout=20)
        assert ready.channels == channels
        assert sorted(server.peer().subscribed()) == sorted(channels)
        assert len(endpoint.calls) == 200
        assert endpoint.busiest <= 8
        assert endpoint.connections <= 8


def test_au_044_a_new_connection_asks_for_a_new_signature(no_jitter: None) -> None:
    auth = Auth()
    with Server(ready_then_end, well) as server, Client(server, auth=auth) as client:
        client.wait_for(items.Ready, count=2)
        assert auth.calls == [("1.1", CHANNEL), ("2.1", CHANNEL)]
        sent = server.peer(1).wait_event("pusher:subscribe")
        assert sent["data"]["auth"] == signature("2.1", CHANNEL)
