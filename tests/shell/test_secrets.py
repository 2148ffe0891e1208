"""Secrets stay where they belong: every command, every way to fail, everything that is left."""

import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from chatapp_tail.chatapp.token_store import TokenPair
from chatapp_tail.sandbox import Connected, Sandbox
from tests.conftest import LiveProcess, RunTail, StartTail
from tests.factories import let_refreshes_be_old, log_in, state_of, stored
from tests.shell.conftest import (
    CHANNEL,
    SELECT,
    Env,
    StartTerminal,
    publish,
    received,
    scaled,
    without_token,
)

PROXY_PASSWORD = "geheim-p@ss"


class Secrets:
    """Everything that may be seen by nobody."""

    def __init__(self, sandbox: Sandbox, *pairs: TokenPair) -> None:
        self._sandbox = sandbox
        self.texts = {sandbox.token, sandbox.password, PROXY_PASSWORD, "geheim"}
        self.learn(*pairs)

    def learn(self, *pairs: TokenPair) -> None:
        for pair in pairs:
            self.texts |= {pair.access_token, pair.refresh_token}

    def check(self, where: str, *said: str) -> None:
        for text in said:
            for secret in self.texts | self._signatures():
                assert secret not in text, f"a secret in {where}: {text}"

    def _signatures(self) -> set[str]:
        sockets = [each.socket_id for each in self._sandbox.journal.of(Connected)]
        signed = [self._sandbox.account.sign(each, CHANNEL) for each in sockets]
        return {each.partition(":")[2] for each in signed}


@pytest.fixture
def env(sandbox: Sandbox) -> dict[str, str]:
    return without_token(sandbox)


@pytest.fixture
def secrets(sandbox: Sandbox, home: Path) -> Iterator[Secrets]:
    """A login, and at the end a look at everything that was left behind."""
    found = Secrets(sandbox, log_in(sandbox, home))
    yield found
    for path in home.rglob("*"):
        if path.is_file() and path.name != "tokens.json":
            found.check(str(path), path.read_bytes().decode("utf-8", "replace"))
        assert stat.S_IMODE(path.stat().st_mode) & 0o002 == 0, path
    state = state_of(home)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()} == {0o600}
    assert {path.name for path in state.iterdir()} <= {"tokens.json", "tokens.json.lock"}
    assert sandbox.password not in (state / "tokens.json").read_text()


def said(done: CompletedProcess[str]) -> tuple[str, str]:
    return done.stdout, done.stderr


def arguments(process: LiveProcess) -> str:
    return Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()


# --- all that goes well

COMMANDS = [
    ["login", "--status"],
    ["lines"],
    ["doctor"],
    ["logout", "--profile", "another"],
    [*SELECT, "-vv", "--for", "500ms"],
    [*SELECT, "-vv", "--for", "500ms", "--meta"],
    ["--all", "-vv", "--for", "500ms"],
    ["-l", "1229", "-m", "grWhatsapp", "-vv"],
]


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_commands(argv: list[str], run: RunTail, secrets: Secrets) -> None:
    done = run(*argv)
    assert done.returncode in (0, 5)
    assert "Traceback" not in done.stderr
    secrets.check(" ".join(argv), *said(done))


@pytest.mark.parametrize("output", ["json", "pretty", "raw"])
def test_a_tail_that_renews(
    output: str, subscribed_tail: StartTail, sandbox: Sandbox, secrets: Secrets, home: Path
) -> None:
    sandbox.expire_access_tokens()
    tail = subscribed_tail("-vv", "-o", output)
    publish(sandbox, [1])
    tail.stdout.take()
    let_refreshes_be_old(home)
    sandbox.expire_access_tokens()
    sandbox.abort_sockets()
    sandbox.wait_for(lambda s: s.connections == 2 and s.subscribers(CHANNEL), scaled(15))
    received(sandbox)
    secrets.learn(stored(home))
    secrets.check("/proc", arguments(tail))
    tail.send_signal(signal.SIGTERM)
    tail.wait()
    assert "pusher:subscribe" in tail.stderr.text
    secrets.check(output, tail.stdout.text, tail.stderr.text)


def test_login(
    run: RunTail,
    start_terminal: StartTerminal,
    sandbox: Sandbox,
    env: Env,
    secrets: Secrets,
    home: Path,
) -> None:
    who = ("--email", sandbox.email, "--app-id", sandbox.app_id)
    done = run("login", *who, "--password-file", "-", input=sandbox.password)
    assert done.returncode == 0
    secrets.learn(stored(home))
    secrets.check("login", *said(done))
    terminal = start_terminal("login", *who, env=env)
    terminal.wait_for(b"Password: ")
    arguments_of = Path(f"/proc/{terminal.process.pid}/cmdline").read_bytes().decode()
    terminal.type(f"{sandbox.password}\n".encode())
    assert terminal.wait() == 0
    secrets.learn(stored(home))
    secrets.check("a terminal", terminal.shown.decode(), arguments_of)


