"""Delivery by HTTP against a receiver on raw sockets: what each answer, and each failure, means."""

import random
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import standardwebhooks
import trustme

from chatapp_tail.errors import ExitStatus, UsageError
from chatapp_tail.net import Proxy
from chatapp_tail.sinks.delivery import (
    Delivered,
    Delivery,
    Failed,
    Outcome,
    Refused,
    Retried,
    Trouble,
)
from chatapp_tail.sinks.http import HttpSettings, HttpSink
from chatapp_tail.sinks.pacing import Pace
from tests.conftest import TIMEOUT_SCALE
from tests.factories import record
from tests.receivers import (
    OK,
    Exchange,
    Receiver,
    Script,
    answer,
    endless,
    in_turn,
    read_request,
    then_close,
    then_reset,
)

QUICK = Pace(first=0.02, first_of_wrong=0.02, longest=0.05)
SOON = 0.3 * TIMEOUT_SCALE
"""Seconds of an attempt that is to fail."""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Forwarding:
    """A sink, and all outcomes it had."""

    def __init__(self, settings: HttpSettings) -> None:
        self.sink = HttpSink(settings)
        self.outcomes: list[Outcome] = []

    def give(self, *deliveries: Delivery) -> None:
        self.sink.give(deliveries)

    def wait(self, happened: Callable[[list[Outcome]], bool], timeout: float = 10.0) -> None:
        deadline = time.monotonic() + timeout * TIMEOUT_SCALE
        waits = select.poll()
        waits.register(self.sink, select.POLLIN)
        while not happened(self.outcomes):
            left = deadline - time.monotonic()
            assert left > 0, self.outcomes
            waits.poll(left * 1000)
            self.outcomes += self.sink.take()

    def wait_for(self, kind: type, count: int = 1) -> list[Outcome]:
        """Wait for so many outcomes of a kind; return them."""
        self.wait(lambda outcomes: sum(isinstance(known, kind) for known in outcomes) >= count)
        return [known for known in self.outcomes if isinstance(known, kind)]

    def delivered(self, count: int = 1) -> list[int]:
        """Wait for so many deliveries; return their numbers as they were acknowledged."""
        self.wait_for(Delivered, count)
        return [known.delivery.number for known in self.outcomes if isinstance(known, Delivered)]

    def trouble(self) -> str:
        """Wait for trouble; return the reason of the first."""
        (first, *_) = self.wait_for(Trouble)
        assert isinstance(first, Trouble)
        return first.reason


