"""Homes, locales, variables, interpreters: the same records everywhere, and secrets nowhere."""

import json
import signal
import sys
import sysconfig
from pathlib import Path

import pytest

from chatapp_tail.sandbox import Connected, Sandbox
from tests.conftest import PROGRAM, RunTail, StartProcess, StartTail
from tests.shell.conftest import (
    CHANNEL,
    SELECT,
    Env,
    message,
    numbers_in,
    publish,
    reaching,
    received,
    subscribed,
)

UNICODE = "Привет, 山田 👍🏽 é — ok"


# --- home


def test_without_home(start_process: StartProcess, sandbox: Sandbox, env: Env) -> None:
    argv = ["env", "-u", "HOME", *PROGRAM, *SELECT, "-n", "1"]
    tail = start_process(argv, env=env)
    subscribed(sandbox)
    publish(sandbox, [1])
    assert tail.wait() == 0
    assert (numbers_in(tail.stdout.text), tail.stderr.text) == ([1], "")


@pytest.mark.parametrize(
    "variables",
    [
        *({"HOME": directory} for directory in ("/proc", "/dev/null", "/nonexistent", "")),
        {"TMPDIR": "/nonexistent"},
        {"PYTHONUNBUFFERED": "1"},
    ],
    ids=str,
)
def test_what_makes_no_difference(variables: Env, run_tail: RunTail, greeter: Sandbox) -> None:
    """A home that cannot be written, no directory for temporary files, unbuffered output."""
    done = run_tail(*SELECT, "-n", "1", env={**reaching(greeter), **variables})
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_left_in_home(run_tail: RunTail, greeter: Sandbox, home: Path) -> None:
    assert run_tail(*SELECT, "-n", "1", env=reaching(greeter)).returncode == 0
    assert list(home.iterdir()) == []


# --- locales

LOCALES = [
    {"LANG": "C"},
    {"LANG": "", "LC_ALL": "POSIX"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "utf-16"},
    {"LC_ALL": "no_SUCH.locale"},
]
each_locale = pytest.mark.parametrize(
    "locale", LOCALES, ids=lambda locale: ",".join(map("=".join, locale.items()))
)


