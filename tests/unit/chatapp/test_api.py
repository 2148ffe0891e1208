"""Channel auth: what each answer of the service means for the channel and for the token."""

import threading
import traceback

import pytest

from chatapp_tail.chatapp.api import Api
from chatapp_tail.chatapp.http import AUTH_PATH, Http
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.tokens import StaticToken, make_tokens, refresh_tokens
from chatapp_tail.errors import ChatAppTailError, CredentialsError
from chatapp_tail.pusher.answers import AuthAnswer, Denied, Granted, TokenRefused, Unavailable
from chatapp_tail.sandbox import Sandbox
from tests.factories import CHANNEL
from tests.servers import Answer, HttpServer

CHECK, LICENSES = "/v1/tokens/check", "/v1/licenses"
INVALID = b'{"success":false,"error":{"code":"ApiInvalidTokenError","message":"Invalid Token"}}'
GOOD, BAD, SILENT = Answer(200, b'{"success":true}'), Answer(401, INVALID), Answer(404, b"")


class Renewable:
    """A token source that has one more token."""

    def __init__(self) -> None:
        self.origin = "made up"
        self.token = Secret("old-made-up")

    def current(self) -> Secret:
        return self.token

    def refresh(self, refused: Secret) -> Secret:
        if refused == Secret("new-made-up"):
            raise CredentialsError("no other token")
        self.token = Secret("new-made-up")
        return self.token


def authorise(server: HttpServer, *answers: Answer, check: Answer = GOOD) -> AuthAnswer:
    server.answers |= {AUTH_PATH: list(answers), CHECK: [check]}
    api = Api(Http(server.url, timeout=5.0), StaticToken(Secret("made-up-token")))
    return api.authorise("12.34", CHANNEL)


def test_the_request(server: HttpServer) -> None:
    assert authorise(server, Answer(200, b'{"auth":"key:sig"}')) == Granted("key:sig")
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", AUTH_PATH)
    assert asked.headers["Authorization"] == "made-up-token"
    assert asked.body == f"socket_id=12.34&channel_name={CHANNEL}".encode()


ANSWERS = {
    "200 and more": (Answer(200, b'{"x":1,"auth":"k:s","y":[]}'), GOOD, Granted),
    "200 without auth": (Answer(200, b"{}"), GOOD, Unavailable),
    "200 with an empty auth": (Answer(200, b'{"auth":""}'), GOOD, Unavailable),
    "200 with another auth": (Answer(200, b'{"auth":5}'), GOOD, Unavailable),
    "200 not JSON": (Answer(200, b"<html>"), GOOD, Unavailable),
    "200 empty": (Answer(200, b""), GOOD, Unavailable),
    "200 that failed": (Answer(200, b'{"success":false,"auth":"k:s"}'), GOOD, Unavailable),
    "200, invalid token": (Answer(200, INVALID), GOOD, TokenRefused),
    "401, token dead": (Answer(401, b""), BAD, TokenRefused),
    "401, token good": (Answer(401, b""), GOOD, Denied),
    "401, nobody knows": (Answer(401, b""), SILENT, TokenRefused),
    "403, token dead": (Answer(403, b""), BAD, TokenRefused),
    "403, token good": (Answer(403, b'{"message":"no"}'), GOOD, Denied),
    "403, nobody knows": (Answer(403, b""), SILENT, Denied),
    "404": (Answer(404, b"<html>"), GOOD, Unavailable),
    "408": (Answer(408), GOOD, Unavailable),
    "425": (Answer(425), GOOD, Unavailable),
    "429": (Answer(429), GOOD, Unavailable),
    "500": (Answer(500), GOOD, Unavailable),
    "503": (Answer(503, b"<html>"), GOOD, Unavailable),
    "302": (Answer(302, headers="Location: https://example.invalid/\r\n"), GOOD, Unavailable),
}


