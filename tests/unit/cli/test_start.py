"""What starts without what: an import at the wrong place costs every run of every user."""

import subprocess
import sys

import pytest

from chatapp_tail.cli.command import LOG_FORMATS, command
from chatapp_tail.cli.help import LazyCommand, load
from chatapp_tail.reporting.notices import LogFormat

LIBRARIES = {
    *("requests", "urllib3", "certifi", "charset_normalizer", "idna", "http.client", "websocket"),
    *("rich", "jmespath", "filelock", "platformdirs", "websockets", "trustme", "zstandard"),
    *("asyncio", "importlib.metadata", "subprocess", "logging", "urllib.request"),
}
"""Nothing of this is needed before a tail uses the network, and some of it never."""

FOR_A_TAIL = {
    *("msgspec", "ssl", "socket", "json", "email", "tempfile", "hashlib", "random", "dataclasses"),
    *(
        "chatapp_tail.pusher",
        "chatapp_tail.tail.loop",
        "chatapp_tail.chatapp.http",
        "chatapp_tail.spool",
    ),
    *("chatapp_tail.reporting.notices", "chatapp_tail.filters", "chatapp_tail.cli.run"),
    *("chatapp_tail.cli.config", "chatapp_tail.cli.login", "chatapp_tail.sandbox"),
}
"""Nothing of this is needed to say what there is."""


def imported(program: str, *arguments: str) -> set[str]:
    """What is imported when a program with these arguments says so, on its last line."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={"CHATAPP_TOKEN": "made-up", "PATH": ""},
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["-h"]])
def test_what_says_what_there_is_imports_click_and_little_else(arguments: list[str]) -> None:
    program = """
import sys
from chatapp_tail.cli import main
try:
    main()
except SystemExit:
    print(*sys.modules)
"""
    found = imported(program, *arguments)
    assert "click" in found
    assert found & (LIBRARIES | FOR_A_TAIL) == set()


def test_a_tail_dials_before_it_imports_what_comes_after() -> None:
    program = """
import os, sys
from chatapp_tail.cli import main
from chatapp_tail.pusher.connection import Connection

def start(_):
    print(*sys.modules, flush=True)
    os._exit(0)

Connection.start = start
main()
"""
    found = imported(program, "--json", "-l", "1229", "-m", "telegram", "-e", "message")
    assert "chatapp_tail.tail.loop" in found
    assert found & LIBRARIES == set()


def test_every_command_is_what_help_says_it_is() -> None:
    later = {name: each for name, each in command.commands.items() if isinstance(each, LazyCommand)}
    assert later.keys() == command.commands.keys()
    for name, each in later.items():
        assert load(each).name == name
        assert load(each).help
        assert load(each).short_help == each.short_help


def test_log_formats_are_those_there_are() -> None:
    assert list(LOG_FORMATS) == [each.value for each in LogFormat]
