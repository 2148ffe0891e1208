"""What the README says of forwarding, run: its commands, both receivers, and the service."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests

from chatapp_tail.sandbox import Sandbox
from tests.conftest import StartProcess, StartTail, wait_until
from tests.receivers import OK, Receiver, answer, in_turn
from tests.shell.conftest import CHANNEL, StartShell, message, subscribed
from tests.test_readme import BLOCKS, README

SECTION = README.partition("## Forward events\n")[2].partition("\n## ")[0]
HERE = "localhost:3000/webhook"
THERE = "https://crm.example/webhook"
MODULES = Path(__file__).parents[1] / "interop" / "node_modules"


def block(language: str) -> str:
    _, _, rest = SECTION.partition(f"```{language}\n")
    return rest.partition("```")[0]


def commands(word: str) -> str:
    found: list[str] = [block for block in BLOCKS if word in block and block in SECTION]
    (only,) = found
    return only


DEVELOPMENT = commands(HERE)
NEW_SECRET = commands("whsec_")
PRODUCTION = commands("replay")


def test_nothing_is_left_out() -> None:
    """Blocks with a destination are run here, others in test_readme."""
    forwarding = [each for each in BLOCKS if "forward" in each]
    assert sorted(forwarding) == sorted([DEVELOPMENT, NEW_SECRET, PRODUCTION])


def test_development(start_shell: StartShell, env: Mapping[str, str]) -> None:
    with Receiver() as receiver:
        here = DEVELOPMENT.replace(HERE, f"localhost:{receiver.port}/webhook")
        shell = start_shell(here, env={"CHATAPP_TAIL_COUNT": "3"})
        assert shell.wait(timeout=20) == 0
        assert len(receiver.requests) == 3
    assert receiver.requests[0].line == "POST /webhook HTTP/1.1"


@pytest.fixture
def secret_file(start_shell: StartShell, home: Path) -> Path:
    assert start_shell(NEW_SECRET, env={}, shell="sh").wait() == 0
    file = home / "forward-secret"
    assert file.stat().st_mode & 0o777 == 0o600
    return file


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_receiver(
    language: str,
    start_process: StartProcess,
    start_tail: StartTail,
    secret_file: Path,
    free_port: int,
) -> None:
    """It takes what has the right signature, and nothing else."""
    source = block(language).replace("3000", str(free_port))
    interpreter = [sys.executable, "-c"]
    if language == "js":
        if not shutil.which("node") or not (MODULES / "standardwebhooks").is_dir():
            pytest.skip("node or its package standardwebhooks is not installed")
        interpreter = ["node", "-e"]
    receiver = start_process([*interpreter, source], env={"NODE_PATH": str(MODULES)})
    wait_until(lambda: _refuses(free_port), "the receiver")
    argv = ("--sandbox", "--all", "--forward-to", f"{free_port}/webhook", "-n", "5")
    tail = start_tail(*argv, "--forward-secret-file", secret_file.name)
    assert tail.wait(timeout=20) == 0
    assert tail.stderr.text == ""
    receiver.stdout.wait_for(r"^(message|messageStatus|chatTag) \d$", count=5)


def _refuses(port: int) -> bool:
    """Return whether a request without a signature is answered with 401, False before that."""
    try:
        status = requests.post(f"http://127.0.0.1:{port}/webhook", data=b"{}").status_code
    except OSError:
        return False
    assert status == 401
    return True


def test_production(
    start_shell: StartShell, secret_file: Path, sandbox: Sandbox, env: Mapping[str, str]
) -> None:
    """What was refused is sent again."""
    with Receiver(*in_turn([answer(422), OK])) as receiver:
        script = f"set -e; {PRODUCTION.replace(THERE, receiver.url)}"
        shell = start_shell(script, env={**env, "CHATAPP_TAIL_COUNT": "2"})
        subscribed(sandbox)
        for number in (1, 2):
            sandbox.publish(CHANNEL, "message", message(number))
        assert shell.wait(timeout=20) == 0
        first, _, again = receiver.requests
    assert again.headers["webhook-id"] == first.headers["webhook-id"]
    assert again.headers["webhook-signature"]


def test_the_service(
    start_shell: StartShell,
    secret_file: Path,
    sandbox: Sandbox,
    env: Mapping[str, str],
    tmp_path: Path,
) -> None:
    unit = block("ini")
    command = re.findall(r"^ExecStart=(\S+)((?:.*\\\n)*.*)$", unit, re.MULTILINE)
    ((program, arguments),) = command
    assert program.endswith("/chatapp-tail")
    with Receiver() as receiver:
        script = f"exec chatapp-tail {arguments.replace(THERE, receiver.url)} -n 1"
        whole = {**env, "CREDENTIALS_DIRECTORY": str(secret_file.parent)}
        shell = start_shell(script, env=whole)
        subscribed(sandbox)
        sandbox.publish(CHANNEL, "message", message(1))
        assert shell.wait(timeout=20) == 0
        assert receiver.requests[0].headers["webhook-signature"]
    if shutil.which("systemd-analyze"):
        file = tmp_path / "crm.service"
        file.write_text(unit.replace(program, shlex.quote(os.path.realpath("/bin/true"))))
        done = subprocess.run(
            ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
