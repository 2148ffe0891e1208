"""The short way to the API: the same answers and the same sentences as `requests` gives."""

import gzip
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from chatapp_tail.chatapp.auth_connections import AuthConnections
from chatapp_tail.chatapp.http import AUTH_PATH, Http
from chatapp_tail.errors import ApiError
from tests.servers import Answer, HttpServer

HEADERS = {"Authorization": "made-up-token"}
FORM = {"socket_id": "1.2", "channel_name": "private-é"}
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"auth":"k:s"}'


@contextmanager
def scripted(*connections: Sequence[bytes | None]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives each connection its answers, one a request, and then ends it.

    An empty answer is never given: the connection stays silent. For None it ends at once.
    """
    heads: list[bytes] = []
    over = threading.Event()

    def serve() -> None:
        for answers in connections:
            sock, _ = listener.accept()
            with sock:
                for answer in answers:
                    heads.append(read_request(sock))
                    if answer is None:
                        break
                    sock.sendall(answer)
                    if not answer.endswith(b"}") and b"chunked" not in answer:
                        over.wait(20)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", heads
        finally:
            over.set()
            thread.join(20)


def read_request(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    (length,) = [each for each in head.split(b"\r\n") if each.startswith(b"Content-Length")]
    while len(body) < int(length.split()[1]):
        body += sock.recv(65536)
    return data


def post(http: Http, **changes: str) -> bytes:
    return http.send("POST", AUTH_PATH, headers=HEADERS, form=FORM | changes).content


@pytest.mark.parametrize(
    ("connections", "requests"),
    [([[OK, OK], [OK]], 3), ([[OK, None], [OK, OK]], 4)],
    ids=["between two requests", "as it is used"],
)
def test_a_kept_connection_that_the_server_ends_is_dialled_anew(
    connections: list[list[bytes | None]], requests: int
) -> None:
    with scripted(*connections) as (url, heads):
        http = Http(url)
        for number in range(3):
            assert post(http, channel_name=str(number)) == b'{"auth":"k:s"}'
        assert len(heads) == requests


def test_a_new_connection_that_ends_without_an_answer_is_a_failure() -> None:
    with scripted([OK, None], [None]) as (url, heads):
        http = Http(url)
        post(http)
        with pytest.raises(ApiError, match=r"failed: .*; check --api-url and the network"):
            post(http)
        assert len(heads) == 3


def test_an_answer_in_chunks() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with scripted([head + b'7\r\n{"auth"\r\n7\r\n:"k:s"}\r\n0\r\n\r\n']) as (url, _):
        assert post(Http(url)) == b'{"auth":"k:s"}'


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OK[:-5], r"its answer stopped for 0\.2 s; check --api-url"),
        (b"", r"no answer within 0\.2 s;"),
    ],
    ids=["stops in its midst", "never comes"],
)
def test_an_answer_that_is_not_whole(answer: bytes, why: str) -> None:
    with scripted([answer]) as (url, _), pytest.raises(ApiError, match=why):
        post(Http(url, timeout=0.2))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"}", "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n{}", "HTTPException"),
    ],
)
def test_what_is_no_answer_is_said_as_requests_says_it(answer: bytes, why: str) -> None:
    for odd in ("", "/%20"):
        with scripted([answer]) as (url, _), pytest.raises(ApiError, match=f"failed: {why};"):
            Http(url + odd).send("POST", AUTH_PATH, headers=HEADERS, form=FORM)


@pytest.mark.parametrize("odd", ["", "/%20"], ids=["direct", "requests"])
def test_both_ways_ask_for_the_same(server: HttpServer, odd: str) -> None:
    http = Http(server.url + odd)
    http.send("GET", "/v1/ä b/\x1b%2F", headers=HEADERS, query={"q": "1&2 ä"})
    http.send("POST", "/v1/tokens", headers={}, json={"a": "é"})
    http.send("POST", "/v1/tokens/refresh", headers=HEADERS)
    get, post, bare = server.asked
    assert get.path == f"{odd}/v1/%C3%A4%20b/%1B%2F?q=1%262+%C3%A4"
    assert get.headers["Accept-Encoding"] == "gzip, deflate"
    assert get.headers["Authorization"] == "made-up-token"
    assert json.loads(post.body) == {"a": "é"}
    assert post.headers["Content-Type"] == "application/json"
    assert (bare.body, bare.headers["Content-Length"]) == (b"", "0")


def test_a_request_that_spends_something_is_never_sent_twice() -> None:
    """Not even when a kept connection ends just as it is used: it is not used at all."""
    with scripted([OK], [None]) as (url, heads):
        http = Http(url)
        post(http)
        with pytest.raises(ApiError):
            http.send("POST", "/v1/tokens", headers={}, json={"a": "b"})
        assert len(heads) == 2


def test_what_is_encoded_though_nobody_asked_for_it_is_decoded(server: HttpServer) -> None:
    body = gzip.compress(b'{"auth":"k:s"}')
    server.answers[AUTH_PATH] = [Answer(body=body, headers="Content-Encoding: gzip\r\n")]
    assert post(Http(server.url)) == b'{"auth":"k:s"}'


def test_nobody_listens(closed_port: int) -> None:
    with pytest.raises(ApiError, match=r"POST .* failed: Connection refused; check --api-url"):
        post(Http(f"http://127.0.0.1:{closed_port}"))


@pytest.mark.parametrize("trusted", [True, False])
def test_tls(tmp_path: Path, trusted: bool) -> None:
    authority, other = trustme.CA(), trustme.CA()
    (authority if trusted else other).cert_pem.write_to_path(tmp_path / "ca.pem")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            with context.wrap_socket(listener.accept()[0], server_side=True) as sock:
                read_request(sock)
                sock.sendall(OK)
        except OSError:
            return  # not trusted

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    http = Http(url, ca_file=str(tmp_path / "ca.pem"))
    if trusted:
        assert post(http) == b'{"auth":"k:s"}'
    else:
        with pytest.raises(ApiError, match=r"its certificate is not trusted \(.*\); .* --ca-file"):
            post(http)
    thread.join()
    listener.close()


@pytest.mark.parametrize(
    ("url", "reached"),
    [
        ("https://api.chatapp.online", True),
        ("http://127.0.0.1:8080/base/v-1_2", True),
        ("http://[::1]:1", True),
        ("https://münchen.example", False),
        ("https://h/a%20b", False),
        ("https://h/a/../b", False),
        ("http://[fe80::1%25eth0]:1", False),
    ],
)
def test_only_plain_urls_take_the_short_way(url: str, reached: bool) -> None:
    assert AuthConnections.supports(url) is reached


def test_requests_is_not_imported_for_it(server: HttpServer) -> None:
    program = f"""
import sys
from chatapp_tail.chatapp.http import Http
assert Http({server.url!r}).send("POST", {AUTH_PATH!r}, headers={{}}, form={{"a": "b"}}).ok
assert not {{"requests", "urllib3", "certifi"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
