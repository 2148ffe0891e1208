"""Where the access token comes from, and how it is kept out of sight."""

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from msgspec.structs import replace

from chatapp_tail.chatapp import token_store, tokens
from chatapp_tail.chatapp.api import Api
from chatapp_tail.chatapp.http import Http, Response
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.token_store import Login, TokenStore
from chatapp_tail.chatapp.tokens import (
    StaticToken,
    StoredLogin,
    TokenFile,
    TokenSource,
    choose_source,
    make_tokens,
    refresh_tokens,
)
from chatapp_tail.errors import ApiError, ChatAppTailError, CredentialsError
from chatapp_tail.pusher.answers import AuthAnswer, Denied, Granted, TokenRefused, Unavailable
from chatapp_tail.sandbox import Sandbox
from tests.factories import CHANNEL, log_in, login, state_of, token_pair
from tests.servers import Answer, HttpServer

from ...conftest import wait_until

LOOKS_RIGHT = "$2y$10$" + "a/B.9" * 10 + "xyz"
API = "https://api.example.invalid"


def choose(file: Path | None = None, **environment: str) -> TokenSource:
    return choose_source(file, environment, profile="default", http=Http(API), warn=print)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("from-the-file\n")
    return path


def test_a_secret_never_prints() -> None:
    secret = Secret("made-up")
    for text in (str(secret), repr(secret), f"{secret}", repr([secret]), f"{secret!r:>20}"):
        assert "made-up" not in text
    assert secret.reveal() == "made-up"
    assert secret == Secret("made-up")
    assert secret != Secret("other")
    assert secret != "made-up"


def test_the_file_wins_over_the_environment(file: Path) -> None:
    assert choose(file, CHATAPP_TOKEN="from-the-shell").current() == Secret("from-the-file")
    assert choose(CHATAPP_TOKEN="from-the-shell").current() == Secret("from-the-shell")


@pytest.mark.parametrize("text", [f" {LOOKS_RIGHT}\n", f"{LOOKS_RIGHT}\r\n", f"\t{LOOKS_RIGHT}"])
def test_space_around_a_token_is_not_part_of_it(text: str) -> None:
    assert choose(CHATAPP_TOKEN=text).current() == Secret(LOOKS_RIGHT)


