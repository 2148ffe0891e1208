"""Proxies: the socket and the API both go through them, and each way they fail is one line."""

import base64
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from chatapp_tail.sandbox import ApiRequested, Sandbox
from tests.conftest import PROGRAM, RunTail, StartProcess, StartTail
from tests.shell.conftest import (
    CHANNEL,
    SELECT,
    Env,
    is_one_line,
    numbers_in,
    publish,
    reaching,
    scaled,
    subscribed,
)

USER, PASSWORD = "made-up-user", "geheim-p@ss"
QUOTED = "made-up-user:geheim-p%40ss"
NAME = "sandbox.invalid"
"""A host that only the proxy's side can resolve."""


# --- two small proxies


@dataclass
class Relay:
    """A listener that takes connections further; `seen` is where to, `problems` what was wrong."""

    server: socket.socket
    password: str | None = None
    answer: str = ""
    drip: bool = False
    seen: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    open: list[socket.socket] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server.getsockname()[1]}"


@contextmanager
def relaying(kind: str, **settings: object) -> Iterator[Relay]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        relay = Relay(server, **settings)  # type: ignore[arg-type]
        serve = {"http": serve_http, "socks5": serve_socks}[kind]

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client = server.accept()[0]
                    relay.open.append(client)
                    threading.Thread(target=guard, args=(client,), daemon=True).start()

        def guard(client: socket.socket) -> None:
            with suppress(OSError):
                serve(relay, client)

        threading.Thread(target=accept, daemon=True).start()
        yield relay
        relay.ending.set()
        server.shutdown(socket.SHUT_RDWR)
        for each in relay.open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
    assert relay.problems == []


def reach(relay: Relay, host: str, port: int) -> socket.socket:
    relay.seen.append(f"{host}:{port}")
    further = socket.create_connection(("127.0.0.1", port))
    relay.open.append(further)
    return further


def join(one: socket.socket, other: socket.socket) -> None:
    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    threading.Thread(target=pump, args=(other, one), daemon=True).start()
    pump(one, other)


def serve_http(relay: Relay, client: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(65536)
        if not data:
            return
        head += data
    head, _, rest = head.partition(b"\r\n\r\n")
    if relay.drip:
        client.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not relay.ending.wait(0.05):
            client.sendall(b"x")
        return
    if relay.answer == "nothing":
        relay.ending.wait()
        return
    if relay.answer:
        client.sendall(f"{relay.answer}\r\nContent-Length: 0\r\n\r\n".encode())
        client.close()
        return
    wanted = base64.b64encode(f"{USER}:{relay.password}".encode())
    if relay.password and b"Basic " + wanted not in head:
        client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        client.close()
        return
    method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
    if method == "CONNECT":
        host, _, port = target.rpartition(":")
        further = reach(relay, host, int(port))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    else:
        place, _, path = target.removeprefix("http://").partition("/")
        host, _, port = place.rpartition(":")
        further = reach(relay, host, int(port))
        head = head.replace(target.encode(), b"/" + path.encode(), 1)
        head = head.replace(b"Connection: keep-alive", b"Connection: close")
        head = re.sub(rb"\r\nProxy-Authorization: [^\r]*", b"", head)
        rest = head + b"\r\n\r\n" + rest
    further.sendall(rest)
    join(client, further)


def exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := client.recv(size - len(data))):
            raise ConnectionError
        data += more
    return data


def serve_socks(relay: Relay, client: socket.socket) -> None:
    """RFC 1928, with RFC 1929 when there is a password."""
    version, methods = exactly(client, 2)
    offered = exactly(client, methods)
    if version != 5:
        relay.problems.append(f"version {version}")
    if relay.answer == "nothing":
        relay.ending.wait()
        return
    method = 2 if relay.password else 0
    if method not in offered:
        client.sendall(b"\x05\xff")
        client.close()
        return
    client.sendall(bytes([5, method]))
    if method == 2:
        user = exactly(client, exactly(client, 2)[1]).decode()
        password = exactly(client, exactly(client, 1)[0]).decode()
        right = (user, password) == (USER, relay.password)
        client.sendall(b"\x01\x00" if right else b"\x01\x01")
        if not right:
            client.close()
            return
    kind = exactly(client, 4)[3]
    if kind == 3:
        host = exactly(client, exactly(client, 1)[0]).decode()
    else:
        host = socket.inet_ntoa(exactly(client, 4))
    (port,) = struct.unpack("!H", exactly(client, 2))
    if relay.answer == "refused":
        client.sendall(b"\x05\x02\x00\x01" + bytes(6))
        client.close()
        return
    further = reach(relay, host, port)
    client.sendall(b"\x05\x00\x00\x01" + bytes(6))
    join(client, further)