@each_locale
def test_json_is_utf_8_in_every_locale(
    locale: Env, subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail("-n", "1", env=locale)
    publish(sandbox, [1], UNICODE)
    assert tail.wait() == 0
    assert UNICODE in tail.stdout.text  # which was decoded as UTF-8
    assert tail.stderr.text == ""


@each_locale
def test_pretty_never_fails(locale: Env, subscribed_tail: StartTail, sandbox: Sandbox) -> None:
    tail = subscribed_tail("-o", "pretty", "-n", "2", env=locale)
    publish(sandbox, [1, 2], UNICODE)
    assert tail.wait() == 0
    assert tail.stdout.text
    assert tail.stderr.text == ""


@each_locale
def test_trouble_can_be_said(locale: Env, subscribed_tail: StartTail, sandbox: Sandbox) -> None:
    sandbox.faults.answer_auth(503, '{"message":"недоступно"}'.encode(), calls=1)
    tail = subscribed_tail("-n", "1", env=locale)
    publish(sandbox, [1])
    assert tail.wait() == 0
    assert len(numbers_in(tail.stdout.text)) == 1


@each_locale
def test_help_is_readable(locale: Env, run_tail: RunTail) -> None:
    done = run_tail("--help", env=locale)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--license" in done.stdout.replace("\0", "")


# --- terminals that are none


@pytest.mark.parametrize(
    "variables",
    [
        *({"TERM": term} for term in ("dumb", "", "no-such-terminal")),
        *({"COLUMNS": columns} for columns in ("0", "1", "-5", "many", "1000000")),
    ],
    ids=str,
)
def test_pretty_in_a_pipe_has_no_colour_and_bears_odd_terminals(
    variables: Env, subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    tail = subscribed_tail("-o", "pretty", "-n", "1", env=variables)
    publish(sandbox, [1], "words")
    assert tail.wait() == 0
    assert "words" in tail.stdout.text
    assert "\x1b" not in tail.stdout.text


def test_columns_limit_the_width(subscribed_tail: StartTail, sandbox: Sandbox) -> None:
    tail = subscribed_tail("-o", "pretty", "-n", "1", env={"COLUMNS": "40"})
    publish(sandbox, [1], "several words that need more room than one line has " * 2)
    assert tail.wait() == 0
    assert len(tail.stdout.all) > 1
    assert max(map(len, tail.stdout.all)) <= 40


# --- options from variables


def test_options_from_variables(start_tail: StartTail, sandbox: Sandbox, env: Env) -> None:
    tail = start_tail(
        env={
            **env,
            "CHATAPP_TAIL_LICENSE": "1229",
            "CHATAPP_TAIL_MESSENGER": "telegram grWhatsApp",
            "CHATAPP_TAIL_EVENT": "message",
            "CHATAPP_TAIL_OUTPUT": "raw",
            "CHATAPP_TAIL_COUNT": "2",
        }
    )
    subscribed(sandbox)
    sandbox.publish(CHANNEL, "chatTag", "{}")
    publish(sandbox, [1, 2, 3])
    assert tail.wait() == 0
    assert [json.loads(line)["queue"] for line in tail.stdout.all] == [
        "Telegram.Broadcast.Message",
        "Telegram.Broadcast.Message",
    ]


@pytest.mark.parametrize(
    ("variables", "flags"),
    [
        ({"CHATAPP_TAIL_COUNT": "9"}, ["-n", "1"]),
        ({"CHATAPP_TAIL_LICENSE": "99"}, []),
        ({"CHATAPP_TAIL_OUTPUT": "pretty"}, ["-o", "json"]),
        ({"CHATAPP_TAIL_OUTPUT": "pretty"}, ["--json"]),
        ({"CHATAPP_APP_KEY": "wrong"}, ["--app-key", "ChatsAppApiProdKey"]),
        ({"CHATAPP_WS_URL": "ws://127.0.0.1:9"}, ["--ws-url", "{ws}"]),
        ({"CHATAPP_API_URL": "http://127.0.0.1:9"}, ["--api-url", "{api}"]),
        ({"CHATAPP_WS_URL": "ws://127.0.0.1:9", "CHATAPP_TAIL_WS_URL": "{ws}"}, []),
        ({"CHATAPP_APP_KEY": "wrong", "CHATAPP_TAIL_APP_KEY": "ChatsAppApiProdKey"}, []),
        ({"CHATAPP_APP_KEY": "", "CHATAPP_TAIL_EVENT": ""}, []),
    ],
    ids=lambda value: ",".join(value),
)
def test_flag_wins_over_variable(
    variables: Env, flags: list[str], run_tail: RunTail, greeter: Sandbox
) -> None:
    def filled(text: str) -> str:
        return text.format(ws=greeter.ws_url, api=greeter.api_url)

    done = run_tail(
        *(*SELECT, "--for", "5s", "-n", "1", *map(filled, flags)),
        env=reaching(greeter) | {name: filled(value) for name, value in variables.items()},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["v"] == 1


# --- interpreters and ways in


@pytest.mark.parametrize("option", ["-O", "-OO", "-I", "-Xdev"])
def test_options_of_the_interpreter(
    option: str, start_process: StartProcess, sandbox: Sandbox, env: Env
) -> None:
    tail = start_process([sys.executable, option, *PROGRAM[1:], *SELECT, "-n", "1"], env=env)
    subscribed(sandbox)
    publish(sandbox, [1])
    assert tail.wait() == 0
    assert (numbers_in(tail.stdout.text), tail.stderr.text) == ([1], "")


@pytest.mark.parametrize("arguments", [["--version"], ["-h"], ["--help"], ["--lisense"], []])
def test_module_and_command_are_one(
    arguments: list[str], run_tail: RunTail, start_process: StartProcess
) -> None:
    script = Path(sysconfig.get_path("scripts")) / "chatapp-tail"
    if not script.exists():
        pytest.skip("the package is not installed in this environment")
    command = start_process([str(script), *arguments])
    status = command.wait()
    done = run_tail(*arguments)
    assert status == done.returncode
    assert command.stdout.text == done.stdout
    assert command.stderr.text == done.stderr


def test_version_and_help_need_nothing(run_tail: RunTail) -> None:
    nothing = {"CHATAPP_TOKEN": "", "HOME": "/nonexistent"}
    version, brief, long = (run_tail(o, env=nothing) for o in ("--version", "-h", "--help"))
    assert (version.returncode, brief.returncode, long.returncode) == (0, 0, 0)
    assert brief.stdout == long.stdout
    assert brief.stdout.index("Examples") < brief.stdout.index("Select:")
    assert max(map(len, brief.stdout.splitlines())) <= 80


# --- secrets


@pytest.mark.parametrize("verbosity", ["-v", "-vv", "-vvv"])
def test_secrets_are_never_said(
    verbosity: str, subscribed_tail: StartTail, sandbox: Sandbox
) -> None:
    sandbox.faults.answer_auth(503, calls=1)
    tail = subscribed_tail(verbosity)
    sandbox.publish(CHANNEL, "message", message(1))
    received(sandbox)
    tail.stderr.wait_for("ready")
    tail.send_signal(signal.SIGTERM)
    tail.wait()
    (connected,) = sandbox.journal.of(Connected)
    signature = sandbox.account.sign(connected.socket_id, CHANNEL).partition(":")[2]
    assert len(signature) == 64
    assert ("pusher:subscribe" in tail.stderr.text) == (verbosity != "-v")
    for said in (tail.stdout.text, tail.stderr.text):
        assert signature not in said
        assert sandbox.token not in said
        assert "Traceback" not in said


def test_token_is_not_in_the_arguments(subscribed_tail: StartTail, sandbox: Sandbox) -> None:
    tail = subscribed_tail()
    arguments = Path(f"/proc/{tail.pid}/cmdline").read_text()
    assert "--license" in arguments
    assert sandbox.token not in arguments
