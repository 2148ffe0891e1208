"""Tokens that die: renewed once for all processes, never by a login, and said when they cannot."""

import signal
import time
from pathlib import Path

import pytest

from chatapp_tail.chatapp.token_store import TokenStore
from chatapp_tail.sandbox import (
    ApiAnswered,
    ApiRequested,
    AuthRequested,
    Sandbox,
    messenger_channel,
)
from tests.conftest import LiveProcess, RunTail, StartTail, wait_until
from tests.factories import let_refreshes_be_old, log_in, state_of, stored
from tests.shell.conftest import (
    CHANNEL,
    SELECT,
    is_one_line,
    numbers_in,
    publish,
    scaled,
    without_token,
)

PROCESSES = 10
CUTS = 5


@pytest.fixture
def env(sandbox: Sandbox) -> dict[str, str]:
    return without_token(sandbox)


def answered(sandbox: Sandbox, path: str) -> list[int]:
    """The statuses a path was answered with."""
    return [each.status for each in sandbox.journal.of(ApiAnswered) if each.path == path]


def tokens_sent(sandbox: Sandbox) -> set[str]:
    """Every token that ever came in a header."""
    headers = [dict(each.headers) for each in sandbox.journal.of(ApiRequested)]
    names = ("Authorization", "Refresh")
    return {each[name] for each in headers for name in names if name in each}


# --- one process


