"""What was typed → what will run."""

from pathlib import Path
from typing import Any

import pytest

from chatapp_tail.cli.config import Arguments, Settings, compile_settings
from chatapp_tail.cli.destination import Command
from chatapp_tail.cli.options import ForwardBody
from chatapp_tail.errors import UsageError
from chatapp_tail.formats import Output
from chatapp_tail.formats.colors import ColorMode
from chatapp_tail.formats.times import TimeStyle
from chatapp_tail.pusher.connection import Endpoint, Timing
from chatapp_tail.reporting.notices import Level, LogFormat
from chatapp_tail.sinks.http import HttpSettings
from chatapp_tail.tail.deadlines import Limits
from tests.factories import CHANNEL

TYPED: dict[str, Any] = {
    "licenses": (1229,),
    "messengers": ("telegram",),
    "channels": (),
    "events": (),
    "excluded_events": (),
    "incoming": False,
    "outgoing": False,
    "chats": (),
    "patterns": (),
    "excluded_patterns": (),
    "where": (),
    "output": Output.AUTO,
    "template": None,
    "color": ColorMode.AUTO,
    "time_style": TimeStyle.LOCAL,
    "count": None,
    "duration": None,
    "idle": None,
    "endpoints": (Endpoint.parse("ws://127.0.0.1:1"), Endpoint.parse("ws://127.0.0.1:2")),
    "api_url": "http://127.0.0.1:3",
    "app_key": "made-up",
    "ca_file": None,
    "token_file": None,
    "profile": "default",
    "sandbox": False,
    "everything": False,
    "proxy": None,
    "ping_interval": 15.0,
    "pong_timeout": 10.0,
    "connect_timeout": 10.0,
    "max_retries": None,
    "strict": False,
    "spool_limit": 1000,
    "meta": False,
    "since": None,
    "resume": None,
    "backfill": True,
    "backfill_wait": 10.0,
    "quiet": False,
    "verbose": 0,
    "log_format": LogFormat.TEXT,
    "forward_to": None,
    "forward_to_typed": True,
    "forward_headers": (),
    "forward_body": ForwardBody.WEBHOOK,
    "forward_secret_file": None,
    "forward_timeout": 30.0,
    "forward_retry_for": None,
    "forward_ca_file": None,
    "create_stream": False,
    "nats_creds": None,
    "exec_command": None,
    "exec_timeout": 30.0,
    "jobs": None,
    "dead_letters": None,
}


def compiled(*, terminal: bool = False, watched: bool = False, **typed: Any) -> Settings:
    return compile_settings(
        Arguments(**(TYPED | typed)), stdout_is_terminal=terminal, watched=watched
    )


def test_the_connection_gets_what_was_typed() -> None:
    connection = compiled(
        ping_interval=5.0,
        pong_timeout=3.0,
        connect_timeout=2.0,
        max_retries=4,
        strict=True,
        ca_file="ca.pem",
    ).connection
    assert connection.endpoints == TYPED["endpoints"]
    assert connection.app_key == "made-up"
    assert connection.channels == (CHANNEL,)
    assert connection.timing == Timing(ping_interval=5.0, pong_timeout=3.0)
    assert connection.connect_timeout == 2.0
    assert connection.max_retries == 4
    assert connection.strict
    assert connection.ca_file == "ca.pem"


def test_limits_and_filters() -> None:
    settings = compiled(count=3, duration=5.0, idle=7.0, events=("a", "b"), excluded_events=("b",))
    assert settings.limits == Limits(count=3, duration=5.0, idle=7.0)
    assert settings.view.keep_event("a")
    assert not settings.view.keep_event("b")
    assert not settings.view.keep_event("c")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_of_the_environment_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "ftp://made-up.invalid")
    with pytest.raises(UsageError, match="the proxy that the environment names"):
        compiled(api_url="http://made-up.invalid")
    assert compiled().connection.proxy is None  # nothing of it is asked on the loopback


def test_nothing_selected_shows_the_ways_to_select() -> None:
    with pytest.raises(UsageError) as raised:
        compiled(licenses=(), messengers=())
    for way in ("--license", "--messenger", "--channel", "--all"):
        assert way in str(raised.value)


@pytest.mark.parametrize(
    "typed",
    [
        {"messengers": ()},
        {"licenses": ()},
        {"licenses": (), "messengers": (), "channels": ("news",)},
        {"licenses": (), "messengers": (), "everything": True},
    ],
    ids=["licence", "messenger", "channel", "all"],
)
def test_one_way_to_select_is_enough(typed: dict[str, Any]) -> None:
    assert not compiled(**typed).selection.is_empty


