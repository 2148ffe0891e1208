"""HTTP to the API: what is sent, what every answer means, and what is never sent elsewhere."""

import json
import threading
import time
from pathlib import Path

import pytest

from chatapp_tail import __version__
from chatapp_tail.chatapp.http import AUTH_PATH, Http, parse_url
from chatapp_tail.errors import ApiError
from tests.servers import Answer, HttpServer

from ...conftest import TIMEOUT_SCALE

TOKEN = {"Authorization": "made-up-token"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.example.invalid", "https://api.example.invalid"),
        ("https://api.example.invalid/", "https://api.example.invalid"),
        ("http://127.0.0.1:8080/base//", "http://127.0.0.1:8080/base"),
        ("http://[::1]:1", "http://[::1]:1"),
    ],
)
def test_parse_url(url: str, expected: str) -> None:
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="nothing"),
        pytest.param("api.example.invalid", id="no scheme"),
        pytest.param("wss://h", id="another scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("https:///path", id="path without a host"),
        pytest.param("https://user:password@h", id="credentials"),
        pytest.param("https://h?x=1", id="query"),
        pytest.param("https://h#x", id="fragment"),
        pytest.param("https://h:0", id="port 0"),
        pytest.param("https://h:65536", id="port too high"),
        pytest.param("https://h:x", id="port by name"),
        pytest.param("https://[::1", id="half an IPv6 address"),
        pytest.param("https://a..b", id="empty label in the host"),
        pytest.param("https://" + "a" * 64, id="label too long for DNS"),
        pytest.param("https://a b", id="space in the host"),
        pytest.param("https://h/\x1b[31m", id="escape in the path"),
        pytest.param("https://h?", id="empty query"),
        pytest.param(" https://h", id="space before"),
    ],
)
def test_what_no_api_can_be_at_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_url(url)


def test_what_is_sent(server: HttpServer) -> None:
    Http(server.url).send("POST", AUTH_PATH, headers=TOKEN, form={"a": "1 2", "b": "é"})
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/broadcasting/auth")
    assert asked.headers["Authorization"] == "made-up-token"
    assert asked.headers["User-Agent"] == f"chatapp-tail/{__version__}"
    assert asked.headers["Accept"] == "application/json"
    assert asked.body == b"a=1+2&b=%C3%A9"


def test_json_and_query_are_sent(server: HttpServer) -> None:
    Http(server.url + "/base").send("POST", "/x", headers={}, json={"a": "é"}, query={"q": "1&2"})
    (asked,) = server.asked
    assert asked.path == "/base/x?q=1%262"
    assert json.loads(asked.body) == {"a": "é"}


REPLIES = {
    "200": (Answer(200, b'{"auth":"k:s"}'), {"ok": True}),
    "204": (Answer(204, b""), {"ok": True}),
    "200 that failed": (Answer(200, b'{"success":false}'), {"ok": False}),
    "200, invalid token": (
        Answer(200, b'{"success":false,"error":{"code":"ApiInvalidTokenError","message":"m"}}'),
        {"ok": False, "token_refused": True},
    ),
    "403, invalid token": (
        Answer(403, b'{"error":{"code":"ApiInvalidTokenError"}}'),
        {"ok": False, "token_refused": True},
    ),
    "401": (Answer(401, b""), {"ok": False, "token_refused": True}),
    "403": (Answer(403, b"{}"), {"ok": False, "token_refused": False, "retryable": False}),
    "404": (Answer(404, b"<html>"), {"ok": False, "token_refused": False, "retryable": False}),
    "408": (Answer(408), {"ok": False, "retryable": True}),
    "429": (Answer(429), {"ok": False, "retryable": True}),
    "500": (Answer(500), {"ok": False, "retryable": True}),
    "503": (Answer(503), {"ok": False, "retryable": True}),
    "302": (Answer(302), {"ok": False, "retryable": False}),
    "not JSON": (Answer(200, b"\xff<html>"), {"ok": True}),
    "JSON of another shape": (Answer(200, b"[5]"), {"ok": True}),
    "nesting without end": (Answer(200, b"[" * 100_000), {"ok": True}),
}


@pytest.mark.parametrize(("answer", "expected"), REPLIES.values(), ids=REPLIES.keys())
def test_replies(server: HttpServer, answer: Answer, expected: dict[str, bool]) -> None:
    server.answers[AUTH_PATH] = [answer]
    reply = Http(server.url).send("POST", AUTH_PATH, headers=TOKEN)
    assert {name: getattr(reply, name) for name in expected} == expected
    assert reply.status == answer.status
    assert str(answer.status) in reply.summary
    assert "made-up-token" not in reply.summary
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("0", 0.0), ("", None), ("soon", None), ("-1", None), ("1.5", None)],
)
def test_retry_after(server: HttpServer, text: str, seconds: float | None) -> None:
    server.answers[AUTH_PATH] = [Answer(429, headers=f"Retry-After: {text}\r\n")]
    assert Http(server.url).send("POST", AUTH_PATH, headers=TOKEN).retry_after == seconds


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_token_goes_nowhere(
    server: HttpServer, status: int
) -> None:
    with HttpServer() as other:
        location = f"Location: {other.url}/elsewhere\r\n"
        server.answers[AUTH_PATH] = [Answer(status, headers=location)]
        reply = Http(server.url).send("POST", AUTH_PATH, headers=TOKEN)
        assert reply.status == status
        assert f"{other.url}/elsewhere" in reply.summary
        assert other.asked == []