Start = Callable[..., Forwarding]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a sink with settings; it is closed in the end, in a second."""
    started: list[Forwarding] = []

    def start(url: str, **settings: object) -> Forwarding:
        defaults: dict[str, object] = {"jobs": 1, "pace": QUICK, "timeout": 10.0 * TIMEOUT_SCALE}
        forwarding = Forwarding(HttpSettings(url=url, **(defaults | settings)))  # type: ignore[arg-type]
        started.append(forwarding)
        return forwarding

    yield start
    for forwarding in started:
        before = time.monotonic()
        forwarding.sink.close()
        assert time.monotonic() - before < 1.0 * TIMEOUT_SCALE
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("chatapp-tail-http")]


def delivery(number: int = 1, key: str = "1229:telegram:c", **members: object) -> Delivery:
    identifier = str(members.pop("id", f"message:1229:telegram:c:{number}"))
    body = members.pop("body", b'{"data":[{"id":%d}],"meta":{}}' % number)
    assert isinstance(body, bytes)
    return Delivery(number, key, [record(id=identifier)], body)


def deliveries(count: int, first: int = 1) -> list[Delivery]:
    return [delivery(number) for number in range(first, first + count)]


def test_a_delivery_is_one_post_with_its_headers(start: Start) -> None:
    with Receiver() as receiver:
        forwarding = start(receiver.url + "?token=t0ken", secrets=[b"k" * 24])
        given = delivery(id="message:1229:whatsApp:c:wamid.HB~é/1")
        forwarding.give(given)
        assert forwarding.delivered() == [1]
        (request,) = receiver.requests
    outcome = forwarding.outcomes[0]
    assert isinstance(outcome, Delivered)
    assert (outcome.answer, outcome.attempts) == ("200", 1)
    assert request.line == "POST /hook?token=t0ken HTTP/1.1"
    assert request.body == given.body
    signed = request.headers.pop("webhook-signature")
    assert signed.startswith("v1,")
    assert abs(int(request.headers.pop("webhook-timestamp")) - time.time()) < 60
    name, _, digest = request.headers.pop("webhook-id").rpartition(":")
    assert name == "message:1229:whatsApp:c:wamid%2EHB%7E%C3%A9%2F1"
    assert len(digest) == 12
    assert request.headers.pop("user-agent").startswith("chatapp-tail/")
    assert request.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-type": "application/json",
        "content-length": str(len(given.body)),
    }


def test_headers_of_the_user_replace_ours_and_may_occur_twice(start: Start) -> None:
    given = [("Host", "crm.example"), ("USER-AGENT", "mine"), ("X-A", "1"), ("X-B", "снег")]
    with Receiver() as receiver:
        forwarding = start(receiver.url, headers=given)
        forwarding.give(delivery())
        forwarding.delivered()
        headers = receiver.requests[0].headers
    assert headers["host"] == "crm.example"
    assert headers["user-agent"] == "mine"
    assert headers["x-a"] == "1"
    assert headers["x-b"] == "снег"


def test_user_info_of_the_url_is_sent_as_basic_and_never_said(start: Start) -> None:
    with Receiver(answer(503)) as receiver:
        url = receiver.url.replace("http://", "http://user:p%40ss@") + "?key=s3cret"
        forwarding = start(url)
        forwarding.give(delivery())
        forwarding.wait_for(Trouble)
        assert receiver.requests[0].headers["authorization"] == "Basic dXNlcjpwQHNz"
    said = f"{forwarding.sink.name} {forwarding.sink.settings} {forwarding.outcomes}"
    assert "p@ss" not in said
    assert "p%40ss" not in said
    assert "s3cret" not in said


def test_signatures_are_verified_by_the_reference_library(start: Start) -> None:
    from chatapp_tail.sinks.http_request import parse_secrets

    old = "whsec_" + "QUJD" * 8
    with Receiver() as receiver:
        forwarding = start(receiver.url, secrets=parse_secrets(f"# new\n{SECRET}\n\n{old}\n"))
        forwarding.give(delivery(id="a.b", body='{"text":"снег 🐚"}'.encode()))
        forwarding.delivered()
        (request,) = receiver.requests
    for secret in (SECRET, old):
        standardwebhooks.Webhook(secret).verify(request.body, request.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(old).verify(request.body + b" ", request.headers)


def test_attempts_have_the_same_id_and_an_edit_has_another(start: Start) -> None:
    with Receiver(*in_turn([answer(500)])) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(delivery(1, id="m"), delivery(2, id="m"), delivery(3, id="m"))
        assert forwarding.delivered(3) == [1, 2, 3]
        first, again, *others = [request.headers["webhook-id"] for request in receiver.requests]
    assert first == again
    assert len({first, *others}) == 3


# The table of answers.


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success_settles(start: Start, status: int) -> None:
    with Receiver(answer(status)) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(*deliveries(3))
        assert forwarding.delivered(3) == [1, 2, 3]
        assert receiver.connections == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599, 101])
def test_trouble_is_retried(start: Start, status: int) -> None:
    with Receiver(*in_turn([answer(status)] * 3)) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(*deliveries(2))
        assert forwarding.delivered(2) == [1, 2]
        assert len(receiver.requests) == 5
    troubles, outcome = forwarding.outcomes[:3], forwarding.outcomes[3]
    assert all(isinstance(known, Trouble) for known in troubles)
    assert forwarding.trouble() == f"answered {status}"
    assert isinstance(outcome, Delivered)
    assert outcome.attempts == 4


@pytest.mark.parametrize(
    "status", [300, 301, 302, 303, 304, 307, 308, 401, 402, 403, 404, 405, 407]
)
def test_a_wrong_endpoint_is_retried_whatever_the_limit(start: Start, status: int) -> None:
    with Receiver(*in_turn([answer(status)] * 3)) as receiver:
        forwarding = start(receiver.url, retry_for=0.0)
        forwarding.give(delivery())
        assert forwarding.delivered() == [1]
        assert len(receiver.requests) == 4
    assert forwarding.trouble().startswith(f"answered {status}")


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://u:p@crm.example/login?back=secret#x", " to https://crm.example/login?…"),
        ("/login", " to {base}/login"),
        ("http://[broken", " to an invalid URL"),
    ],
)
def test_a_redirect_is_said_and_not_followed(start: Start, location: str, shown: str) -> None:
    with Receiver(answer(302, f"Location: {location}")) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(delivery())
        base = f"http://127.0.0.1:{receiver.port}"
        expected = f"answered 302{shown.format(base=base)}: redirects are not followed, name that"
        assert forwarding.trouble() == f"{expected} address with --forward-to"


def test_the_first_delay_of_a_wrong_endpoint_is_longer(start: Start) -> None:
    with Receiver(answer(404)) as receiver:
        forwarding = start(receiver.url, pace=Pace())
        forwarding.give(delivery())
        (trouble,) = forwarding.wait_for(Trouble)
        assert isinstance(trouble, Trouble)
        assert trouble.retry_in == pytest.approx(5.0, abs=0.5)


@pytest.mark.parametrize("status", [400, 406, 409, 411, 413, 415, 417, 418, 422, 431, 451])
def test_other_4xx_refuse_one_delivery(start: Start, status: int) -> None:
    with Receiver(*in_turn([answer(status)])) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(*deliveries(2))
        assert forwarding.delivered() == [2]
    refused = forwarding.outcomes[0]
    assert isinstance(refused, Refused)
    assert (refused.delivery.number, refused.status, refused.attempts) == (1, status, 1)
    assert refused.reason == f"answered {status}"
    assert abs(refused.first_attempt - time.time_ns()) < 60 * 10**9


def test_after_20_refusals_in_a_row_the_endpoint_is_wrong(start: Start) -> None:
    with Receiver(*in_turn([answer(422)] * 24)) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(*deliveries(23))
        assert forwarding.delivered(3) == [21, 22, 23]
        assert len(receiver.requests) == 27
    kinds = [type(outcome) for outcome in forwarding.outcomes]
    assert kinds == [Refused] * 20 + [Trouble] * 4 + [Delivered] * 3
    assert "is it the right endpoint?" in forwarding.trouble()


def test_a_success_begins_the_count_of_refusals_again(start: Start) -> None:
    scripts = [*[answer(400)] * 20, OK, *[answer(400)] * 20]
    with Receiver(*in_turn(scripts)) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(*deliveries(42))
        assert forwarding.delivered(2) == [21, 42]
    assert not [known for known in forwarding.outcomes if isinstance(known, Trouble)]


def test_410_ends_all_and_acknowledges_nothing(start: Start) -> None:
    with Receiver(OK, answer(410)) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(*deliveries(9))
        forwarding.wait_for(Failed)
        forwarding.give(*deliveries(9, 10))
        forwarding.sink.close()
        assert len(receiver.requests) == 2
    first, failed = forwarding.outcomes
    assert isinstance(first, Delivered)
    assert failed == Failed(
        ExitStatus.OUTPUT_FAILED,
        f"{receiver.url} answered 410: it is gone for good; check --forward-to",
    )


def test_retry_after_is_obeyed_by_all_lanes(start: Start) -> None:
    with Receiver(*in_turn([answer(429, "Retry-After: 1")])) as receiver:
        forwarding = start(receiver.url, jobs=8)
        before = time.monotonic()
        forwarding.give(delivery())
        (trouble,) = forwarding.wait_for(Trouble)
        forwarding.give(*(delivery(number, key=str(number)) for number in range(2, 20)))
        assert len(receiver.requests) == 1
        forwarding.delivered(19)
        assert time.monotonic() - before >= 1.0
    assert isinstance(trouble, Trouble)
    assert 0.9 <= trouble.retry_in <= 1.0


def test_a_delivery_is_given_up_after_the_limit(start: Start) -> None:
    limit = 0.2 * TIMEOUT_SCALE
    with Receiver(answer(503)) as receiver:
        forwarding = start(receiver.url, retry_for=limit)
        before = time.monotonic()
        forwarding.give(delivery())
        (refused,) = forwarding.wait_for(Refused)
        assert time.monotonic() - before >= limit
        assert isinstance(refused, Refused)
        assert refused.attempts == len(receiver.requests) > 1
        assert (refused.status, refused.reason) == (503, "answered 503")


def test_the_limit_counts_from_the_end_of_a_wrong_endpoint(start: Start) -> None:
    """A service that is deployed may answer 404, then 503, before it works."""
    limit = 1.0 * TIMEOUT_SCALE
    wrong = threading.Event()

    def serve(exchange: Exchange) -> None:
        exchange.send(answer(503) if wrong.is_set() else answer(404))

    with Receiver(serve) as receiver:
        forwarding = start(receiver.url, retry_for=limit)
        forwarding.give(delivery())
        before = time.monotonic()
        forwarding.wait(lambda _: time.monotonic() > before + limit)
        wrong.set()
        (refused,) = forwarding.wait_for(Refused)
        assert time.monotonic() > before + 2 * limit - 0.1
    assert isinstance(refused, Refused)
    assert refused.status == 503


def test_without_retries_there_is_one_attempt(start: Start, closed_port: int) -> None:
    forwarding = start(f"http://127.0.0.1:{closed_port}", retry_for=0.0)
    forwarding.give(*deliveries(3))
    refused = forwarding.wait_for(Refused, 3)
    assert [(known.attempts, known.status) for known in refused if isinstance(known, Refused)] == [
        (1, None)
    ] * 3
    assert forwarding.outcomes == refused


# Failures without an answer, and answers that are not whole.


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_nobody_listens(start: Start, closed_port: int) -> None:
    forwarding = start(f"http://127.0.0.1:{closed_port}/")
    forwarding.give(delivery())
    assert forwarding.trouble() == "connection refused"
    with Receiver(port=closed_port):
        assert forwarding.delivered() == [1]


def test_a_name_that_cannot_be_resolved(start: Start) -> None:
    forwarding = start("http://nobody.invalid/")
    forwarding.give(delivery())
    assert forwarding.trouble().startswith("its name cannot be resolved")


def drip_head(exchange: Exchange) -> None:
    exchange.drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, SOON / 10)


def drip_body(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    exchange.drip(b"x" * 9999, SOON / 10)


@pytest.mark.parametrize("script", [Exchange.hang, drip_head, drip_body])
def test_the_deadline_is_for_the_whole_attempt(start: Start, script: Script) -> None:
    with Receiver(script, OK) as receiver:
        forwarding = start(receiver.url, timeout=SOON)
        before = time.monotonic()
        forwarding.give(delivery())
        assert forwarding.trouble() == f"no answer within {SOON:g} s"
        assert time.monotonic() - before < SOON + 2.0 * TIMEOUT_SCALE
        assert forwarding.delivered() == [1]


TOO_LONG = "the head of its answer is too long"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (Exchange.reset, "connection reset by peer"),
        (Exchange.close, "the connection was closed without an answer"),
        (then_close(b"HTTP/1.1 200 OK\r\nConte"), "the connection was closed within the answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "its answer is no HTTP"),
        (b"HTTP/2 200\r\n\r\n", "its answer is no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n", TOO_LONG),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n", TOO_LONG),
        (endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), "an answer has no end"),
        (endless(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000), "an answer has no end"),
        (endless(b"x" * 65536), TOO_LONG),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_trouble(start: Start, script: Script, reason: str) -> None:
    with Receiver(script, OK) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(delivery())
        assert forwarding.delivered() == [1]
        assert forwarding.trouble() == reason


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("script", "connections"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 1),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 2 + OK, 1),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", 1),
        (answer(200, body=b"x" * 65536), 1),
        (answer(200, body=b"x" * 70000), 2),
        (answer(200, "Connection: close"), 2),
        (then_reset(OK), 2),
        (then_close(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"), 2),
        (then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), 2),
        (then_close(b"HTTP/1.0 200 OK\r\n\r\n"), 2),
        (CHUNKED + b"no number\r\n", 2),
        (endless(b"1000\r\n" + b"x" * 4096 + b"\r\n", CHUNKED), 2),
        (answer(200, body=bytes(2**26)), 2),
    ],
)  # fmt: skip
def test_a_success_settles_whatever_the_body(
    start: Start, script: Script, connections: int
) -> None:
    with Receiver(script, OK) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(delivery(1))
        assert forwarding.delivered() == [1]
        forwarding.give(delivery(2))
        assert forwarding.delivered(2) == [1, 2]
        assert (len(receiver.requests), receiver.connections) == (2, connections)
    assert all(isinstance(known, Delivered) for known in forwarding.outcomes)


def test_an_answer_before_the_whole_request_counts(start: Start) -> None:
    """A server that refuses a body by its size answers and closes without reading it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        forwarding = start(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        forwarding.give(delivery(body=bytes(8 * 1024 * 1024)))
        sock, _ = listener.accept()
        with sock:
            assert sock.recv(1000)
            sock.sendall(answer(413))
        (refused,) = forwarding.wait_for(Refused)
    assert isinstance(refused, Refused)
    assert refused.status == 413


# Connections.


def test_a_kept_alive_connection_that_was_closed_is_replaced_without_trouble(start: Start) -> None:
    with Receiver(then_close(OK)) as receiver:
        forwarding = start(receiver.url)
        for number in range(1, 6):
            forwarding.give(delivery(number))
            forwarding.delivered(number)
        assert len(receiver.requests) == receiver.connections == 5
    assert all(isinstance(known, Delivered) for known in forwarding.outcomes)


@pytest.mark.parametrize("how", [Exchange.close, Exchange.reset])
def test_a_reused_connection_that_dies_is_replaced_once(start: Start, how: Script) -> None:
    with Receiver(*in_turn([OK, how])) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(*deliveries(2))
        assert forwarding.delivered(2) == [1, 2]
        first, again = receiver.requests[1:]
        assert (first.body, first.headers["webhook-id"]) == (
            again.body,
            again.headers["webhook-id"],
        )
        assert (first.connection, again.connection) == (1, 2)
    assert all(isinstance(known, Delivered) for known in forwarding.outcomes)


def test_a_new_connection_that_dies_is_trouble(start: Start) -> None:
    with Receiver(*in_turn([OK, Exchange.close, Exchange.close])) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(*deliveries(2))
        assert forwarding.delivered(2) == [1, 2]
        assert len(receiver.requests) == 4
    assert forwarding.trouble() == "the connection was closed without an answer"


def test_an_idle_connection_is_closed(start: Start) -> None:
    ended = threading.Event()

    def serve(exchange: Exchange) -> None:
        exchange.send(OK)
        assert read_request(exchange.sock) is None
        ended.set()
        exchange.close()

    with Receiver(serve) as receiver:
        forwarding = start(receiver.url, idle=0.05)
        forwarding.give(delivery())
        forwarding.delivered()
        assert ended.wait(5.0 * TIMEOUT_SCALE)
        forwarding.give(delivery(2))
        forwarding.delivered(2)
        assert receiver.connections == 2


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_localhost_is_reached_on_either_address(start: Start, host: str) -> None:
    with Receiver(host=host) as receiver:
        forwarding = start(f"http://localhost:{receiver.port}/")
        forwarding.give(delivery())
        assert forwarding.delivered() == [1]
        assert receiver.requests[0].headers["host"] == f"localhost:{receiver.port}"


def test_an_address_of_ipv6_has_brackets(start: Start) -> None:
    with Receiver(host="::1") as receiver:
        forwarding = start(receiver.url)
        forwarding.give(delivery())
        forwarding.delivered()
        assert receiver.requests[0].headers["host"] == f"[::1]:{receiver.port}"


# Proxies and TLS.


def test_loopback_is_never_reached_through_a_proxy(
    start: Start, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"http://127.0.0.1:{closed_port}"
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("http_proxy", proxy)
    for host in ("127.0.0.1", "127.1.2.3", "localhost"):
        with Receiver(host=host.replace("localhost", "127.0.0.1")) as receiver:
            forwarding = start(f"http://{host}:{receiver.port}/", proxy=Proxy.parse(proxy))
            forwarding.give(delivery())
            assert forwarding.delivered() == [1]


def test_a_proxy_of_http_forwards_plain_requests(start: Start) -> None:
    with Receiver() as proxy:
        given = Proxy.parse(f"http://user:pass@127.0.0.1:{proxy.port}")
        forwarding = start("http://crm.invalid/hook", proxy=given)
        forwarding.give(delivery())
        assert forwarding.delivered() == [1]
        (request,) = proxy.requests
    assert request.line == "POST http://crm.invalid/hook HTTP/1.1"
    assert request.headers["host"] == "crm.invalid"
    assert request.headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"


def test_the_proxy_of_the_environment_is_used_and_named(
    start: Start, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://user:hidden@127.0.0.1:{closed_port}")
    forwarding = start("http://crm.invalid/hook")
    forwarding.give(delivery())
    expected = f"connection refused (through the proxy http://127.0.0.1:{closed_port})"
    assert forwarding.trouble() == expected


class Certificates:
    """An authority, and a certificate by it for the names of the tests."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.ca_file = str(directory / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost", "crm.invalid").configure_cert(self.server)


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_tls_is_verified_by_the_given_authority(start: Start, certificates: Certificates) -> None:
    with Receiver(tls=certificates.server) as receiver:
        forwarding = start(receiver.url, ca_file=certificates.ca_file)
        forwarding.give(*deliveries(3))
        assert forwarding.delivered(3) == [1, 2, 3]
        assert receiver.connections == 1


def test_a_certificate_by_another_authority_is_trouble(
    start: Start, certificates: Certificates
) -> None:
    with Receiver(tls=certificates.server) as receiver:
        forwarding = start(receiver.url)
        forwarding.give(delivery())
        assert forwarding.trouble().startswith("its certificate is not trusted (")
        assert not receiver.requests


def test_a_connection_by_tls_that_dies_is_replaced(
    start: Start, certificates: Certificates
) -> None:
    scripts = in_turn([then_close(OK), Exchange.close])
    with Receiver(*scripts, tls=certificates.server) as receiver:
        forwarding = start(receiver.url, ca_file=certificates.ca_file)
        forwarding.give(*deliveries(2))
        assert forwarding.delivered(2) == [1, 2]


def test_tls_goes_through_the_tunnel_of_a_proxy(start: Start, certificates: Certificates) -> None:
    inner: list[str] = []

    def tunnel(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with certificates.server.wrap_socket(exchange.sock, server_side=True) as sock:
            while request := read_request(sock):
                inner.append(request.line)
                sock.sendall(OK)

    with Receiver(tunnel) as proxy:
        given = Proxy.parse(f"http://user:pass@127.0.0.1:{proxy.port}")
        url = "https://crm.invalid/hook"
        forwarding = start(url, proxy=given, ca_file=certificates.ca_file)
        forwarding.give(*deliveries(2))
        assert forwarding.delivered(2) == [1, 2]
        (request,) = proxy.requests
        assert request.line == "CONNECT crm.invalid:443 HTTP/1.1"
        assert request.headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
        forwarding.sink.close()
    assert inner == ["POST /hook HTTP/1.1"] * 2


def test_a_tunnel_that_is_refused_is_trouble(start: Start, certificates: Certificates) -> None:
    with Receiver(answer(403)) as proxy:
        given = Proxy.parse(f"http://127.0.0.1:{proxy.port}")
        forwarding = start("https://crm.invalid/hook?key=s3cret", proxy=given)
        forwarding.give(delivery())
        expected = f"the proxy answered 403 Whatever (through the proxy {given})"
        assert forwarding.trouble() == expected


class Socks:
    """A SOCKS5 proxy that plays the server it connects to; takes one connection.

    `replies` are sent one after the other, each when something came; then a request is answered.
    """

    def __init__(self, *replies: bytes) -> None:
        self.asked: list[bytes] = []
        self._replies = replies
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> "Socks":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        sock, _ = self._listener.accept()
        with sock, suppress(ConnectionError):
            for reply in self._replies:
                self.asked.append(sock.recv(1000))
                sock.sendall(reply)
            if read_request(sock):
                sock.sendall(OK)


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("crm.invalid", b"\x03\x0bcrm.invalid\x00\x50"),
        ("192.0.2.1:8080", b"\x01\xc0\x00\x02\x01\x1f\x90"),
        ("[2001:db8::1]", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x00\x50"),
    ],
)
def test_a_socks_proxy_connects_and_resolves(start: Start, host: str, asked: bytes) -> None:
    granted = b"\x05\x00\x00\x03\x04name\x00\x50"
    with Socks(b"\x05\x02", b"\x01\x00", granted) as proxy:
        url = f"http://{host}/"
        forwarding = start(url, proxy=Proxy.parse(f"socks5://user:pass@{proxy.address}"))
        forwarding.give(delivery())
        assert forwarding.delivered() == [1]
    assert proxy.asked == [b"\x05\x02\x00\x02", b"\x01\x04user\x04pass", b"\x05\x01\x00" + asked]


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "what answers is not a SOCKS5 proxy"),
        ([b"\x05\xff"], "the proxy wants another way to authenticate"),
        ([b"\x05\x00", b"\x05\x05\x00\x01" + bytes(6)], "the proxy answered: connection refused"),
        ([b"\x05\x00", b"\x05\x99\x00\x01" + bytes(6)], "the proxy answered: error 153"),
        ([b"\x05\x00", b"\x05"], f"no answer within {SOON:g} s"),
    ],
)
def test_a_socks_proxy_that_refuses_is_trouble(
    start: Start, replies: list[bytes], reason: str
) -> None:
    with Socks(*replies) as proxy:
        given = Proxy.parse(f"socks5://{proxy.address}")
        forwarding = start("http://crm.invalid/", proxy=given, timeout=SOON)
        forwarding.give(delivery())
        assert forwarding.trouble() == f"{reason} (through the proxy {given})"


def test_authorities_that_cannot_be_read_are_refused_at_once(tmp_path: Path) -> None:
    settings = HttpSettings(url="https://crm.example/?secret=1", ca_file=str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match=r"cannot forward to https://crm\.example/: .*none\.pem"):
        HttpSink(settings)


# Lanes.


def test_the_order_of_a_chat_is_kept_under_eight_lanes(start: Start) -> None:
    chosen = random.Random(1)
    lock = threading.Lock()

    def slow(exchange: Exchange) -> None:
        with lock:
            delay, fails = chosen.uniform(0.0, 0.02), chosen.random() < 0.05
        exchange.closing.wait(delay)
        exchange.send(answer(500) if fails else OK)

    with Receiver(slow) as receiver:
        forwarding = start(receiver.url, jobs=8)
        given = [delivery(number, key=f"chat {number % 13}") for number in range(300)]
        for at in range(0, 300, 50):
            forwarding.give(*given[at : at + 50])
        done = forwarding.delivered(300)
        assert 2 <= receiver.connections <= 8 + 60
    for chat in range(13):
        of_chat = [number for number in done if number % 13 == chat]
        assert of_chat == sorted(of_chat)
    assert len(done) == len(set(done)) == 300


def test_a_lane_in_trouble_does_not_hold_the_others(start: Start) -> None:
    said = threading.Event()

    def serve(exchange: Exchange) -> None:
        if b'"id":1}' in exchange.request.body:
            exchange.send(answer(500))
        else:
            said.wait(10.0 * TIMEOUT_SCALE)
            exchange.send(OK)

    with Receiver(serve) as receiver:
        forwarding = start(receiver.url, jobs=8)
        forwarding.give(*(delivery(number, key=str(number)) for number in range(1, 40)))
        (retried, *_) = forwarding.wait_for(Retried)
        said.set()
        assert 1 not in forwarding.delivered(30)
    assert isinstance(retried, Retried)
    assert (retried.delivery.number, retried.reason) == (1, "answered 500")


def test_a_dead_destination_is_probed_by_one_lane(start: Start) -> None:
    now, most = 0, 0
    lock = threading.Lock()
    probing = threading.Event()

    def serve(exchange: Exchange) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now) if probing.is_set() else 0
        exchange.closing.wait(0.005)
        with lock:
            now -= 1
        exchange.send(answer(503))

    with Receiver(serve) as receiver:
        forwarding = start(receiver.url, jobs=8)
        forwarding.give(*(delivery(number, key=str(number)) for number in range(1, 40)))
        forwarding.wait_for(Trouble, 10)
        probing.set()
        receiver.wait(len(receiver.requests) + 20)
        assert most == 1
        connections = {request.connection for request in receiver.requests[-20:]}
    assert len(connections) > 1, "each lane has its turn"
    assert isinstance(forwarding.wait_for(Trouble)[-1], Trouble)


def test_all_lanes_go_on_when_a_probe_succeeds(start: Start) -> None:
    pace = Pace(first=0.05, longest=60.0)
    with Receiver(*in_turn([answer(503)] * 12)) as receiver:
        forwarding = start(receiver.url, jobs=8, pace=pace)
        forwarding.give(*(delivery(number, key=str(number)) for number in range(1, 40)))
        assert sorted(forwarding.delivered(39)) == list(range(1, 40))


def test_outcomes_are_reported_by_the_descriptor(start: Start) -> None:
    with Receiver() as receiver:
        forwarding = start(receiver.url)
        assert forwarding.sink.take() == []
        assert not select.select([forwarding.sink], [], [], 0)[0]
        forwarding.give(delivery())
        assert select.select([forwarding.sink], [], [], 10.0 * TIMEOUT_SCALE)[0]
        assert len(forwarding.sink.take()) == 1
        assert not select.select([forwarding.sink], [], [], 0)[0]


# The end.


def hang_in_head(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\nX: ")
    exchange.hang()


def hang_in_body(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    exchange.hang()


@pytest.mark.parametrize("script", [Exchange.hang, hang_in_head, hang_in_body])
def test_close_takes_no_second_while_peers_hang(start: Start, script: Script) -> None:
    with Receiver(script) as receiver:
        forwarding = start(receiver.url, jobs=8)
        forwarding.give(*(delivery(number, key=str(number)) for number in range(40)))
        receiver.wait(8)
        before = time.monotonic()
        forwarding.sink.close()
        assert time.monotonic() - before < 1.0 * TIMEOUT_SCALE


def test_close_while_a_handshake_hangs(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        forwarding = start(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        forwarding.give(delivery())
        sock, _ = listener.accept()
        with sock:
            assert sock.recv(100)
            forwarding.sink.close()


def test_close_while_the_request_is_not_read(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        forwarding = start(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        forwarding.give(delivery(body=bytes(16 * 1024 * 1024)))
        sock, _ = listener.accept()
        with sock:
            assert sock.recv(100)
            forwarding.sink.close()


def test_close_while_lanes_wait(start: Start, closed_port: int) -> None:
    forwarding = start(f"http://127.0.0.1:{closed_port}/", pace=Pace(first=1000.0, longest=1000.0))
    forwarding.give(*deliveries(3))
    forwarding.trouble()
    forwarding.sink.close()


def test_close_does_not_wait_for_a_socks_proxy(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy.parse(f"socks5://127.0.0.1:{listener.getsockname()[1]}")
        forwarding = start("http://crm.invalid/", proxy=proxy)
        forwarding.give(delivery())
        sock, _ = listener.accept()
        with sock:
            assert sock.recv(100)
            before = time.monotonic()
            forwarding.sink.close()
            assert time.monotonic() - before < 1.0 * TIMEOUT_SCALE


def test_close_while_a_name_is_looked_up(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, done = threading.Event(), threading.Event()
    real = socket.getaddrinfo

    def hang(host: str, *args: object, **keywords: int) -> object:
        if host == "crm.invalid" and not keywords.get("flags"):
            looking.set()
            done.wait(10.0 * TIMEOUT_SCALE)
            raise socket.gaierror(socket.EAI_AGAIN, "later")
        return real(host, *args, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    forwarding = start("http://crm.invalid/")
    forwarding.give(delivery())
    assert looking.wait(5.0 * TIMEOUT_SCALE)
    forwarding.sink.close()
    done.set()
