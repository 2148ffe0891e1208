"""Login, its status and logout: from terminals, files and variables; what is kept, and how."""

import json
import os
import stat
import subprocess
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from chatapp_tail.chatapp.token_store import TokenStore
from chatapp_tail.sandbox import ApiRequested, Sandbox
from tests.conftest import PROGRAM, RunTail, StartProcess
from tests.factories import log_in, state_of, stored
from tests.shell.conftest import (
    SELECT,
    Env,
    StartShell,
    StartTerminal,
    Terminal,
    is_one_line,
    who,
    without_token,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def env(sandbox: Sandbox) -> dict[str, str]:
    return without_token(sandbox)


# --- on a terminal


def echoes(terminal: Terminal) -> bool:
    """Whether the terminal shows what is typed; asked on its other end, which is the same."""
    flags: int = termios.tcgetattr(terminal._master)[3]
    return bool(flags & termios.ECHO)


def leave(terminal: Terminal, keys: bytes) -> int:
    """Type this until the program ends; its status.

    Python misses a Ctrl-C in the microseconds between the prompt and the wait for an answer, which
    only a test can hit.
    """
    for _ in range(4):
        terminal.type(keys)
        with suppress(subprocess.TimeoutExpired):
            return terminal.wait()
    raise AssertionError("it does not end")


def test_all_is_asked_for_on_stderr_and_the_password_is_not_shown(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Env, pipe: tuple[int, int], home: Path
) -> None:
    terminal = start_terminal("login", env=env, stdout=pipe[1])
    os.close(pipe[1])
    terminal.wait_for(b"Email: ")
    terminal.type(f"{sandbox.email}\n".encode())
    terminal.wait_for(b"appId: ")
    terminal.type(f"{sandbox.app_id}\n".encode())
    terminal.wait_for(b"Password: ")
    assert not echoes(terminal)
    terminal.type(f"{sandbox.password}\n".encode())
    terminal.wait_for(b"logged in as demo@example.invalid")
    assert terminal.wait() == 0
    assert sandbox.password.encode() not in terminal.shown
    assert os.read(pipe[0], 100) == b"", "prompts are no output"
    assert sandbox.tokens_made == 1
    assert stored(home)


@pytest.mark.parametrize("typed", [b"\x03", b"made-up pass\x03"], ids=["at once", "half typed"])
def test_ctrl_c_at_the_password_brings_the_echo_back(
    typed: bytes, start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    terminal = start_terminal("login", *who(sandbox), env=env)
    terminal.wait_for(b"Password: ")
    assert not echoes(terminal)
    assert leave(terminal, typed) == -2
    assert echoes(terminal)
    assert b"made-up" not in terminal.shown
    assert b"Traceback" not in terminal.shown
    assert sandbox.journal.of(ApiRequested) == ()


@pytest.mark.parametrize("keys", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_leaving_at_the_first_question(
    keys: bytes, start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    terminal = start_terminal("login", env=env)
    terminal.wait_for(b"Email: ")
    assert leave(terminal, keys) != 0
    assert b"Traceback" not in terminal.shown
    assert sandbox.journal.of(ApiRequested) == ()


def test_only_what_is_missing_is_asked_for(
    start_terminal: StartTerminal, sandbox: Sandbox, env: Env
) -> None:
    variables = {"CHATAPP_EMAIL": sandbox.email, "CHATAPP_PASSWORD": sandbox.password}
    terminal = start_terminal("login", env={**env, **variables})
    terminal.wait_for(b"appId: ")
    assert b"Email" not in terminal.shown
    assert b"Password" not in terminal.shown
    terminal.type(f"{sandbox.app_id}\n".encode())
    assert terminal.wait() == 0


# --- without one


def test_from_options_and_standard_input(run: RunTail, sandbox: Sandbox, home: Path) -> None:
    argv = ("login", *who(sandbox), "--password-file", "-")
    done = run(*argv, input=f"{sandbox.password}\n")
    assert (done.returncode, done.stdout) == (0, "")
    is_one_line(done.stderr, "logged in", sandbox.email, str(state_of(home)))
    assert mode(state_of(home)) == 0o700
    assert mode(state_of(home) / "tokens.json") == 0o600
    kept = (state_of(home) / "tokens.json").read_text()
    assert sandbox.password not in kept
    assert stored(home).access_token not in done.stderr
    assert run(*SELECT, "--for", "2s").returncode == 0


@pytest.mark.parametrize("end", ["", "\r\n"], ids=repr)
def test_from_variables_and_a_file(
    end: str, run: RunTail, sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_bytes(f"{sandbox.password}{end}".encode())
    variables = {"CHATAPP_EMAIL": sandbox.email, "CHATAPP_APP_ID": sandbox.app_id}
    done = run("login", "--password-file", str(file), env=variables)
    assert done.returncode == 0, done.stderr
    assert sandbox.tokens_made == 1


def test_space_in_a_password_file_is_part_of_the_password(run: RunTail, sandbox: Sandbox) -> None:
    argv = ("login", *who(sandbox), "--password-file", "-")
    assert run(*argv, input=f" {sandbox.password} \n").returncode == 3


def test_a_umask_that_shares_everything_does_not_share_tokens(
    start_shell: StartShell, sandbox: Sandbox, env: Env, home: Path
) -> None:
    login = "umask 0; chatapp-tail login"
    account = {"CHATAPP_EMAIL": sandbox.email, "CHATAPP_APP_ID": sandbox.app_id}
    whole = {**env, **account, "CHATAPP_PASSWORD": sandbox.password}
    assert start_shell(login, env=whole).wait() == 0
    assert mode(state_of(home)) == 0o700
    assert {mode(each) for each in state_of(home).iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ([], "--email"),
        (["--email", "demo@example.invalid"], "--password-file"),
        (["--email", "demo@example.invalid", "--password-file", "-"], "--app-id"),
    ],
    ids=["nothing", "no password", "no appId"],
)
def test_what_cannot_be_asked_for_is_named(
    arguments: list[str], missing: str, run: RunTail, sandbox: Sandbox
) -> None:
    done = run("login", *arguments, input="made-up password\n")
    assert (done.returncode, done.stdout) == (2, "")
    is_one_line(done.stderr, missing, "terminal")
    assert sandbox.journal.of(ApiRequested) == ()


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfemade-up"], ids=["empty", "line", "bin"])
def test_a_password_file_that_holds_none(
    content: bytes, run: RunTail, sandbox: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    done = run("login", *who(sandbox), "--password-file", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    is_one_line(done.stderr, str(file))
    assert "0xff" not in done.stderr, "a byte of the password"


def test_a_password_file_that_is_not_there(run: RunTail, sandbox: Sandbox) -> None:
    done = run("login", *who(sandbox), "--password-file", "/nonexistent/file")
    assert done.returncode == 2
    is_one_line(done.stderr, "/nonexistent/file", "No such file")
    assert "Errno" not in done.stderr


def test_standard_input_that_is_closed(start_shell: StartShell, sandbox: Sandbox, env: Env) -> None:
    argv = " ".join(("chatapp-tail", "login", *who(sandbox), "--password-file", "-"))
    shell = start_shell(f"exec {argv} <&-", env=env)
    assert shell.wait() == 2
    is_one_line(shell.stderr.text, "password")


# --- refused


def refused_login(run_tail: RunTail, sandbox: Sandbox, env: Env) -> tuple[int, str]:
    """Log in with a made-up password that is wrong; the status and what was said."""
    argv = ("login", *who(sandbox), "--password-file", "-")
    done = run_tail(*argv, env=env, input="Wr0ng-made-up\n")
    assert done.stdout == ""
    assert "Wr0ng" not in done.stderr
    is_one_line(done.stderr)
    return done.returncode, done.stderr


def test_wrong_password(run_tail: RunTail, sandbox: Sandbox, env: Env, home: Path) -> None:
    status, said = refused_login(run_tail, sandbox, env)
    assert status == 3
    assert "email, password and appId" in said
    assert not (state_of(home) / "tokens.json").exists()


@pytest.mark.parametrize("wait", [None, 7])
def test_used_up_quota(wait: int | None, run_tail: RunTail, sandbox: Sandbox, env: Env) -> None:
    headers = {} if wait is None else {"Retry-After": str(wait)}
    sandbox.faults.answer_api("/v1/tokens", 429, headers=headers)
    status, said = refused_login(run_tail, sandbox, env)
    assert status == 4
    assert "100 logins a day" in said
    assert (f"wait {wait} s" in said) == (wait is not None)
    assert sandbox.api_requests("/v1/tokens") == 1, "a login is never repeated"


PLACES = {
    "404": (404, "<html>", {}),
    "a redirect": (302, "", {"Location": "https://other.example.invalid/"}),
    "405": (405, "", {}),
}


@pytest.mark.parametrize(("status", "body", "headers"), PLACES.values(), ids=PLACES)
def test_an_api_that_is_none_is_not_blamed_on_the_password(
    status: int, body: str, headers: dict[str, str], run_tail: RunTail, sandbox: Sandbox, env: Env
) -> None:
    sandbox.faults.answer_api("/v1/tokens", status, body, headers)
    ended, said = refused_login(run_tail, sandbox, env)
    assert str(status) in said
    assert "--api-url" in said
    assert ended == 4


@pytest.mark.parametrize("body", ["<html>", "{}", '{"success":true,"data":{"accessToken":5}}'])
def test_an_answer_without_tokens(
    body: str, run_tail: RunTail, sandbox: Sandbox, env: Env, home: Path
) -> None:
    sandbox.faults.answer_api("/v1/tokens", 200, body)
    status, said = refused_login(run_tail, sandbox, env)
    assert (status, "--api-url" in said) == (4, True)
    assert not (state_of(home) / "tokens.json").exists()


# --- where it is kept


def test_a_file_that_others_can_read_is_not_used(
    run: RunTail, sandbox: Sandbox, home: Path
) -> None:
    pair = log_in(sandbox, home)
    file = state_of(home) / "tokens.json"
    file.chmod(0o644)
    before = len(sandbox.journal.entries())
    for argv in ([*SELECT], ["lines"], ["login", "--status"], ["logout"]):
        done = run(*argv)
        assert (done.returncode, done.stdout) == (3, ""), argv
        is_one_line(done.stderr, str(file), "0644", "chmod 600")
        assert pair.access_token not in done.stderr
    done = run("doctor", "-o", "json")
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr, found["check"]) == (3, "", "configuration")
    assert "chmod 600" in found["found"]
    assert pair.access_token not in done.stdout
    assert len(sandbox.journal.entries()) == before


DAMAGED = {
    "cut": b'{"version":1,"profiles":{"default":{"email":',
    "nested without end": b"[" * 100_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_said(content: bytes, run: RunTail, home: Path) -> None:
    TokenStore(state_of(home))._make_directory()
    file = state_of(home) / "tokens.json"
    file.touch(mode=0o600)
    file.write_bytes(content)
    done = run("lines")
    assert (done.returncode, done.stdout) == (3, "")
    is_one_line(done.stderr, str(file), "damaged", "chatapp-tail login")
    assert file.read_bytes() == content


def login_by_variables(sandbox: Sandbox) -> dict[str, str]:
    return {
        "CHATAPP_EMAIL": sandbox.email,
        "CHATAPP_APP_ID": sandbox.app_id,
        "CHATAPP_PASSWORD": sandbox.password,
    }


@pytest.mark.parametrize("obstacle", ["parent", "lock", "file"])
def test_a_state_directory_that_cannot_be_written(
    obstacle: str, run_tail: RunTail, sandbox: Sandbox, env: Env, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    if obstacle == "parent":
        state = Path("/proc/nobody")
    else:
        name = {"lock": "tokens.json.lock", "file": "tokens.json"}[obstacle]
        (state / "chatapp-tail" / name).mkdir(parents=True, mode=0o700)
    whole = {**env, **login_by_variables(sandbox), "XDG_STATE_HOME": str(state)}
    done = run_tail("login", env=whole)
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    is_one_line(done.stderr, str(state))


def test_no_login_is_spent_when_it_could_not_be_kept(
    run_tail: RunTail, sandbox: Sandbox, env: Env
) -> None:
    """There are 100 a day, and the tokens of this one would be lost."""
    whole = {**env, **login_by_variables(sandbox), "XDG_STATE_HOME": "/proc/nobody"}
    assert run_tail("login", env=whole).returncode == 3
    assert sandbox.tokens_made == 0


def test_no_login_is_spent_when_the_file_is_not_trusted(
    run: RunTail, sandbox: Sandbox, home: Path
) -> None:
    log_in(sandbox, home)
    (state_of(home) / "tokens.json").chmod(0o644)
    done = run("login", env={**login_by_variables(sandbox)})
    assert done.returncode == 3
    assert sandbox.tokens_made == 1


STATE_PATH = """
import os
import msgspec, platformdirs.unix, chatapp_tail.chatapp.token_store as token_store
os.setuid(54321)
try:
    print(token_store.TokenStore().path)
except token_store.CredentialsError:
    print("refused")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_user_whom_no_passwd_knows_gets_no_file_in_an_odd_place(
    start_process: StartProcess,
) -> None:
    """As in a container: neither a traceback, nor a directory that is named `~`."""
    process = start_process(["env", "-u", "HOME", PROGRAM[0], "-c", STATE_PATH])
    assert process.wait() == 0
    assert process.stdout.take() == "refused"


def test_a_home_that_is_empty_is_said(run: RunTail) -> None:
    for argv in (["lines"], [*SELECT], ["login", "--status"]):
        done = run(*argv, env={"HOME": ""})
        assert (done.returncode, done.stdout) == (3, ""), done.stderr
        is_one_line(done.stderr, "HOME")


def test_without_home_the_state_directory_of_xdg_is_enough(
    run_tail: RunTail, sandbox: Sandbox, env: Env, tmp_path: Path
) -> None:
    whole = {**env, **login_by_variables(sandbox), "HOME": "", "XDG_STATE_HOME": str(tmp_path)}
    assert run_tail("login", env=whole).returncode == 0
    assert mode(tmp_path / "chatapp-tail" / "tokens.json") == 0o600


# --- status, profiles, logout


def test_status_says_who_and_how_long_and_never_the_tokens(
    run: RunTail, sandbox: Sandbox, home: Path
) -> None:
    pair = log_in(sandbox, home)
    done = run("login", "--status")
    assert (done.returncode, done.stderr) == (0, "")
    for word in (sandbox.email, sandbox.app_id, sandbox.api_url, "default", "23 h", "13 d"):
        assert word in done.stdout
    assert pair.access_token not in done.stdout
    assert pair.refresh_token not in done.stdout
    assert sandbox.tokens_checked == 0, "it asks nobody"


def test_status_of_a_login_that_is_over(run_tail: RunTail, home: Path) -> None:
    with Sandbox(access_lifetime=-10, refresh_lifetime=-5) as dead:
        log_in(dead, home)
        done = run_tail("login", "--status", env=without_token(dead))
    assert done.stdout.count("over") == 2
    assert "chatapp-tail login" in done.stdout


def test_status_of_nobody(run: RunTail) -> None:
    done = run("login", "--status", "--profile", "work")
    assert (done.returncode, done.stdout) == (3, "")
    is_one_line(done.stderr, "work", "chatapp-tail login")


def test_profiles_are_kept_apart(
    run_tail: RunTail, sandbox: Sandbox, env: Env, home: Path, run: RunTail
) -> None:
    account = {**env, **login_by_variables(sandbox)}
    for profile in ("work", "private"):
        assert run_tail("login", "--profile", profile, env=account).returncode == 0
    assert stored(home, profile="work") != stored(home, profile="private")
    assert run("lines").returncode == 3
    assert run("lines", "--profile", "work").returncode == 0
    assert run("lines", env={"CHATAPP_TAIL_PROFILE": "work"}).returncode == 0
    assert run("logout", "--profile", "work").returncode == 0
    assert run("lines", "--profile", "work").returncode == 3
    assert run("lines", "--profile", "private").returncode == 0


def test_a_profile_that_is_no_text_is_refused(
    start_shell: StartShell, sandbox: Sandbox, env: Env
) -> None:
    login = "exec chatapp-tail login --profile \"$(printf 'a\\377')\""
    shell = start_shell(login, env={**env, **login_by_variables(sandbox)})
    assert shell.wait() == 2
    is_one_line(shell.stderr.text, "--profile")


def test_logout_forgets(run: RunTail, sandbox: Sandbox, home: Path) -> None:
    pair = log_in(sandbox, home)
    done = run("logout")
    assert (done.returncode, done.stdout) == (0, "")
    is_one_line(done.stderr, "default", "removed")
    kept = (state_of(home) / "tokens.json").read_text()
    assert pair.access_token not in kept
    assert json.loads(kept)["profiles"] == {}
    is_one_line(run("logout").stderr, "no login")


def test_a_second_login_replaces_the_first(run: RunTail, sandbox: Sandbox, home: Path) -> None:
    first = log_in(sandbox, home)
    assert run("login", env={**login_by_variables(sandbox)}).returncode == 0
    assert stored(home).access_token != first.access_token
    assert first.access_token not in (state_of(home) / "tokens.json").read_text()


# --- whose tokens they are


@pytest.mark.parametrize("argv", [SELECT, ("lines",), ("doctor",)], ids=lambda argv: argv[0])
def test_a_login_made_elsewhere_is_not_sent_here(
    argv: tuple[str, ...], run_tail: RunTail, sandbox: Sandbox, home: Path
) -> None:
    with Sandbox() as other:
        log_in(other, home)
    done = run_tail(*argv, env=without_token(sandbox))
    assert done.returncode == 3
    for word in (other.api_url, sandbox.api_url, "--profile"):
        assert word in (done.stdout if argv == ("doctor",) else done.stderr)
    assert argv == ("doctor",) or done.stdout == ""
    assert sandbox.journal.of(ApiRequested) == ()