def test_a_token_that_is_dead_at_the_start_is_renewed_once(
    subscribed_tail: StartTail, sandbox: Sandbox, home: Path
) -> None:
    before = log_in(sandbox, home)
    sandbox.expire_access_tokens()
    tail = subscribed_tail("-n", "1")
    publish(sandbox, [1])
    assert tail.wait() == 0
    assert (tail.stderr.text, sandbox.tokens_refreshed, sandbox.tokens_made) == ("", 1, 1)
    after = stored(home)
    assert after.access_token != before.access_token
    assert after.refresh_token != before.refresh_token
    assert (state_of(home) / "tokens.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("status", [200, 403])
def test_a_dead_token_is_known_by_its_code_with_any_status(
    status: int, run: RunTail, sandbox: Sandbox, home: Path
) -> None:
    log_in(sandbox, home)
    sandbox.expire_access_tokens()
    sandbox.faults.invalid_token_status = status
    assert run(*SELECT, "--for", "2s").returncode == 0
    let_refreshes_be_old(home)
    sandbox.expire_access_tokens()
    assert run("lines").returncode == 0
    assert sandbox.tokens_refreshed == 2


@pytest.mark.parametrize("argv", [("--all", "--for", "2s"), ("lines",), ("doctor",)], ids=str)
def test_every_command_renews(
    argv: tuple[str, ...], run: RunTail, sandbox: Sandbox, home: Path
) -> None:
    log_in(sandbox, home)
    sandbox.expire_access_tokens()
    assert run(*argv).returncode == 0
    assert (sandbox.tokens_refreshed, sandbox.tokens_made) == (1, 1)


def test_a_tail_outlives_its_tokens_while_the_connection_is_cut(
    start_tail: StartTail, home: Path
) -> None:
    """Each cut makes it ask for a signature again, with a token that lives for two seconds.

    It is cut as often as its back-off lets it come back.
    """
    with Sandbox(access_lifetime=2.0) as sandbox:
        log_in(sandbox, home)
        tail = start_tail(*SELECT, env=without_token(sandbox))
        began = time.time()
        for number in range(CUTS):
            sandbox.wait_subscribed(CHANNEL, scaled(30))
            publish(sandbox, [number])
            tail.stdout.take()
            sandbox.abort_sockets()
            sandbox.wait_for(lambda s: s.subscribers(CHANNEL) == 0, scaled(10))
        expiries = (time.time() - began) / 2.0
        tail.send_signal(signal.SIGTERM)
        assert tail.wait() == -15
        assert numbers_in(tail.stdout.text) == list(range(CUTS))
        assert sandbox.tokens_made == 1
        assert 1 <= sandbox.tokens_refreshed <= expiries + 1
        assert "refused" not in tail.stderr.text


def test_a_good_token_that_may_not_ends_with_what_it_may(
    run: RunTail, sandbox: Sandbox, home: Path
) -> None:
    log_in(sandbox, home)
    done = run("-l", "1229", "-m", "grWhatsapp")
    assert (done.returncode, done.stdout) == (5, "")
    is_one_line(done.stderr, "1229 has: grWhatsApp, telegram", "asked for grWhatsapp")
    done = run("-l", "1230", "-m", "telegram")
    assert (done.returncode, done.stdout) == (5, "")
    is_one_line(done.stderr, "1230 has: caWhatsApp")
    done = run("-l", "1403", "-m", "telegram")
    assert (done.returncode, done.stdout) == (5, "")
    is_one_line(done.stderr, "no licence 1403", "it has: 1402, 1")
    assert sandbox.tokens_refreshed == 0


def test_a_dead_refresh_token_ends_even_a_running_tail(
    subscribed_tail: StartTail, sandbox: Sandbox, home: Path
) -> None:
    log_in(sandbox, home)
    tail = subscribed_tail()
    sandbox.expire_access_tokens()
    sandbox.expire_refresh_tokens()
    sandbox.abort_sockets()
    assert tail.wait() == 3
    is_one_line(tail.stderr.all[-1] + "\n", "refused", "run chatapp-tail login")
    assert answered(sandbox, "/v1/tokens/refresh") == [401], "asked once, not again and again"


@pytest.mark.parametrize(
    "fault",
    ["closed", "503", "hangs", "302", "html"],
)
def test_a_refresh_that_fails_in_passing_is_tried_again(
    fault: str, start: StartTail, sandbox: Sandbox, home: Path
) -> None:
    log_in(sandbox, home)
    sandbox.expire_access_tokens()
    path, faults = "/v1/tokens/refresh", sandbox.faults
    match fault:
        case "closed":
            faults.answer_api(path, 0, calls=2)
        case "hangs":
            faults.delay_api(path, 1.0, calls=1)
        case "302":  # a captive portal
            faults.answer_api(path, 302, headers={"Location": "http://portal.invalid/"}, calls=2)
        case "html":
            faults.answer_api(path, 200, "<html>", calls=2)
        case status:
            faults.answer_api(path, int(status), calls=2)
    tail = start(*SELECT)
    wait_until(
        lambda: sandbox.subscribers(CHANNEL) > 0 or bool(ended([tail])), "the end", timeout=20
    )
    assert not ended([tail])
    assert sandbox.tokens_refreshed == 1
    assert "Traceback" not in tail.stderr.text


def test_a_login_that_another_process_renewed_is_read_again(
    subscribed_tail: StartTail, sandbox: Sandbox, home: Path
) -> None:
    log_in(sandbox, home)
    tail = subscribed_tail("-n", "1")
    sandbox.expire_access_tokens()
    after = log_in(sandbox, home)
    sandbox.abort_sockets()
    sandbox.wait_for(lambda s: s.connections == 2 and s.subscribers(CHANNEL), scaled(10))
    publish(sandbox, [1])
    assert tail.wait() == 0
    assert sandbox.tokens_refreshed == 0
    assert after.access_token in tokens_sent(sandbox)


def test_a_logout_meanwhile_ends_it_at_the_next_refusal(
    subscribed_tail: StartTail, sandbox: Sandbox, home: Path
) -> None:
    log_in(sandbox, home)
    tail = subscribed_tail()
    assert TokenStore(state_of(home)).remove("default")
    sandbox.expire_access_tokens()
    sandbox.abort_sockets()
    assert tail.wait() == 3
    is_one_line(tail.stderr.all[-1] + "\n", "removed", "chatapp-tail login")


def test_a_login_elsewhere_meanwhile_is_not_sent_here(
    subscribed_tail: StartTail, sandbox: Sandbox, home: Path
) -> None:
    """The profile now belongs to another API: its tokens must not come to this one."""
    log_in(sandbox, home)
    tail = subscribed_tail()
    with Sandbox() as other:
        theirs = log_in(other, home)
        sandbox.expire_access_tokens()
        sandbox.abort_sockets()
        status = tail.wait()
    assert theirs.access_token not in tokens_sent(sandbox)
    assert theirs.refresh_token not in tokens_sent(sandbox)
    assert status == 3
    is_one_line(tail.stderr.all[-1] + "\n", sandbox.api_url, other.api_url)


# --- tokens that cannot be renewed


def test_a_dead_token_of_the_environment_ends_with_advice(
    subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail(env={"CHATAPP_TOKEN": sandbox.token})
    sandbox.void_token()
    sandbox.abort_sockets()
    assert tail.wait() == 3
    last = tail.stderr.all[-1]
    is_one_line(last + "\n", "24 hours", "login would have renewed it")
    assert sandbox.token not in tail.stderr.text


def test_a_token_file_is_read_again(
    subscribed_tail: StartTail, sandbox: Sandbox, home: Path
) -> None:
    pair = log_in(sandbox, home, profile="another program")
    file = home / "token"
    file.write_text(pair.access_token)
    tail = subscribed_tail("--token-file", str(file), "-n", "1")
    sandbox.expire_access_tokens()
    file.write_text(log_in(sandbox, home, profile="another program").access_token + "\n")
    sandbox.abort_sockets()
    sandbox.wait_for(lambda s: s.connections == 2 and s.subscribers(CHANNEL), scaled(10))
    publish(sandbox, [1])
    assert tail.wait() == 0
    assert sandbox.tokens_refreshed == 0


@pytest.mark.parametrize("content", ["same", "", None], ids=["same token", "empty", "gone"])
def test_a_token_file_that_does_not_help(
    content: str | None, subscribed_tail: StartTail, sandbox: Sandbox, home: Path
) -> None:
    file = home / "token"
    file.write_text(sandbox.token)
    tail = subscribed_tail("--token-file", str(file))
    if content is None:
        file.unlink()
    elif not content:
        file.write_text("")
    sandbox.void_token()
    sandbox.abort_sockets()
    assert tail.wait() == 3
    is_one_line(tail.stderr.all[-1] + "\n", str(file))
    assert sandbox.token not in tail.stderr.text


# --- several processes


def test_ten_processes_renew_once(start: StartTail, sandbox: Sandbox, home: Path) -> None:
    log_in(sandbox, home)
    sandbox.expire_access_tokens()
    tails = [start(*SELECT) for _ in range(PROCESSES)]
    all_subscribed(sandbox, tails)
    assert (sandbox.tokens_refreshed, sandbox.tokens_made) == (1, 1)
    let_refreshes_be_old(home)
    sandbox.expire_access_tokens()
    sandbox.abort_sockets()
    all_subscribed(sandbox, tails, connections=2 * PROCESSES)
    assert sandbox.tokens_refreshed == 2


def all_subscribed(sandbox: Sandbox, tails: list[LiveProcess], *, connections: int = 0) -> None:
    def done() -> bool:
        came = sandbox.connections >= connections
        return bool(ended(tails)) or (came and sandbox.subscribers(CHANNEL) == len(tails))

    wait_until(done, "every tail", timeout=40)
    assert not ended(tails)


def ended(tails: list[LiveProcess]) -> list[str]:
    return [tail.stderr.text for tail in tails if tail.process.poll() is not None]


def test_channels_refused_at_once_renew_once(
    start: StartTail, sandbox: Sandbox, home: Path
) -> None:
    log_in(sandbox, home)
    sandbox.expire_access_tokens()
    tail = start("-l", "1229", "-m", "telegram", "-m", "grWhatsApp", "-v")
    tail.stderr.wait_for("ready: 2 channels")
    assert sandbox.tokens_refreshed == 1
    assert {each.channel for each in sandbox.journal.of(AuthRequested)} == {
        messenger_channel(1229, "telegram"),
        messenger_channel(1229, "grWhatsApp"),
    }