BAD = {
    "empty": "",
    "blank": " \n",
    "two words": "made up",
    "two lines": "made\nup",
    "NUL": "made\0up",
    "header injection": "made\r\nX: up",
    "not ASCII": "mäde-up",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_no_token_can_be_is_refused_without_being_shown(text: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(text.encode())
    for chosen in (path, None):
        with pytest.raises(CredentialsError) as raised:
            choose(chosen, CHATAPP_TOKEN=text)
        assert not text.strip() or text.strip() not in str(raised.value)
        assert "\n" not in str(raised.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="No such file"):
        choose(tmp_path / "nowhere")
    with pytest.raises(CredentialsError, match="directory"):
        choose(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialsError, match="not text"):
        choose(tmp_path / "binary")


def test_none_at_all_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(CredentialsError) as raised:
        choose()
    for way in ("chatapp-tail login", "CHATAPP_TOKEN", "--token-file", "--sandbox"):
        assert way in str(raised.value)


def test_a_file_is_read_again_when_its_token_is_refused(file: Path) -> None:
    source = TokenFile(file)
    with pytest.raises(CredentialsError, match="still holds it"):
        source.refresh(source.current())
    file.write_text("another\n")
    assert source.refresh(Secret("from-the-file")) == Secret("another")
    assert source.current() == Secret("another")


@pytest.mark.parametrize(
    ("token", "advice"), [(LOOKS_RIGHT, "24 hours"), ("y0", "single quotes")], ids=["good", "cut"]
)
def test_a_refused_token_of_the_environment_gets_the_next_step(token: str, advice: str) -> None:
    source = StaticToken(Secret(token))
    with pytest.raises(CredentialsError, match=advice) as raised:
        source.refresh(source.current())
    assert token not in str(raised.value)


# --- the stored login


class Refresher(Http):
    """Gives the next pair for the pair before it, and remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(API)
        self.given: list[Secret] = []
        self.error: ChatAppTailError | None = None

    def send(self, method: str, path: str, *, headers: Mapping[str, str], **_: object) -> Response:
        assert (method, path) == ("POST", "/v1/tokens/refresh")
        self.given.append(Secret(headers["Refresh"]))
        if self.error:
            raise self.error
        new = token_pair(len(self.given) + 1)
        data = {
            "cabinetUserId": new.user_id,
            "accessToken": new.access_token,
            "refreshToken": new.refresh_token,
        }
        content = json.dumps({"data": data}).encode()
        return Response(200, content, {}, "POST /v1/tokens/refresh", None, is_json=True)


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    store = TokenStore(tmp_path / "state")
    store.save("default", login(1))
    return store


@pytest.fixture
def http() -> Refresher:
    return Refresher()


@pytest.fixture
def source(store: TokenStore, http: Refresher) -> StoredLogin:
    """The login that the store has, and `http` refreshes."""
    return StoredLogin(store, "default", login(1), http)


def test_a_refused_token_is_refreshed_and_both_are_kept(
    store: TokenStore, source: StoredLogin, http: Refresher
) -> None:
    assert source.current() == token_pair(1).access
    assert source.refresh(token_pair(1).access) == token_pair(2).access
    assert source.current() == token_pair(2).access
    assert http.given == [token_pair(1).refresh]
    kept = store.load("default")
    assert kept
    assert kept.pair == token_pair(2)
    assert kept.refreshed == pytest.approx(time.time(), abs=60)


def test_what_another_process_has_stored_is_taken(
    store: TokenStore, source: StoredLogin, http: Refresher
) -> None:
    store.save("default", login(7))
    assert source.refresh(token_pair(1).access) == token_pair(7).access
    assert http.given == []
    assert source.current() == token_pair(7).access


def test_threads_refused_at_once_refresh_once(source: StoredLogin, http: Refresher) -> None:
    together = threading.Barrier(8)

    def renew(_: int) -> Secret:
        together.wait(30)
        return source.refresh(token_pair(1).access)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(renew, range(8))) == {token_pair(2).access}
    assert len(http.given) == 1


def test_two_sources_of_one_store_refresh_once(store: TokenStore) -> None:
    http = Refresher()
    sources = [StoredLogin(store, "default", login(1), http) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        found = set(pool.map(lambda source: source.refresh(token_pair(1).access), sources))
    assert found == {token_pair(2).access}
    assert len(http.given) == 1


@pytest.mark.parametrize("error", [ApiError("no network"), CredentialsError("dead")], ids=str)
def test_a_refresh_that_fails_changes_nothing(
    store: TokenStore, error: ChatAppTailError, source: StoredLogin, http: Refresher
) -> None:
    http.error = error
    with pytest.raises(type(error), match=str(error)):
        source.refresh(token_pair(1).access)
    assert source.current() == token_pair(1).access
    assert store.load("default") == login(1)
    http.error = None
    assert source.refresh(token_pair(1).access) != token_pair(1).access


def test_a_login_that_was_removed(store: TokenStore, source: StoredLogin) -> None:
    store.remove("default")
    with pytest.raises(CredentialsError, match="chatapp-tail login"):
        source.refresh(token_pair(1).access)


OTHERS = {
    "another API": (login(7, "https://other.example.invalid"), ["other.example.invalid"]),
    "another email": (
        Login("b@example.invalid", "app_1", API, token_pair(7)),
        ["replaced by one of ", "b@example.invalid", "app_1", "--profile"],
    ),
    "another appId": (
        Login("a@example.invalid", "app_2", API, token_pair(7)),
        ["replaced by one of ", "a@example.invalid", "app_2", "--profile"],
    ),
}


@pytest.mark.defect("A.17b")
@pytest.mark.parametrize(("other", "words"), OTHERS.values(), ids=OTHERS)
def test_a_login_of_somebody_else_is_never_taken(
    store: TokenStore, other: Login, words: list[str], source: StoredLogin, http: Refresher
) -> None:
    """Someone logged in as another, or elsewhere, meanwhile, under the same profile."""
    store.save("default", other)
    with pytest.raises(CredentialsError) as raised:
        source.refresh(token_pair(1).access)
    assert [word for word in words if word not in str(raised.value)] == []
    assert source.current() != token_pair(7).access
    assert http.given == []


@pytest.mark.parametrize(
    "url", [API + "/", API.upper(), API + ":443", "http://api.example.invalid"]
)
def test_a_stored_login_is_for_its_own_api_only(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    TokenStore().save("default", login(1))
    assert choose().current() == token_pair(1).access
    with pytest.raises(CredentialsError, match="stored login is for") as raised:
        choose_source(None, {}, profile="default", http=Http(url), warn=print)
    assert "made-up" not in str(raised.value)


@pytest.mark.parametrize("age", [0.0, 290.0])
@pytest.mark.defect("A.3")
def test_a_pair_that_is_young_is_not_refreshed_again(store: TokenStore, age: float) -> None:
    """The service refuses what it gave a moment ago: it is at odds with itself, and may agree."""
    young = replace(login(1), refreshed=time.time() - age)
    store.save("default", young)
    http = Refresher()
    source = StoredLogin(store, "default", young, http)
    with pytest.raises(ApiError, match="is refused again; it is not refreshed more than once"):
        source.refresh(token_pair(1).access)
    assert http.given == []
    assert source.current() == token_pair(1).access


OLD_ENOUGH = {
    "five minutes": lambda now: {"refreshed": now - 301},
    "never refreshed": lambda now: {"refreshed": 0.0},
    "a clock that was set back": lambda now: {"refreshed": now + 3600},
    "over by its own word": lambda now: {
        "refreshed": now - 9,
        "pair": replace(token_pair(1), access_end=int(now) - 1),
    },
}


@pytest.mark.parametrize("changes", OLD_ENOUGH.values(), ids=OLD_ENOUGH)
def test_a_pair_that_is_old_enough_is_refreshed(
    store: TokenStore, changes: Callable[[float], dict[str, Any]]
) -> None:
    old = replace(login(1), **changes(time.time()))
    store.save("default", old)
    source = StoredLogin(store, "default", old, Refresher())
    assert source.refresh(token_pair(1).access) == token_pair(2).access


@pytest.mark.defect("A2.17")
def test_nothing_is_refreshed_that_could_not_be_saved(
    monkeypatch: pytest.MonkeyPatch, source: StoredLogin, http: Refresher
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ApiError, match="No space left"):
            source.refresh(token_pair(1).access)
    assert http.given == []
    assert source.refresh(token_pair(1).access) == token_pair(2).access


def full(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("cause", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
@pytest.mark.defect("A.17")
def test_a_pair_that_cannot_be_saved_is_used_and_saved_later(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch, cause: int
) -> None:
    warnings: list[str] = []
    http = Refresher()
    monkeypatch.setattr(tokens, "_SAVE_INTERVAL", 0.01)
    source = StoredLogin(store, "default", login(1), http, warnings.append)
    with monkeypatch.context() as patched:

        def fail(*_: object, **__: object) -> None:
            raise OSError(cause, os.strerror(cause))

        patched.setattr(token_store, "write_atomically", fail)
        assert source.refresh(token_pair(1).access) == token_pair(2).access
        assert source.refresh(token_pair(1).access) == token_pair(2).access
        assert source.current() == token_pair(2).access
        assert store.load("default") == login(1)
    wait_until(lambda: store.load("default") != login(1), "the pair to be saved")
    kept = store.load("default")
    assert kept
    assert kept.pair == token_pair(2)
    (warning,) = warnings
    assert os.strerror(cause) in warning
    assert len(http.given) == 1


def test_a_pair_that_could_not_be_saved_does_not_replace_a_new_login(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch, source: StoredLogin
) -> None:
    monkeypatch.setattr(tokens, "_SAVE_INTERVAL", 0.01)
    with monkeypatch.context() as patched:

        def fail(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patched.setattr(token_store, "write_atomically", fail)
        source.refresh(token_pair(1).access)
    with store.locked():
        store.save("default", login(9))
    assert source.refresh(token_pair(2).access) == token_pair(9).access
    assert store.load("default") == login(9)


@pytest.mark.parametrize("first", ["", " ", "half"])
@pytest.mark.defect("A.29d")
def test_a_file_that_is_just_rewritten_is_read_again(file: Path, first: str) -> None:
    source = TokenFile(file)
    file.write_text(first)
    read = threading.Event()

    def finish() -> None:
        read.wait(30)
        file.write_text("half-and-half\n")

    writer = threading.Thread(target=finish)
    writer.start()

    class Watched(type(file)):  # type: ignore[misc]
        def read_text(self, *args: Any, **kwargs: Any) -> str:
            try:
                return str(super().read_text(*args, **kwargs))
            finally:
                read.set()
                writer.join(30)

    source._path = Watched(file)
    assert source.refresh(Secret("from-the-file")) == Secret("half-and-half")
    writer.join()


def test_a_file_that_stays_empty_is_an_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_REWRITE_TIMEOUT", 0.2)
    source = TokenFile(file)
    file.write_text("")
    with pytest.raises(CredentialsError, match="is empty"):
        source.refresh(Secret("from-the-file"))


# --- what the service gives

GIVEN: dict[str, Any] = {
    "cabinetUserId": 685,
    "accessToken": "access-made-up",
    "accessTokenEndTime": 1_900_000_000,
    "refreshToken": "refresh-made-up",
    "refreshTokenEndTime": 1_900_000_001,
}


def pair_answer(**changed: object) -> Answer:
    body = {"success": True, "data": {**GIVEN, **changed}}
    return Answer(body=json.dumps(body))


def test_the_requests(server: HttpServer) -> None:
    server.answers |= {"/v1/tokens": [pair_answer()], "/v1/tokens/refresh": [pair_answer()]}
    http = Http(server.url)
    made = make_tokens(http, "a@example.invalid", Secret("geheim"), "app_1")
    refreshed = refresh_tokens(http, Secret("refresh-made-up"))
    assert made == refreshed
    assert made.access == Secret("access-made-up")
    login_asked, refresh_asked = server.asked
    fields = {"email": "a@example.invalid", "password": "geheim", "appId": "app_1"}
    assert json.loads(login_asked.body) == fields
    assert refresh_asked.headers["Refresh"] == "refresh-made-up"
    assert refresh_asked.headers["Authorization"] is None
    assert refresh_asked.body == b""


UNIMPORTANT = {
    "user id as text": {"cabinetUserId": "685"},
    "user id is null": {"cabinetUserId": None},
    "an end with a fraction": {"accessTokenEndTime": 1_900_000_000.5},
    "an end as text": {"accessTokenEndTime": "1900000000"},
    "an end is null": {"refreshTokenEndTime": None},
    "one member more": {"new": [1]},
    "half an emoji": {"name": "\ud83d"},
}


@pytest.mark.parametrize("changed", UNIMPORTANT.values(), ids=UNIMPORTANT)
def test_a_new_pair_is_not_lost_for_what_is_not_needed(
    server: HttpServer, changed: dict[str, object]
) -> None:
    """The old pair is void by now: without the new tokens only a login helps."""
    server.answers["/v1/tokens/refresh"] = [pair_answer(**changed)]
    found = refresh_tokens(Http(server.url), Secret("old"))
    assert (found.access_token, found.refresh_token) == ("access-made-up", "refresh-made-up")


UNUSABLE = {
    "no access token": {"accessToken": None},
    "an empty token": {"accessToken": ""},
    "a token with a line in it": {"accessToken": "made\r\nX: up"},
}


@pytest.mark.parametrize("changed", UNUSABLE.values(), ids=UNUSABLE)
def test_a_pair_that_no_request_could_carry_is_refused(
    server: HttpServer, changed: dict[str, object]
) -> None:
    server.answers["/v1/tokens"] = [pair_answer(**changed)]
    with pytest.raises(ApiError) as raised:
        make_tokens(Http(server.url), "a@example.invalid", Secret("geheim"), "app_1")
    for secret in ("geheim", "made"):
        assert secret not in str(raised.value)


PASSING = [Answer(status) for status in (408, 425, 429, 500, 502, 503, 504)]


@pytest.mark.parametrize("answer", PASSING, ids=lambda answer: str(answer.status))
def test_a_refresh_that_fails_in_passing_is_no_refusal(server: HttpServer, answer: Answer) -> None:
    server.answers["/v1/tokens/refresh"] = [answer]
    with pytest.raises(ApiError):
        refresh_tokens(Http(server.url), Secret("old-made-up"))
    assert len(server.asked) == 1, "it may have been carried out, so it is not repeated"


@pytest.mark.parametrize("status", [200, 401, 403])
def test_a_refresh_that_is_refused(server: HttpServer, status: int) -> None:
    body = b'{"success":false,"error":{"code":"ApiInvalidTokenError","message":"Invalid Token"}}'
    server.answers["/v1/tokens/refresh"] = [Answer(status, body)]
    with pytest.raises(CredentialsError, match="run chatapp-tail login") as raised:
        refresh_tokens(Http(server.url), Secret("old-made-up"))
    assert "old-made-up" not in str(raised.value)


# --- tokens that die while something is known of them


def test_a_token_that_died_since_it_was_checked_is_not_taken_for_a_good_one(
    server: HttpServer,
) -> None:
    """One channel was refused with a good token; seconds later the token dies, with a bare 401."""
    server.answers |= {
        "/broadcasting/auth": [Answer(403, b""), Answer(401, b"")],
        "/v1/tokens/check": [Answer(200, b'{"success":true}'), Answer(401, b"")],
    }
    api = Api(Http(server.url), StaticToken(Secret(LOOKS_RIGHT)))
    api.authorise("1.2", CHANNEL)
    assert isinstance(api.authorise("1.2", CHANNEL), TokenRefused)


def test_a_renewed_token_is_not_judged_by_the_old_one(
    server: HttpServer, source: StoredLogin
) -> None:
    server.answers |= {
        "/broadcasting/auth": [Answer(403, b""), Answer(200, b'{"auth":"k:s"}')],
        "/v1/tokens/check": [Answer(401, b""), Answer(200, b'{"success":true}')],
    }
    assert api_answer(server, source) == Granted("k:s")
    sent = [each.headers["Authorization"] for each in server.asked]
    assert sent == ["access-made-up-1", "access-made-up-1", "access-made-up-2"]


def api_answer(server: HttpServer, source: TokenSource) -> object:
    return Api(Http(server.url), source).authorise("1.2", CHANNEL)


# --- a stored login against the service


def api_of(sandbox: Sandbox, home: Path, *, timeout: float = 10.0) -> Api:
    http = Http(sandbox.api_url, timeout=timeout)
    store = TokenStore(state_of(home))
    login = store.load("default")
    assert login is not None
    return Api(http, StoredLogin(store, "default", login, http))


def test_many_threads_renew_once(sandbox: Sandbox, home: Path) -> None:
    log_in(sandbox, home)
    sandbox.expire_access_tokens()
    api = api_of(sandbox, home)
    together = threading.Barrier(8)

    def ask(number: int) -> AuthAnswer:
        together.wait(10)
        return api.authorise(f"{number}.1", CHANNEL)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    # Nobody is connected, so no channel is granted; but no token is refused either.
    assert {type(answer) for answer in found} == {Denied}
    assert sandbox.tokens_refreshed == 1


@pytest.fixture
def held_lock(sandbox: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store whose lock another process keeps for longer than anybody waits."""
    log_in(sandbox, home)
    monkeypatch.setattr(token_store, "_LOCK_TIMEOUT", 0.1)
    with FileLock(state_of(home) / "tokens.json.lock"):
        yield state_of(home)


def test_a_lock_that_is_held_for_long_is_a_passing_trouble(
    sandbox: Sandbox, home: Path, held_lock: Path
) -> None:
    """Its holder waits for a slow network, perhaps; that must not end all the others."""
    sandbox.expire_access_tokens()
    found = api_of(sandbox, home).authorise("1.1", CHANNEL)
    assert isinstance(found, Unavailable), found
    assert str(held_lock) in found.reason


def test_a_refresh_that_gets_no_answer_is_a_passing_trouble(sandbox: Sandbox, home: Path) -> None:
    log_in(sandbox, home)
    sandbox.expire_access_tokens()
    sandbox.faults.hang_api("/v1/tokens/refresh", calls=1)
    found = api_of(sandbox, home, timeout=0.3).authorise("1.1", CHANNEL)
    assert isinstance(found, Unavailable)
    assert "no answer within" in found.reason
    assert not isinstance(api_of(sandbox, home).authorise("1.1", CHANNEL), TokenRefused)


@pytest.mark.parametrize("status", [404, 405, 302])
def test_a_refresh_endpoint_that_is_gone_for_a_while_does_not_end_a_tail(
    status: int, sandbox: Sandbox, home: Path
) -> None:
    log_in(sandbox, home)
    sandbox.expire_access_tokens()
    sandbox.faults.answer_api("/v1/tokens/refresh", status, calls=1)
    found = api_of(sandbox, home).authorise("1.1", CHANNEL)
    assert isinstance(found, Unavailable), found
    assert not isinstance(found, Granted)