# --- through them


def port_of(url: str) -> str:
    return url.rpartition(":")[2]


def by_name(sandbox: Sandbox) -> dict[str, str]:
    """The environment of a tail that reaches the sandbox by a name nobody here can resolve."""
    return {
        "CHATAPP_WS_URL": f"ws://{NAME}:{port_of(sandbox.ws_url)}",
        "CHATAPP_API_URL": f"http://{NAME}:{port_of(sandbox.api_url)}",
        "CHATAPP_TOKEN": sandbox.token,
    }


def both(sandbox: Sandbox) -> set[str]:
    return {f"{NAME}:{port_of(url)}" for url in (sandbox.ws_url, sandbox.api_url)}


def delivers(start_tail: StartTail, sandbox: Sandbox, env: Env, *argv: str) -> None:
    tail = start_tail(*SELECT, "-vv", "-n", "1", *argv, env=env)
    try:
        subscribed(sandbox)
    except TimeoutError:
        raise AssertionError(tail.stderr.text) from None
    publish(sandbox, [1])
    assert tail.wait() == 0
    assert numbers_in(tail.stdout.text) == [1]
    assert PASSWORD not in tail.stderr.text
    assert QUOTED not in tail.stderr.text


KINDS = [
    pytest.param("http", "http", None, id="http"),
    pytest.param("http", "http", PASSWORD, id="http with password"),
    pytest.param("socks5", "socks5", None, id="socks5"),
    pytest.param("socks5", "socks5h", PASSWORD, id="socks5h with password"),
]


@pytest.mark.parametrize(("kind", "scheme", "password"), KINDS)
def test_socket_and_api_go_through_the_proxy_that_is_given(
    kind: str, scheme: str, password: str | None, start_tail: StartTail, sandbox: Sandbox
) -> None:
    with relaying(kind, password=password) as relay:
        user = f"{QUOTED}@" if password else ""
        url = f"{scheme}://{user}{relay.place}"
        delivers(start_tail, sandbox, by_name(sandbox), "--proxy", url)
    assert set(relay.seen) == both(sandbox)


VARIABLES = [
    pytest.param("HTTP_PROXY", "http", id="HTTP_PROXY"),
    pytest.param("http_proxy", "http", id="http_proxy"),
    pytest.param("ALL_PROXY", "socks5", id="ALL_PROXY"),
    pytest.param("all_proxy", "http", id="all_proxy"),
    pytest.param("CHATAPP_TAIL_PROXY", "socks5", id="CHATAPP_TAIL_PROXY"),
]


@pytest.mark.parametrize(("variable", "kind"), VARIABLES)
def test_socket_and_api_go_through_the_proxy_of_the_environment(
    variable: str, kind: str, start_tail: StartTail, sandbox: Sandbox
) -> None:
    with relaying(kind, password=PASSWORD) as relay:
        url = f"{kind}://{QUOTED}@{relay.place}"
        delivers(start_tail, sandbox, {**by_name(sandbox), variable: url})
    assert set(relay.seen) == both(sandbox)


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_tls_goes_through_a_tunnel(kind: str, start_tail: StartTail) -> None:
    with Sandbox(tls=True) as sandbox, relaying(kind) as relay:
        url = f"{kind}://{relay.place}"
        delivers(start_tail, sandbox, reaching(sandbox), "--proxy", url)
        places = {f"127.0.0.1:{port_of(url)}" for url in (sandbox.ws_url, sandbox.api_url)}
    assert set(relay.seen) == places


def test_https_proxy_is_for_tls(start_tail: StartTail) -> None:
    with Sandbox(tls=True) as sandbox, relaying("http") as relay:
        # 127.0.0.2 is not excepted as 127.0.0.1 is; but the certificate does not name it.
        env = reaching(sandbox)
        whole = {name: value.replace("127.0.0.1", "127.0.0.2") for name, value in env.items()}
        whole["CHATAPP_TAIL_CA_FILE"] = env["CHATAPP_TAIL_CA_FILE"]
        other = {"HTTPS_PROXY": f"http://{relay.place}", "HTTP_PROXY": "http://127.0.0.1:1"}
        tail = start_tail(*SELECT, env={**whole, **other})
        assert tail.wait() == 4
        assert "certificate" in tail.stderr.text
        assert relay.seen == [f"127.0.0.2:{port_of(sandbox.ws_url)}"]