@pytest.mark.parametrize(
    ("output", "terminal", "meta", "expected"),
    [
        (Output.AUTO, True, False, Output.PRETTY),
        (Output.AUTO, False, False, Output.JSON),
        (Output.AUTO, True, True, Output.JSON),
        (Output.AUTO, False, True, Output.JSON),
        (Output.JSON, True, True, Output.JSON),
        (Output.JSON, True, False, Output.JSON),
        (Output.PRETTY, False, False, Output.PRETTY),
        (Output.RAW, True, False, Output.RAW),
        (Output.CSV, True, False, Output.CSV),
        (Output.TEMPLATE, True, False, Output.TEMPLATE),
    ],
)
def test_output(output: Output, terminal: bool, meta: bool, expected: Output) -> None:
    settings = compiled(output=output, template="{text}", terminal=terminal, meta=meta)
    assert settings.view.output is expected
    assert settings.view.terminal is terminal
    assert settings.meta is meta


@pytest.mark.parametrize("output", sorted(set(Output) - {Output.AUTO, Output.JSON}))
def test_meta_needs_json(output: Output) -> None:
    with pytest.raises(UsageError, match=f"--meta .* not {output}"):
        compiled(output=output, meta=True)


@pytest.mark.parametrize(
    ("quiet", "verbose", "watched", "log_format", "level"),
    [
        (False, 0, False, LogFormat.TEXT, Level.WARNING),
        (False, 0, True, LogFormat.TEXT, Level.INFO),
        (False, 0, False, LogFormat.JSON, Level.INFO),
        (False, 1, False, LogFormat.TEXT, Level.DEBUG),
        (False, 2, False, LogFormat.TEXT, Level.TRACE),
        (False, 9, True, LogFormat.TEXT, Level.TRACE),
        (True, 0, True, LogFormat.JSON, Level.QUIET),
        (True, 2, True, LogFormat.TEXT, Level.QUIET),
    ],
)
def test_level(
    quiet: bool, verbose: int, watched: bool, log_format: LogFormat, level: Level
) -> None:
    settings = compiled(quiet=quiet, verbose=verbose, watched=watched, log_format=log_format)
    assert settings.level is level


def test_nothing_secret_is_in_the_settings() -> None:
    assert not hasattr(compiled(), "token")


URL = "https://crm.example/hook"


@pytest.mark.parametrize("jobs", [None, 3])
def test_a_destination_by_http(jobs: int | None) -> None:
    destination = compiled(forward_to=URL, jobs=jobs).destination
    assert destination
    assert isinstance(destination.target, HttpSettings)
    assert destination.target.jobs == (jobs or 8)
    assert destination.dead_letters is None
    assert not destination.per_record
    assert not destination.shows, "stdout is silent in a pipe"


@pytest.mark.parametrize("typed", [{"output": Output.JSON}, {"terminal": True}])
def test_stdout_beside_a_destination(typed: dict[str, Any]) -> None:
    destination = compiled(forward_to=URL, **typed).destination
    assert destination
    assert destination.shows


def test_a_command_runs_alone_and_for_each_record() -> None:
    destination = compiled(exec_command="./answer.sh", terminal=True).destination
    assert destination
    assert isinstance(destination.target, Command)
    assert destination.target.jobs == 1
    assert destination.per_record
    assert not destination.shows


def test_resume_has_dead_letters_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    destination = compiled(forward_to=URL, resume="crm").destination
    assert destination
    assert destination.dead_letters == Path("/state/chatapp-tail/dead-letters/crm.ndjson")


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_that_the_destination_cannot_use(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "ftp://made-up.invalid")
    with pytest.raises(UsageError, match="the proxy that the environment names"):
        compiled(forward_to=URL)
    assert compiled(forward_to="http://localhost:3000/").destination


def test_what_is_unsafe(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_QUJD")
    secret.chmod(0o644)
    url = "http://user:hidden@crm.example/hook"
    destination = compiled(forward_to=url, forward_secret_file=secret).destination
    assert destination
    password, encryption, file = destination.warnings
    assert "CHATAPP_TAIL_FORWARD_TO" in password
    assert encryption.startswith("http://crm.example/hook is not encrypted")
    assert "chmod 600" in file
    assert "hidden" not in password + encryption


def test_what_is_safe(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("whsec_QUJD")
    for url in ("https://user:hidden@crm.example/hook", "http://localhost:3000/hook"):
        typed: dict[str, Any] = {
            "forward_to": url,
            "forward_to_typed": False,
            "forward_secret_file": secret,
        }
        destination = compiled(**typed).destination
        assert destination
        assert destination.warnings == []