@pytest.mark.parametrize(("answer", "check", "kind"), ANSWERS.values(), ids=ANSWERS.keys())
def test_what_an_answer_means(
    server: HttpServer, answer: Answer, check: Answer, kind: type[AuthAnswer]
) -> None:
    found = authorise(server, answer, check=check)
    assert type(found) is kind
    if isinstance(found, Denied | TokenRefused | Unavailable):
        assert str(answer.status) in found.reason
        assert "made-up-token" not in repr(found)
    assert server.paths().count(AUTH_PATH) == 1


def test_retry_after_is_handed_on(server: HttpServer) -> None:
    found = authorise(server, Answer(429, headers="Retry-After: 7\r\n"))
    assert isinstance(found, Unavailable)
    assert found.retry_after == 7.0


def test_nobody_listens(closed_port: int) -> None:
    api = Api(Http(f"http://127.0.0.1:{closed_port}"), StaticToken(Secret("made-up-token")))
    found = api.authorise("12.34", CHANNEL)
    assert isinstance(found, Unavailable)
    assert "refused" in found.reason


def test_no_answer(server: HttpServer) -> None:
    server.answers[AUTH_PATH] = [Answer(gate=threading.Event())]
    api = Api(Http(server.url, timeout=0.2), StaticToken(Secret("made-up-token")))
    assert isinstance(api.authorise("12.34", CHANNEL), Unavailable)


def test_a_dead_token_is_renewed_and_the_request_repeated(server: HttpServer) -> None:
    server.answers[AUTH_PATH] = [Answer(200, INVALID), Answer(200, b'{"auth":"k:s"}')]
    api = Api(Http(server.url), Renewable())
    assert api.authorise("12.34", CHANNEL) == Granted("k:s")
    tokens = [each.headers["Authorization"] for each in server.asked]
    assert tokens == ["old-made-up", "new-made-up"]


def test_a_new_token_that_is_dead_too_stops(server: HttpServer) -> None:
    server.answers[AUTH_PATH] = [Answer(200, INVALID)]
    assert isinstance(Api(Http(server.url), Renewable()).authorise("1.2", CHANNEL), TokenRefused)
    assert len(server.asked) == 2


def test_many_refusals_check_the_token_once(server: HttpServer) -> None:
    server.answers |= {AUTH_PATH: [Answer(403, b"")], CHECK: [GOOD]}
    api = Api(Http(server.url), StaticToken(Secret("made-up-token")))
    for _ in range(5):
        assert isinstance(api.authorise("12.34", CHANNEL), Denied)
    assert server.paths().count(CHECK) == 1


def test_a_refusal_says_what_the_account_has(server: HttpServer) -> None:
    account = b'{"success":true,"data":[{"licenseId":1229,"messenger":[{"type":"grWhatsApp"}]}]}'
    server.answers |= {
        AUTH_PATH: [Answer(403, b"")],
        CHECK: [GOOD],
        LICENSES: [Answer(200, account)],
    }
    api = Api(Http(server.url), StaticToken(Secret("made-up-token")))
    found = api.authorise("12.34", CHANNEL)
    assert isinstance(found, Denied)
    assert "grWhatsApp" in found.reason


@pytest.mark.parametrize("place", ["sandbox", "nobody"])
def test_exceptions_and_objects_hold_no_secret(
    place: str, sandbox: Sandbox, closed_port: int
) -> None:
    secret = Secret("made-up-token")
    http = Http(sandbox.api_url if place == "sandbox" else f"http://127.0.0.1:{closed_port}")
    api = Api(http, StaticToken(secret))
    told = [repr(api.authorise("1.2", "private-x")), repr(vars(api)), repr(vars(http))]
    for call in (
        lambda: make_tokens(http, "a@example.invalid", secret, "app"),
        lambda: refresh_tokens(http, secret),
        api.check_token,
        lambda: api.licenses(retry=False),
    ):
        with pytest.raises(ChatAppTailError) as failed:
            call()
        error = failed.value
        told += [str(error), repr(error), repr(error.args), repr(vars(error))]
        told += traceback.format_exception(error)
    assert "made-up-token" not in "".join(told)