@pytest.mark.parametrize("command", [["lines"], ["doctor"], ["login"]], ids=" ".join)
def test_the_other_commands_go_through_it_too(
    command: list[str], run_tail: RunTail, sandbox: Sandbox
) -> None:
    account = {
        "CHATAPP_EMAIL": sandbox.email,
        "CHATAPP_APP_ID": sandbox.app_id,
        "CHATAPP_PASSWORD": sandbox.password,
    }
    with relaying("http", password=PASSWORD) as relay:
        url = f"http://{QUOTED}@{relay.place}"
        done = run_tail(*command, "--proxy", url, env={**by_name(sandbox), **account})
    assert done.returncode == 0, done.stderr + done.stdout
    assert f"{NAME}:{port_of(sandbox.api_url)}" in relay.seen
    assert PASSWORD not in done.stdout + done.stderr
    assert sandbox.journal.of(ApiRequested)


@pytest.mark.parametrize("given", [True, False], ids=["--proxy", "HTTP_PROXY"])
@pytest.mark.parametrize("excepted", ["other.invalid, 127.0.0.2"])
def test_no_proxy_excepts(
    excepted: str, given: bool, start_tail: StartTail, sandbox: Sandbox
) -> None:
    # Nobody listens at 127.0.0.2; the relay would find the sandbox all the same.
    with relaying("http") as relay:
        url = f"http://{relay.place}"
        env = reaching(sandbox)
        env["CHATAPP_WS_URL"] = sandbox.ws_url.replace("127.0.0.1", "127.0.0.2")
        argv = ["--proxy", url] if given else []
        names = {"NO_PROXY": excepted} | ({} if given else {"HTTP_PROXY": url})
        tail = start_tail(*SELECT, "--no-reconnect", *argv, env={**env, **names})
        assert tail.wait() == 4
        assert "proxy" not in tail.stderr.text
    assert relay.seen == []


def test_loopback_is_excepted_from_the_environment(
    start_tail: StartTail, sandbox: Sandbox, env: Env, closed_port: int
) -> None:
    proxies = dict.fromkeys(("HTTP_PROXY", "ALL_PROXY"), f"http://127.0.0.1:{closed_port}")
    delivers(start_tail, sandbox, {**env, **proxies})


# --- proxies that fail


def fails(run_tail: RunTail, sandbox: Sandbox, url: str, *argv: str) -> str:
    """Tail through a proxy that does not work; what was said, in one line."""
    done = run_tail(
        *(*SELECT, "--no-reconnect", "--connect-timeout", "2s", "--proxy", url, *argv),
        env=by_name(sandbox),
        timeout=7,
    )
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    *warnings, last = done.stderr.splitlines(keepends=True)
    assert all("is not encrypted" in warning for warning in warnings)
    is_one_line(last, "proxy", "127.0.0.1")
    assert PASSWORD not in done.stderr
    assert "geheim" not in done.stderr
    assert sandbox.journal.entries() == ()
    return done.stderr


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_proxy_that_is_down(
    scheme: str, run_tail: RunTail, sandbox: Sandbox, closed_port: int
) -> None:
    said = fails(run_tail, sandbox, f"{scheme}://{QUOTED}@127.0.0.1:{closed_port}")
    assert "Connection refused" in said
    assert "Errno" not in said


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_proxy_with_a_wrong_password(kind: str, run_tail: RunTail, sandbox: Sandbox) -> None:
    with relaying(kind, password="another") as relay:
        said = fails(run_tail, sandbox, f"{kind}://{QUOTED}@{relay.place}")
    assert "407" in said or "authentication failed" in said


FAULTY: dict[str, tuple[str, dict[str, Any], str]] = {
    "forbids": ("http", {"answer": "HTTP/1.1 403 Forbidden by policy"}, "403 Forbidden by policy"),
    "forbids, SOCKS": ("socks5", {"answer": "refused"}, "not allowed"),
    "never answers": ("http", {"answer": "nothing"}, "no answer within 2 s"),
    "never answers, SOCKS": ("socks5", {"answer": "nothing"}, "no answer within 2 s"),
    # One deadline holds for the whole dial, not one for each byte.
    "never comes to an end": ("http", {"drip": True}, "no answer within 2 s"),
    "speaks SSH": ("http", {"answer": "SSH-2.0-x"}, ""),
    "has no status": ("http", {"answer": "HTTP/1.1 abc"}, ""),
}


@pytest.mark.parametrize(("kind", "fault", "word"), FAULTY.values(), ids=FAULTY)
def test_proxy_that_does_not_work(
    kind: str, fault: dict[str, Any], word: str, run_tail: RunTail, sandbox: Sandbox
) -> None:
    with relaying(kind, **fault) as relay:
        assert word in fails(run_tail, sandbox, f"{kind}://{relay.place}")


