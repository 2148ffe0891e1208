"""`chatapp-tail sandbox`: what it prints works, and it ends as it should."""

import json
import shlex
import signal
import socket
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.conftest import LiveProcess, RunTail, StartTail
from tests.shell.conftest import PROMPT, SELECT, StartShell, StartTerminal, is_one_line

LAST_COMMAND = r"  chatapp-tail --license .*"


class Printed(NamedTuple):
    """What to type, as it was printed: where the sandbox is, and two ways to get in."""

    where: str
    log_in: str
    use_token: str


def instructions(sandbox: LiveProcess) -> Printed:
    """Wait for what it prints, up to the last command."""
    sandbox.stdout.wait_for(LAST_COMMAND)
    return parse(sandbox.stdout.all)


def parse(lines: list[str]) -> Printed:
    """Take the three indented blocks."""
    indented = [line if line.startswith("  ") else "" for line in lines]
    blocks = [block.strip("\n") for block in "\n".join(indented).split("\n\n")]
    return Printed(*filter(None, blocks))


def port_of(text: str, variable: str) -> int:
    """The port in one of the export lines."""
    exports = (shlex.split(line)[1] for line in text.splitlines() if "export" in line)
    values = dict(export.split("=", 1) for export in exports)
    port = urlsplit(values[variable]).port
    assert port
    return port


@pytest.mark.parametrize("tls", [[], ["--tls"]], ids=["plain", "tls"])
def test_token_it_prints_works_in_another_shell(
    tls: list[str], start_tail: StartTail, start_shell: StartShell
) -> None:
    sandbox = start_tail("sandbox", "--port", "0", *tls)
    printed = instructions(sandbox)
    script = start_shell(f"{printed.where}\n{printed.use_token} -n 2", env={}, shell="sh")
    assert script.wait(timeout=20) == 0
    assert [json.loads(line)["license"] for line in script.stdout.all] == [1229, 1229]
    assert script.stderr.text == ""
    assert sandbox.stderr.text == ""


@pytest.mark.parametrize("tls", [[], ["--tls"]], ids=["plain", "tls"])
def test_account_it_prints_works_in_another_shell(
    tls: list[str], start_tail: StartTail, start_shell: StartShell
) -> None:
    printed = instructions(start_tail("sandbox", "--port", "0", *tls))
    script = start_shell(f"set -e\n{printed.where}\n{printed.log_in} -n 2", env={}, shell="sh")
    assert script.wait(timeout=30) == 0
    assert [json.loads(line)["v"] for line in script.stdout.all[-2:]] == [1, 1]
    assert "made-up password" not in script.stdout.text + script.stderr.text
    assert "Traceback" not in script.stderr.text


def test_what_it_prints_works_with_an_apostrophe_in_the_path(
    start_tail: StartTail, start_shell: StartShell, tmp_path: Path
) -> None:
    directory = tmp_path / "Anna's files"
    directory.mkdir()
    sandbox = start_tail("sandbox", "--port", "0", "--tls", env={"TMPDIR": str(directory)})
    printed = instructions(sandbox)
    script = start_shell(f"{printed.where}\n{printed.use_token} -n 1", env={})
    assert script.wait(timeout=20) == 0, script.stderr.text


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_signal_ends_it_and_leaves_nothing_behind(
    signum: signal.Signals, start_tail: StartTail, tmp_path: Path
) -> None:
    directory = tmp_path / "temporary"
    directory.mkdir()
    sandbox = start_tail("sandbox", "--port", "0", "--tls", env={"TMPDIR": str(directory)})
    instructions(sandbox)
    assert list(directory.iterdir())
    sandbox.send_signal(signum)
    assert sandbox.wait(timeout=PROMPT) == -signum
    assert sandbox.stderr.text == ""
    assert list(directory.iterdir()) == []


def test_ctrl_c_on_a_terminal_with_a_client_connected(
    start_terminal: StartTerminal, start_shell: StartShell
) -> None:
    terminal = start_terminal("sandbox", "--port", "0", "--rate", "0", env={})
    terminal.wait_for(LAST_COMMAND.encode())
    printed = parse(terminal.shown.decode().splitlines())
    client = start_shell(f"{printed.where}\n{printed.use_token} -v", env={})
    client.stderr.wait_for("ready")
    terminal.type(b"\x03")
    assert terminal.wait(timeout=PROMPT) == -signal.SIGINT
    assert b"Traceback" not in terminal.shown
    client.stderr.wait_for("trying again")


def test_another_sandbox_takes_the_same_port_afterwards(start_tail: StartTail) -> None:
    first = start_tail("sandbox", "--port", "0")
    port = port_of(instructions(first).where, "CHATAPP_WS_URL")
    first.send_signal(signal.SIGTERM)
    first.wait()
    second = start_tail("sandbox", "--port", str(port))
    assert port_of(instructions(second).where, "CHATAPP_WS_URL") == port


@pytest.mark.parametrize("options", [["--port"], ["--port", "0", "--api-port"]], ids=" ".join)
def test_taken_port(options: list[str], run_tail: RunTail) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        done = run_tail("sandbox", *options, port)
    assert (done.returncode, done.stdout) == (2, "")
    is_one_line(done.stderr, port, "in use", options[-1])


def without(package: str) -> str:
    """A sitecustomize under which a package looks as if it were not installed."""
    return f"""\
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("websockets", ["sandbox", "--port", "0"]),
        ("websockets", [*SELECT, "--sandbox", "-n", "1"]),
        ("trustme", ["sandbox", "--port", "0", "--tls"]),
    ],
    ids=["command", "option", "tls"],
)
@pytest.mark.defect("U16")
def test_missing_package_of_the_extra(
    package: str, arguments: list[str], run_tail: RunTail, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(without(package))
    done = run_tail(*arguments, env={"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (2, "")
    is_one_line(done.stderr, f"package {package};", "pip install websockets trustme")


def test_same_seed_tells_the_same_story(start_tail: StartTail, start_shell: StartShell) -> None:
    def story() -> list[object]:
        sandbox = start_tail("sandbox", "--port", "0", "--seed", "7", "--rate", "50")
        printed = instructions(sandbox)
        script = start_shell(f"{printed.where}\n{printed.use_token} -n 5", env={})
        assert script.wait(timeout=20) == 0
        return [json.loads(line)["id"] for line in script.stdout.all]

    assert story() == story()