def test_cookies_are_not_kept(server: HttpServer) -> None:
    server.answers[AUTH_PATH] = [Answer(headers="Set-Cookie: a=1; Path=/\r\n")]
    http = Http(server.url)
    for _ in range(2):
        http.send("POST", AUTH_PATH, headers=TOKEN)
    assert [asked.headers["Cookie"] for asked in server.asked] == [None, None]


def test_netrc_does_not_replace_the_token(
    server: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login made-up password made-up\n")
    monkeypatch.setenv("NETRC", str(netrc))
    Http(server.url).send("POST", AUTH_PATH, headers=TOKEN)
    assert server.asked[0].headers["Authorization"] == "made-up-token"


def test_nobody_listens(closed_port: int) -> None:
    http = Http(f"http://127.0.0.1:{closed_port}")
    with pytest.raises(ApiError, match=r"POST .* failed: Connection refused") as raised:
        http.send("POST", AUTH_PATH, headers=TOKEN)
    assert "made-up-token" not in str(raised.value)


def test_no_answer(server: HttpServer) -> None:
    server.answers[AUTH_PATH] = [Answer(gate=threading.Event())]
    start = time.monotonic()
    with pytest.raises(ApiError, match=r"no answer within 0\.2 s"):
        Http(server.url, timeout=0.2).send("POST", AUTH_PATH, headers=TOKEN)
    assert time.monotonic() - start < 10.0 * TIMEOUT_SCALE


def test_a_name_that_cannot_be_resolved() -> None:
    with pytest.raises(ApiError, match="failed"):
        Http("http://made-up.invalid").send("POST", AUTH_PATH, headers=TOKEN)


@pytest.mark.parametrize("failure", [408, 425, 429, 500, 502, 503, 504])
def test_a_get_that_fails_in_passing_is_repeated(server: HttpServer, failure: int) -> None:
    server.answers["/v1/licenses"] = [Answer(failure), Answer(200)]
    http = Http(server.url)
    assert http.get_with_retries("/v1/licenses", headers=TOKEN).ok
    assert server.paths() == ["/v1/licenses"] * 2
    assert all(asked.headers["Authorization"] == "made-up-token" for asked in server.asked)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/licenses"),
        ("POST", "/v1/licenses"),
        ("POST", "/v1/tokens"),
        ("POST", "/v1/tokens/refresh"),
        ("POST", AUTH_PATH),
    ],
)
def test_what_is_sent_once_is_not_repeated(server: HttpServer, method: str, path: str) -> None:
    server.answers[path] = [Answer(503), Answer(200)]
    assert Http(server.url).send(method, path, headers=TOKEN).status == 503
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404])
def test_patience_does_not_repeat_what_will_not_get_better(server: HttpServer, status: int) -> None:
    server.answers["/v1/licenses"] = [Answer(status), Answer(204)]
    reply = Http(server.url).get_with_retries("/v1/licenses", headers=TOKEN)
    assert reply.status == status
    assert len(server.asked) == 1


@pytest.mark.parametrize("asked", ["soon", "1.5", "-1", ""])
def test_a_retry_after_that_cannot_be_read_is_none(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    server.answers["/v1/licenses"] = [Answer(503, headers=f"Retry-After: {asked}\r\n"), Answer(200)]
    assert Http(server.url).get_with_retries("/v1/licenses", headers=TOKEN).ok


def test_patience_does_not_rub_off(server: HttpServer) -> None:
    http = Http(server.url)
    assert http.get_with_retries("/v1/licenses", headers=TOKEN).ok
    server.answers["/v1/licenses"] = [Answer(503), Answer(200)]
    assert http.send("GET", "/v1/licenses", headers=TOKEN).status == 503


def test_patience_ends_with_the_last_answer(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    server.answers["/v1/licenses"] = [Answer(503)]
    reply = Http(server.url).get_with_retries("/v1/licenses", headers=TOKEN)
    assert reply.status == 503
    assert len(server.asked) == 5
    assert waited == sorted(set(waited))  # longer each time
    assert 1.0 <= sum(waited) <= 30.0


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        ("7", 7),
        ("60", 60),
        ("61", 60),
        ("86400", 60),
        ("9" * 30, 60),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60),
    ],
)
def test_retry_after_cannot_make_it_wait_long(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch, asked: str, waits: int
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    again = Answer(503, headers=f"Retry-After: {asked}\r\n")
    server.answers["/v1/licenses"] = [again, Answer(200)]
    assert Http(server.url).get_with_retries("/v1/licenses", headers=TOKEN).ok
    assert waited == [waits]