def test_ctrl_c_ends_a_tail_whose_proxy_never_answers(
    start_tail: StartTail, sandbox: Sandbox
) -> None:
    with relaying("http", answer="nothing") as relay:
        tail = start_tail(*SELECT, "-v", "--proxy", f"http://{relay.place}", env=by_name(sandbox))
        tail.stderr.wait_for("connecting")
        tail.send_signal(2)
        assert tail.wait(timeout=5) == -2


def api_fails(run_tail: RunTail, url: str, proxy: str) -> str:
    """Log in, which is tried once, through a proxy that does not work; what was said."""
    env = {"CHATAPP_EMAIL": "a@b.invalid", "CHATAPP_APP_ID": "x", "CHATAPP_PASSWORD": "made-up"}
    done = run_tail("login", "--proxy", proxy, env={**env, "CHATAPP_API_URL": url})
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    is_one_line(done.stderr, "proxy")
    assert "geheim" not in done.stderr
    return done.stderr


def test_api_behind_a_proxy_that_is_down(run_tail: RunTail, closed_port: int) -> None:
    said = api_fails(run_tail, f"https://{NAME}", f"http://{QUOTED}@127.0.0.1:{closed_port}")
    assert "Connection refused" in said


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_api_behind_a_proxy_with_a_wrong_password(kind: str, run_tail: RunTail) -> None:
    with relaying(kind, password="another") as relay:
        said = api_fails(run_tail, f"https://{NAME}", f"{kind}://{QUOTED}@{relay.place}")
    assert "407" in said or "authentication failed" in said


def test_api_behind_a_proxy_that_forbids(run_tail: RunTail) -> None:
    with relaying("http", answer="HTTP/1.1 403 Forbidden by policy") as relay:
        assert "403" in api_fails(run_tail, f"https://{NAME}", f"http://{relay.place}")


# --- proxies that cannot be

CANNOT_BE = {
    "scheme": "ftp://{user}@127.0.0.1:1",
    "a sign that stands for others": "http://{user}\u2100@127.0.0.1:1",
}


@pytest.mark.parametrize("url", CANNOT_BE.values(), ids=CANNOT_BE)
@pytest.mark.parametrize("where", ["--proxy", "HTTP_PROXY", "CHATAPP_TAIL_PROXY"])
def test_what_cannot_be_a_proxy_is_refused_without_its_password(
    where: str, url: str, run_tail: RunTail, sandbox: Sandbox
) -> None:
    url = url.format(user=QUOTED)
    argv = ["--proxy", url] if where == "--proxy" else []
    env = {} if where == "--proxy" else {where: url}
    done = run_tail(*SELECT, *argv, env={**by_name(sandbox), **env})
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    is_one_line(done.stderr, "proxy" if where == "HTTP_PROXY" else where)
    assert "geheim" not in done.stderr


@pytest.mark.parametrize("command", [["lines"], ["doctor"], ["login"]], ids=" ".join)
def test_every_command_refuses_what_cannot_be_a_proxy(
    command: list[str], run_tail: RunTail, sandbox: Sandbox
) -> None:
    env = {
        "HTTP_PROXY": "ftp://127.0.0.1:1",
        "CHATAPP_EMAIL": sandbox.email,
        "CHATAPP_APP_ID": sandbox.app_id,
        "CHATAPP_PASSWORD": sandbox.password,
    }
    done = run_tail(*command, env={**by_name(sandbox), **env})
    assert done.returncode == 2, done.stderr
    is_one_line(done.stderr, "proxy", "environment")


@pytest.mark.defect("U16")
def test_missing_socks_package_is_said(
    start_process: StartProcess, sandbox: Sandbox, tmp_path: Path
) -> None:
    """PySocks is an extra: who has none has to be told its name."""
    (tmp_path / "socks.py").write_text("raise ImportError(name='socks')\n")
    paths = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    for command in (SELECT, ("lines",)):
        argv = [*PROGRAM, *command, "--proxy", "socks5://127.0.0.1:1"]
        done = start_process(argv, env={**by_name(sandbox), **paths})
        assert done.wait(timeout=4) == 2, done.stderr.text
        assert done.stderr.all[-1].endswith("needs the package PySocks; pip install PySocks")


def test_a_lost_proxy_is_dialled_again(start_tail: StartTail, sandbox: Sandbox) -> None:
    numbers = count()
    with relaying("socks5") as relay:
        url = f"socks5://{relay.place}"
        tail = start_tail(*SELECT, "--proxy", url, env=by_name(sandbox))
        for _ in range(2):
            sandbox.wait_subscribed(CHANNEL, scaled(15))
            publish(sandbox, [next(numbers)])
            tail.stdout.take()
            for each in list(relay.open):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            sandbox.wait_for(lambda s: s.subscribers(CHANNEL) == 0, scaled(10))
    assert tail.process.poll() is None
