"""Doctor with a destination: what it finds out of it, with which advice and status."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.conftest import RunTail
from tests.receivers import OK, Receiver, answer
from tests.shell.test_doctor import doctor, failing, report, warned

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def finding(found: list[dict[str, Any]], check: str) -> dict[str, Any]:
    (one,) = (each for each in found if each["check"] == check)
    return one


def test_an_endpoint_that_answers(run_tail: RunTail, env: Mapping[str, str]) -> None:
    with Receiver() as receiver:
        url = f"http://user:hidden-1@127.0.0.1:{receiver.port}/hook?key=hidden-2"
        done = doctor(run_tail, env, "--forward-to", url, "-H", "Authorization: Bearer hidden-3")
        (request,) = receiver.requests
    assert done.returncode == 0
    found = report(done)
    assert finding(found, "forward")["found"] == f"{receiver.url} answered 200"
    assert finding(found, "forward signature")["found"] == "none: no secret is given"
    assert found[-1]["check"] == "ping", "the rest is checked as well"
    assert request.line == "HEAD /hook?key=hidden-2 HTTP/1.1"
    assert request.headers["authorization"] == "Bearer hidden-3"
    assert not [name for name in request.headers if name.startswith("webhook-")]
    assert "hidden" not in done.stdout


def test_an_answer_to_head_has_no_body(run_tail: RunTail, env: Mapping[str, str]) -> None:
    """Although its head gives the length of one."""
    with Receiver(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n") as receiver:
        done = doctor(run_tail, env, "--forward-to", receiver.url)
    assert finding(report(done), "forward")["ok"]


@pytest.mark.parametrize("status", [204, 400, 405, 422, 501])
def test_what_only_says_that_it_is_there(
    status: int, run_tail: RunTail, env: Mapping[str, str]
) -> None:
    with Receiver(answer(status)) as receiver:
        done = doctor(run_tail, env, "--forward-to", receiver.url)
    forward = finding(report(done), "forward")
    assert forward["ok"]
    assert forward["found"].startswith(f"{receiver.url} answered {status}")


@pytest.mark.parametrize(
    ("script", "found", "advice"),
    [
        (answer(301, "Location: /new"), "answered 301 to {base}/new", "name that address"),
        (answer(302, "Location: https://x/?a=b"), "302 to https://x/?…", "name that address"),
        (answer(401), "answered 401", "check the credentials in --header"),
        (answer(403), "answered 403", "check the credentials in --header"),
        (
            answer(404),
            "answered 404",
            "check the path in --forward-to, unless it answers so to HEAD",
        ),
        (answer(429), "answered 429", "tries again"),
        (answer(503), "answered 503", "tries again"),
        (b"SSH-2.0-OpenSSH_9\r\n", "its answer is no HTTP", "the right port"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_a_tail_would_survive_is_a_warning(
    script: bytes, found: str, advice: str, run_tail: RunTail, env: Mapping[str, str]
) -> None:
    with Receiver(script) as receiver:
        done = doctor(run_tail, env, "--forward-to", receiver.url)
        base = receiver.url.removesuffix("/hook")
    assert done.returncode == 0
    warning = warned(report(done), "forward")
    assert found.format(base=base) in warning["found"]
    assert advice in warning["advice"]


def test_an_endpoint_that_is_gone_ends_it_as_it_ends_a_tail(
    run_tail: RunTail, env: Mapping[str, str]
) -> None:
    with Receiver(answer(410)) as receiver:
        found = failing(doctor(run_tail, env, "--forward-to", receiver.url), "forward", 7)
    assert "410" in found["found"]
    assert "--forward-to" in found["advice"]


def test_nobody_listens(run_tail: RunTail, env: Mapping[str, str], closed_port: int) -> None:
    done = doctor(run_tail, env, "--forward-to", f"{closed_port}/hook")
    warning = warned(report(done), "forward")
    assert done.returncode == 0
    assert warning["found"] == f"http://localhost:{closed_port}/hook: connection refused"
    assert "start the receiver" in warning["advice"]


def test_a_name_that_does_not_exist(run_tail: RunTail, env: Mapping[str, str]) -> None:
    done = doctor(run_tail, env, "--forward-to", "https://no-such-host.invalid/hook")
    assert "check the name" in warned(report(done), "forward")["advice"]


def test_a_proxy_that_is_not_there(
    run_tail: RunTail, env: Mapping[str, str], closed_port: int
) -> None:
    """It is asked for other hosts, and never for one on the loopback."""
    proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{closed_port}"}
    done = doctor(run_tail, {**env, **proxy}, "--forward-to", "https://made-up.invalid/hook")
    warning = warned(report(done), "forward")
    assert "through the proxy" in warning["found"]
    assert "--proxy" in warning["advice"]


def test_tls(run_tail: RunTail, env: Mapping[str, str], tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with Receiver(OK, tls=context) as receiver:
        done = doctor(run_tail, env, "--forward-to", receiver.url)
        warning = warned(report(done), "forward")
        argv = ("--forward-to", receiver.url, "--forward-ca-file", str(trusted))
        found = report(doctor(run_tail, env, *argv))
        plain = receiver.url.replace("https", "http")
        wrong = warned(report(doctor(run_tail, env, "--forward-to", plain)), "forward")
    assert "certificate" in warning["found"]
    assert "--forward-ca-file" in warning["advice"]
    assert finding(found, "forward")["ok"]
    assert wrong["advice"]


@pytest.mark.parametrize(
    ("secret", "said"),
    [(None, "No such file"), ("", "holds none"), ("topsecret", "line 1 of the file of secrets")],
)
def test_a_file_of_secrets_that_cannot_be_used(
    secret: str | None, said: str, run_tail: RunTail, env: Mapping[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    if secret is not None:
        file.write_text(secret)
    argv = ("--forward-to", "3000", "--forward-secret-file", str(file))
    done = doctor(run_tail, env, *argv)
    assert said in failing(done, "forward signature", 2)["found"]
    assert "topsecret" not in done.stdout


def test_a_secret_of_the_environment(
    run_tail: RunTail, env: Mapping[str, str], tmp_path: Path
) -> None:
    with Receiver() as receiver:
        whole = {**env, "CHATAPP_TAIL_FORWARD_SECRET": SECRET}
        done = doctor(run_tail, whole, "--forward-to", receiver.url)
    assert finding(report(done), "forward signature")["found"] == "by 1 secret"
    assert SECRET not in done.stdout


def test_a_stream_is_not_checked(run_tail: RunTail, env: Mapping[str, str]) -> None:
    done = doctor(run_tail, env, "--forward-to", "nats://127.0.0.1:1/x")
    assert done.returncode == 2
    assert done.stderr.endswith(
        "doctor checks destinations of HTTP only; a tail itself checks a stream of NATS when it"
        " starts\n"
    )
