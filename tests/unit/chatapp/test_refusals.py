"""Which refusals are believed: ChatApp's own, and no page of something that stands in between."""

import threading
from collections.abc import Callable

import pytest

from chatapp_tail import items
from chatapp_tail.chatapp.api import Api
from chatapp_tail.chatapp.http import AUTH_PATH, Http
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.tokens import refresh_tokens
from chatapp_tail.errors import ApiError, CredentialsError
from chatapp_tail.pusher.answers import AuthAnswer, Denied, Granted, Unavailable
from tests.servers import NOTHING, Answer, Call, HttpEndpoint, HttpServer, signed

from ...conformance.harness import CHANNEL, Client
from ...conformance.server import Peer
from ...conformance.server import Server as Pusher
from ...conformance.server import good as well

CHECK, LICENSES, REFRESH = "/v1/tokens/check", "/v1/licenses", "/v1/tokens/refresh"
HTML = b"<html><body><h1>404 Not Found</h1><hr>nginx</body></html>"
REFUSAL = b'{"success":false,"error":{"code":"ApiForbidden","message":"no"}}'
STATUSES = [400, 401, 403, 404, 405, 410, 418, 422, 451]


class Login:
    """A token source that counts how often it is renewed."""

    def __init__(self) -> None:
        self.origin = "made up"
        self.tokens = ["made-up-0"]
        self._lock = threading.Lock()

    def current(self) -> Secret:
        return Secret(self.tokens[-1])

    def refresh(self, refused: Secret) -> Secret:
        with self._lock:
            if refused == Secret(self.tokens[-1]):
                self.tokens.append(f"made-up-{len(self.tokens)}")
            return Secret(self.tokens[-1])

    @property
    def renewed(self) -> int:
        return len(self.tokens) - 1


def authorise(server: HttpServer, answer: Answer) -> AuthAnswer:
    server.answers |= {AUTH_PATH: [answer], CHECK: [NOTHING]}
    return Api(Http(server.url), Login()).authorise("1.2", CHANNEL)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.defect("A.7a")
def test_a_page_of_a_gateway_denies_no_channel(server: HttpServer, status: int) -> None:
    answer = authorise(server, Answer(status, HTML))
    assert isinstance(answer, Unavailable)
    assert f"answered {status}, which is not ChatApp's own answer" in answer.reason
    assert "--api-url" in answer.reason


BODIES: dict[str, tuple[int, bytes, type[AuthAnswer]]] = {
    "ChatApp's": (403, REFUSAL, Denied),
    "Laravel's": (403, b'{"message":""}', Denied),
    "Laravel's 404": (404, b'{"message":"Not found"}', Denied),
    "half an emoji": (403, b'{"message":"no \\ud83d"}', Denied),
    "an error as text": (400, b'{"error":"no"}', Denied),
    "an odd error": (422, b'{"success":false,"error":[5]}', Denied),
    "empty 403": (403, b"", Denied),
    "empty 404": (404, b"", Unavailable),
    "empty 405": (405, b"", Unavailable),
    "JSON without an error": (403, b"{}", Unavailable),
    "a JSON array": (403, b"[]", Unavailable),
    "text": (403, b"Forbidden", Unavailable),
}


