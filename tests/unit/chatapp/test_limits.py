"""Whatever an answer is and however it comes: a reply or an ApiError, in time and little room."""

import gzip
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatapp_tail.chatapp.api import Api
from chatapp_tail.chatapp.http import AUTH_PATH, Http, Response
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.token_store import Login, TokenPair, TokenStore
from chatapp_tail.chatapp.tokens import StaticToken, StoredLogin, refresh_tokens
from chatapp_tail.errors import ApiError, CredentialsError
from chatapp_tail.net import Proxy
from chatapp_tail.pusher.answers import Granted, Unavailable
from tests.conftest import TIMEOUT_SCALE
from tests.factories import CHANNEL
from tests.servers import Answer, HttpServer

TIMEOUT = 0.3
"""Of one wait; three times as much for the whole."""
IN_TIME = 10.0 * TIMEOUT_SCALE


def answering(status: int, body: bytes = b"", *headers: str, length: bool = True) -> bytes:
    """An HTTP answer as bytes."""
    lines = [f"HTTP/1.1 {status} Whatever", *headers, "Connection: close"]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def answering_with(raw: bytes, pause: float = 0.0) -> HttpServer:
    """A server that answers everything with these bytes."""
    return HttpServer(lambda _: Answer(raw=raw, pause=pause))


class Way(NamedTuple):
    """One of the two ways to the API."""

    name: str
    ask: Callable[[Http], Response]


def odd(http: Http) -> Http:
    """The same at a URL for which `requests` is needed."""
    return Http(f"{http.url}/%20", proxy=http._given_proxy, timeout=http._timeout)


DIRECT = Way("direct", lambda http: http.send("POST", AUTH_PATH, headers={}, form={"a": "b"}))
SESSION = Way("session", lambda http: odd(http).send("GET", "/v1/x", headers={}))
both = pytest.mark.parametrize("way", [DIRECT, SESSION], ids=lambda way: way.name)


def api_at(url: str) -> Api:
    return Api(Http(url, timeout=TIMEOUT), StaticToken(Secret("made-up-token")))


DRIPS = {
    "the status line": b"HTTP/1.1 200 " + b"O" * 1000,
    "a header": b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 1000,
    "headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000,
    "continues": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "a body": answering(200, b" " * 1000),
    "a body without a length": answering(200, b" " * 1000, length=False),
    "chunks": answering(200, b"1\r\n \r\n" * 1000, "Transfer-Encoding: chunked", length=False),
}


@both
@pytest.mark.parametrize("answer", DRIPS.values(), ids=DRIPS)
@pytest.mark.defect("A.8")
def test_an_answer_that_drips_ends_at_the_deadline(answer: bytes, way: Way) -> None:
    with answering_with(answer, pause=0.05) as server:
        begun = time.monotonic()
        with pytest.raises(ApiError, match=r"no whole answer within 0\.9 s"):
            way.ask(Http(server.url, timeout=TIMEOUT))
        assert time.monotonic() - begun < IN_TIME


@contextmanager
def dripping_socks() -> Iterator[int]:
    """The port of a SOCKS proxy that accepts, and answers byte by byte from then on."""
    closing = threading.Event()

    def drip() -> None:
        with suppress(OSError), listener.accept()[0] as sock:
            for byte in b"\x05\x00" + b"\x05" * 300:
                sock.sendall(bytes([byte]))
                if closing.wait(0.2):
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        yield listener.getsockname()[1]
        closing.set()
        thread.join()


@contextmanager
def dripping_http() -> Iterator[int]:
    """The port of an HTTP proxy that drips its status line."""
    with answering_with(b"HTTP/1.1 200 " + b"O" * 1000, pause=0.1) as server:
        yield server.port