# --- all that fails

FAULTS = {
    "auth says no": (403, '{"message":"no"}'),
    "auth is broken": (500, "<html>"),
    "auth is no JSON": (200, "<html>"),
    "auth says the token is dead": (401, '{"success":false,"error":{"code":"x"}}'),
}


@pytest.mark.parametrize(("status", "body"), FAULTS.values(), ids=FAULTS)
def test_auth_that_fails(
    status: int, body: str, run: RunTail, sandbox: Sandbox, secrets: Secrets
) -> None:
    sandbox.faults.answer_auth(status, body)
    argv = (*SELECT, "-vv", "--log-format", "json", "--for", "1s")
    done = run(*argv)
    assert done.stderr
    secrets.check("stderr", *said(done))


@pytest.mark.parametrize("argv", [SELECT, ("lines",), ("doctor",), ("--all",)], ids=" ".join)
def test_a_login_that_is_dead(
    argv: tuple[str, ...], run: RunTail, sandbox: Sandbox, secrets: Secrets
) -> None:
    sandbox.expire_access_tokens()
    sandbox.expire_refresh_tokens()
    done = run(*argv)
    assert done.returncode == 3
    assert "chatapp-tail login" in done.stderr + done.stdout
    secrets.check("stderr", *said(done))


@pytest.mark.parametrize("answer", ["{}", '{"data":{"accessToken":"%s"}}', "[" * 50_000])
def test_a_refresh_whose_answer_is_odd(
    answer: str, run: RunTail, sandbox: Sandbox, secrets: Secrets
) -> None:
    odd = "made-up-new-access"
    secrets.texts.add(odd)
    sandbox.expire_access_tokens()
    sandbox.faults.answer_api("/v1/tokens/refresh", 200, answer.replace("%s", odd))
    done = run("lines")
    assert done.returncode == 4
    secrets.check("stderr", *said(done))


@pytest.mark.parametrize("token", ["geheim\n$2y", "geheim-ключ"])
def test_a_token_that_cannot_be_one(token: str, run: RunTail, secrets: Secrets, home: Path) -> None:
    file = home.parent / "token"
    file.write_text(token)
    for whole, argv in (({"CHATAPP_TOKEN": token}, ()), ({}, ("--token-file", str(file)))):
        done = run(*SELECT, *argv, env=whole)
        assert done.returncode == 3
        secrets.check("stderr", *said(done))


@pytest.mark.parametrize("argv", [SELECT, ("lines",), ("doctor",)], ids=" ".join)
def test_a_proxy_that_is_down(
    argv: tuple[str, ...], run: RunTail, closed_port: int, secrets: Secrets
) -> None:
    url = f"http://user:geheim-p%40ss@127.0.0.1:{closed_port}"
    more = ("-vv", "--no-reconnect") if argv == SELECT else ()
    done = run(*argv, *more, env={"CHATAPP_TAIL_PROXY": url})
    assert done.returncode == 4
    secrets.check("stderr", *said(done))


@pytest.mark.parametrize(
    "argv",
    [
        ["--token", "geheim"],
        ["login", "--password", "geheim"],
        ["--proxy", "ftp://u:geheim@h"],
        ["--api-url", "https://u:geheim@h"],
        ["--ws-url", "wss://u:geheim@h"],
    ],
    ids=" ".join,
)
def test_secrets_that_were_typed_are_not_repeated(argv: list[str], run: RunTail) -> None:
    """What stderr says ends in log files."""
    done = run(*argv)
    assert done.returncode == 2
    assert "geheim" not in done.stderr


@pytest.mark.parametrize(
    "frame",
    [
        '{"event":"x","data":{"auth":"%s"}}',
        '{"event":"x","data":"{\\"auth\\":\\"%s\\"}"}',
        '{"event":"pusher:error","data":{"code":4301,"message":"bad signature: %s"}}',
        '{"event":"pusher:error","data":"{\\"code\\":4301,\\"message\\":\\"not signed: %s\\"}"}',
    ],
    ids=["member", "in a text", "error", "error in a text"],
)
def test_a_signature_that_the_server_sends_back(
    frame: str, subscribed_tail: StartTail, sandbox: Sandbox, secrets: Secrets
) -> None:
    """Pusher's own error for a signature it does not like repeats it."""
    tail = subscribed_tail("-vv")
    (connected,) = sandbox.journal.of(Connected)
    sandbox.send_frame(frame.replace("%s", sandbox.account.sign(connected.socket_id, CHANNEL)))
    received(sandbox)
    tail.send_signal(signal.SIGTERM)
    tail.wait()
    secrets.check("stderr", tail.stderr.text)