@pytest.mark.parametrize(("status", "body", "kind"), BODIES.values(), ids=BODIES)
def test_whose_answer_it_is_is_told_by_its_body(
    server: HttpServer, status: int, body: bytes, kind: type[AuthAnswer]
) -> None:
    assert type(authorise(server, Answer(status, body))) is kind


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.defect("A2.16a")
def test_a_deploy_does_not_end_a_tail_that_was_ready(status: int, no_jitter: None) -> None:
    sick = threading.Event()
    pages: list[Call] = []

    def answer(call: Call) -> Answer:
        if not sick.is_set() or len(pages) == 2:
            return signed(call)
        pages.append(call)
        return Answer(status, HTML)

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.establish()
        peer.wait_event("pusher:subscribe")
        peer.confirm(CHANNEL)
        sick.set()
        peer.fin()

    with HttpEndpoint(answer) as endpoint, Pusher(script, well) as server:
        api = Api(Http(endpoint.url), Login())
        with Client(server, auth=api.authorise) as client:
            client.wait_for(items.Ready, count=2)
            assert len(pages) == 2
            assert all("not ChatApp's own" in reason for reason in client.troubles())


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", [HTML, b""], ids=["a page", "nothing"])
@pytest.mark.defect("A.7b")
def test_a_refresh_that_something_else_refuses_may_be_tried_again(
    server: HttpServer, status: int, body: bytes
) -> None:
    server.answers[REFRESH] = [Answer(status, body)]
    with pytest.raises(ApiError, match=str(status)):
        refresh_tokens(Http(server.url), Secret("old-made-up"))


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_refresh_that_chatapp_refuses_is_over(server: HttpServer, status: int) -> None:
    server.answers[REFRESH] = [Answer(status, REFUSAL)]
    with pytest.raises(CredentialsError, match="chatapp-tail login"):
        refresh_tokens(Http(server.url), Secret("old-made-up"))


# --- what a 401 says of the token

CALLS: dict[str, Callable[[Api], object]] = {
    "history": lambda api: api.get("/v1/x", {}),
    "licences": lambda api: api.licenses(retry=False),
}


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.defect("A.3")
def test_a_refusal_with_a_good_token_costs_no_login(server: HttpServer, status: int) -> None:
    server.answers |= {"/v1/x": [Answer(status, REFUSAL)], CHECK: [NOTHING]}
    login = Login()
    api = Api(Http(server.url), login)
    for _ in range(40):
        reply = api.get("/v1/x", {})
        assert (reply.status, reply.ok) == (status, False)
    assert login.renewed == 0


@pytest.mark.defect("A.3")
def test_licences_that_are_refused_with_a_good_token_cost_no_login(server: HttpServer) -> None:
    server.answers |= {LICENSES: [Answer(401, REFUSAL)], CHECK: [NOTHING]}
    login = Login()
    with pytest.raises(ApiError, match=r"401.*check what this account may see"):
        Api(Http(server.url), login).licenses(retry=False)
    assert login.renewed == 0


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_page_with_401_costs_no_login(server: HttpServer, call: Callable[[Api], object]) -> None:
    server.answers |= {"/v1/x": [Answer(401, HTML)], LICENSES: [Answer(401, HTML)]}
    login = Login()
    try:
        call(Api(Http(server.url), login))
    except ApiError as error:
        print(error)
    assert login.renewed == 0
    assert CHECK not in server.paths()


@pytest.mark.defect("A2.23b")
def test_a_dead_token_is_renewed_in_the_midst_of_history_and_nothing_is_given_up(
    server: HttpServer,
) -> None:
    page = Answer(200, b'{"success":true,"data":{"items":[]}}')
    server.answers |= {"/v1/x": [Answer(401, REFUSAL), page], CHECK: [Answer(401, REFUSAL)]}
    login = Login()
    assert Api(Http(server.url), login).get("/v1/x", {}).ok
    assert login.renewed == 1


def test_requests_under_way_renew_a_dead_token_once(server: HttpServer) -> None:
    dead = threading.Barrier(8)

    def answer(call: Call) -> Answer:
        if call.request.headers["authorization"] == "made-up-0":
            dead.wait(30)
            return Answer(401, REFUSAL)
        return signed(call)

    def check(call: Call) -> Answer:
        good = call.request.headers["authorization"] != "made-up-0"
        return Answer(200 if good else 401, "{}" if good else REFUSAL)

    login, answers = Login(), []
    with HttpEndpoint(answer, check) as endpoint:
        api = Api(Http(endpoint.url), login)
        threads = [
            threading.Thread(target=lambda: answers.append(api.authorise("1.2", CHANNEL)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert [type(each) for each in answers] == [Granted] * 8
    assert login.renewed == 1