@pytest.mark.parametrize(
    ("scheme", "dripping"), [("http", dripping_http), ("socks5", dripping_socks)]
)
def test_a_proxy_that_drips_ends_at_the_deadline(
    scheme: str, dripping: Callable[[], AbstractContextManager[int]]
) -> None:
    with dripping() as port:
        proxy = Proxy.parse(f"{scheme}://127.0.0.1:{port}")
        begun = time.monotonic()
        with pytest.raises(ApiError, match="through the proxy"):
            DIRECT.ask(Http("https://api.example.invalid", proxy=proxy, timeout=TIMEOUT))
        assert time.monotonic() - begun < IN_TIME


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    resolve = socket.getaddrinfo

    def hang(host: str, port: int, **more: Any) -> Any:
        if "flags" not in more:  # else it asks about a numeric address
            over.wait(60)
        return resolve(host, port, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    begun = time.monotonic()
    with pytest.raises(ApiError, match="cannot be resolved: the resolver does not answer"):
        DIRECT.ask(Http("http://api.invalid", timeout=TIMEOUT))
    assert time.monotonic() - begun < IN_TIME
    over.set()


@pytest.mark.defect("A2.14a")
def test_eight_signatures_that_drip_do_not_keep_the_ninth_waiting() -> None:
    drip = Answer(raw=DRIPS["a body"], pause=0.05)
    with HttpServer() as server, ThreadPoolExecutor(8) as pool:
        server.answers[AUTH_PATH] = [drip] * 8 + [Answer(body=b'{"auth":"k:s"}')]
        api = api_at(server.url)
        answers = list(pool.map(lambda _: api.authorise("1.2", CHANNEL), range(9), timeout=IN_TIME))
    assert [type(answer) for answer in answers] == [Unavailable] * 8 + [Granted]


@pytest.mark.defect("A2.14b")
def test_a_page_of_history_that_drips_is_given_up_in_time() -> None:
    with answering_with(DRIPS["a body"], pause=0.05) as server:
        begun = time.monotonic()
        with pytest.raises(ApiError, match="no whole answer"):
            api_at(server.url).get("/v1/licenses/1/messengers/x/chats", {"limit": "100"})
        assert time.monotonic() - begun < IN_TIME


@pytest.mark.defect("A2.14d")
def test_a_refresh_that_drips_does_not_hold_the_lock_for_long(tmp_path: Path) -> None:
    pair = TokenPair(access_token="old", access_end=0, refresh_token="old-refresh", refresh_end=0)
    store = TokenStore(tmp_path)
    with answering_with(DRIPS["a body"], pause=0.05) as server:
        login = Login("a@example.invalid", "app", server.url, pair)
        store.save("default", login)
        source = StoredLogin(store, "default", login, Http(server.url, timeout=TIMEOUT))
        locked = threading.Event()

        def renew() -> None:
            locked.set()
            with pytest.raises(ApiError, match="no whole answer"):
                source.refresh(Secret("old"))

        thread = threading.Thread(target=renew)
        thread.start()
        locked.wait(IN_TIME)
        thread.join(IN_TIME)
        assert not thread.is_alive()
        with TokenStore(tmp_path).locked():
            assert store.load("default") == login


@pytest.mark.defect("A2.14c")
@pytest.mark.timeout(120)
def test_a_list_of_licences_that_drips_is_said_and_ends(tmp_path: Path) -> None:
    """With the timeouts that users have."""
    with answering_with(answering(200, b" " * 1000), pause=0.5) as server:
        done = subprocess.run(
            [sys.executable, "-m", "chatapp_tail", "lines", "--api-url", server.url],
            env={"HOME": str(tmp_path), "CHATAPP_TOKEN": "made-up"},
            capture_output=True,
            text=True,
            timeout=60 * TIMEOUT_SCALE,
        )
        assert done.returncode == 4
        assert "/v1/licenses failed: no whole answer within 30 s; check" in done.stderr
        assert len(server.asked) == 1


# --- room

MOST = 16 * 2**20
HUGE = {
    "a length": answering(200, b" " * (MOST + 1)),
    "no length": answering(200, b" " * (MOST + 1), length=False),
    "chunks": answering(
        200,
        b"1000000\r\n" + b" " * 2**24 + b"\r\n10\r\n" + b" " * 16 + b"\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked",
        length=False,
    ),
    "gzip": answering(200, gzip.compress(b" " * (MOST + 1)), "Content-Encoding: gzip"),
    "deflate": answering(200, zlib.compress(b" " * (MOST + 1)), "Content-Encoding: deflate"),
}


@both
@pytest.mark.parametrize("answer", HUGE.values(), ids=HUGE)
@pytest.mark.defect("A2.20a")
def test_a_body_that_is_larger_than_any_can_be_is_an_error(answer: bytes, way: Way) -> None:
    with answering_with(answer) as server, pytest.raises(ApiError, match="larger than 16 MiB"):
        way.ask(Http(server.url, timeout=10.0 * TIMEOUT_SCALE))


@both
def test_the_largest_body_there_can_be_is_read(way: Way) -> None:
    body = b'{"a":"' + b"x" * (MOST - 8) + b'"}'
    for answer in (
        answering(200, body),
        answering(200, gzip.compress(body), "Content-Encoding: gzip"),
    ):
        with answering_with(answer) as server:
            assert way.ask(Http(server.url, timeout=10.0 * TIMEOUT_SCALE)).content == body


def bomb() -> bytes:
    """A gibibyte of spaces in a mebibyte."""
    packer = zlib.compressobj(9, wbits=31)
    block = b" " * 2**20
    return b"".join([*(packer.compress(block) for _ in range(1024)), packer.flush()])


@both
@pytest.mark.defect("A2.20a")
def test_a_bomb_is_never_inflated(way: Way) -> None:
    program = """
import re, sys
from pathlib import Path
from chatapp_tail.chatapp.http import AUTH_PATH, Http
from chatapp_tail.errors import ApiError
url, way = sys.argv[1:]
http = Http(url)
try:
    if way == "direct":
        http.send("POST", AUTH_PATH, headers={}, form={"a": "b"})
    else:
        Http(url + "/%20").send("GET", "/v1/x", headers={})
except ApiError as error:
    print(error)
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
    with answering_with(answering(200, bomb(), "Content-Encoding: gzip")) as server:
        argv = [sys.executable, "-c", program, server.url, way.name]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    said, used = done.stdout.splitlines()
    assert "larger than 16 MiB" in said
    assert int(used) < 120 * 1024


# --- what it holds

ENCODED = {
    "gzip": (gzip.compress(b'{"auth":"k:s"}'), "gzip"),
    "two gzip members": (gzip.compress(b'{"auth"') + gzip.compress(b':"k:s"}'), "gzip"),
    "deflate": (zlib.compress(b'{"auth":"k:s"}'), "deflate"),
    "identity": (b'{"auth":"k:s"}', "identity"),
}


@both
@pytest.mark.parametrize(("body", "encoding"), ENCODED.values(), ids=ENCODED)
def test_encodings(body: bytes, encoding: str, way: Way) -> None:
    with answering_with(answering(200, body, f"Content-Encoding: {encoding}")) as server:
        assert way.ask(Http(server.url)).text == '{"auth":"k:s"}'


UNREADABLE = {
    "no header": (b"\x1f\x8b", "gzip"),
    "cut": (gzip.compress(b"x" * 99)[:-9], "gzip"),
    "another": (b"{}", "br"),
    "not encoded": (b"{}", "gzip"),
}


@both
@pytest.mark.parametrize(("body", "encoding"), UNREADABLE.values(), ids=UNREADABLE)
def test_encodings_that_cannot_be_read(body: bytes, encoding: str, way: Way) -> None:
    answer = answering(200, body, f"Content-Encoding: {encoding}")
    with answering_with(answer) as server, pytest.raises(ApiError):
        way.ask(Http(server.url))


CYRILLIC = '{"success":false,"message":"Сервис недоступен"}'.encode("windows-1251")


@both
@pytest.mark.parametrize("status", [200, 401, 403, 503])
@pytest.mark.defect("A.2")
def test_another_encoding_than_utf_8_is_read_as_far_as_it_can_be(status: int, way: Way) -> None:
    with answering_with(answering(status, CYRILLIC)) as server:
        reply = way.ask(Http(server.url))
    assert (reply.status, reply.is_json, reply.refuses) == (status, True, True)
    assert "\ufffd" in reply.text
    assert reply.content.decode() == reply.text


@pytest.mark.parametrize("status", [200, 401, 403, 503])
@pytest.mark.defect("A.2")
def test_no_call_fails_for_another_encoding(status: int) -> None:
    with answering_with(answering(status, CYRILLIC)) as server:
        api = api_at(server.url)
        api.authorise("1.2", CHANNEL)
        for call in (
            lambda: api.licenses(retry=False),
            lambda: refresh_tokens(Http(server.url), Secret("old-refresh")),
        ):
            with pytest.raises((ApiError, CredentialsError)):
                call()


HEADERS = st.lists(
    st.sampled_from(
        [
            b"Content-Length: 5",
            b"Content-Length: -1",
            b"Content-Length: 99999999999999999999",
            b"Content-Length: x",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip, chunked",
            b"Content-Encoding: gzip",
            b"Content-Encoding: \xff",
            b"Content-Type: text/html; charset=\xff",
            b"Set-Cookie: \xff=\x00; expires=soon",
            b"Location: http://[::1",
            b"Location: \xff\r\n folded",
            b"Retry-After: \xb2",
            b"Connection: upgrade",
            b"no colon at all",
            b": no name",
            b" folded",
        ]
    )
    | st.binary(max_size=30),
    max_size=6,
)
STATUS = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 403 \xff", b"HTTP/1.1 302 Found", b"HTTP/1.1 204 No",
     b"HTTP/1.1 999 X", b"HTTP/1.1 -1 X", b"HTTP/9.9 200 OK", b"HTTP/1.0 200", b"ICY 200 OK"]
) | st.binary(max_size=20)  # fmt: skip
BODY = st.binary(max_size=60) | st.sampled_from(
    [
        b'{"auth":"k:s"}',
        b'{"error":{"code":5}}',
        b'{"error":["x"],"message":{"a":1}}',
        b'{"message":"\\ud83d"}',
        b"[" * 5000,
        b'{"auth":' * 3000,
        b'5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n',
        b"zz\r\n",
        b"9" * 5000,
        b"\xef\xbb\xbf{}",
    ]
)


@both
@settings(max_examples=120, deadline=None)
@given(status=STATUS, headers=HEADERS, body=BODY)
def test_whatever_comes_is_a_reply_or_an_api_error(
    way: Way, status: bytes, headers: list[bytes], body: bytes
) -> None:
    with answering_with(b"\r\n".join([status, *headers, b"", body])) as server, suppress(ApiError):
        reply = way.ask(Http(server.url, timeout=5.0))
        assert reply.summary.startswith(("GET ", "POST "))
        assert reply.content.decode() == reply.text
        _ = reply.ok, reply.foreign, reply.retryable, reply.token_refused, reply.retry_after


@settings(max_examples=60, deadline=None)
@given(status=STATUS, headers=HEADERS, body=BODY)
def test_no_call_of_the_api_raises_anything_else(
    status: bytes, headers: list[bytes], body: bytes
) -> None:
    with answering_with(b"\r\n".join([status, *headers, b"", body])) as server:
        api = api_at(server.url)
        api.authorise("1.2", CHANNEL)
        for call in (
            lambda: api.licenses(retry=False),
            lambda: refresh_tokens(Http(server.url, timeout=5.0), Secret("old-refresh")),
            lambda: api.get("/v1/x", {}),
        ):
            with suppress(ApiError, CredentialsError):
                call()
