"""Every command in the README, run as a stranger would type it."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conftest import TIMEOUT_SCALE, RunTail, StartProcess, clean_environment

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
INSTALL = next(block for block in BLOCKS if "venv" in block)
THIS_SUITE = "sh tests/run\n"
UNTIL_INTERRUPTED = [block for block in BLOCKS if re.match("chatapp-tail sandbox", block)]
FORWARDING = [block for block in BLOCKS if "forward" in block]
"""Those that need a receiver; tests/shell/test_readme_forward.py runs them."""
TOKEN = re.findall(r"CHATAPP_TOKEN='(\$2y\$[^']+)'", README)[0]
INTO_A_FILE = re.compile(r">\w+\.\w+\n\Z")
LINES_EACH = 3
SAMPLE = re.findall(r"^```json\n(.*?)^```", README, re.MULTILINE | re.DOTALL)[0]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is committed or would be, as a fresh checkout has it."""
    copy = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def installed(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout after the README's install command, whose program is then on PATH."""
    env = clean_environment(tmp_path_factory.mktemp("home")) | pip_settings()
    env["CHATAPP_TAIL_COUNT"] = str(LINES_EACH)
    done = run_block(INSTALL, checkout, env, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") >= LINES_EACH
    return checkout


@pytest.fixture
def environment(installed: Path, home: Path) -> Iterator[dict[str, str]]:
    """A sandbox that accepts the README's token, where the README's commands find it."""
    (home / ".chatapp-token").write_text(TOKEN)
    with Sandbox(rate=50, token=TOKEN, seed=7) as sandbox:
        env = clean_environment(home)
        yield env | {
            "PATH": f"{installed / '.venv/bin'}:{env['PATH']}",
            "CHATAPP_TOKEN": TOKEN,
            "CHATAPP_WS_URL": sandbox.ws_url,
            "CHATAPP_API_URL": sandbox.api_url,
            "CHATAPP_TAIL_COUNT": str(LINES_EACH),
            "CHATAPP_EMAIL": sandbox.email,
            "CHATAPP_APP_ID": sandbox.app_id,
            "CHATAPP_PASSWORD": sandbox.password,
        }


def pip_settings() -> dict[str, str]:
    """How this machine reaches its package index; nothing else of its environment."""
    return {k: v for k, v in os.environ.items() if k.startswith("PIP_") or k == "SSL_CERT_FILE"}


def run_block(
    block: str, cwd: Path, env: dict[str, str], timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", block],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout * TIMEOUT_SCALE,
        check=False,
    )


@pytest.mark.timeout(300)
def test_the_install_command_gives_a_program_that_works(installed: Path) -> None:
    assert (installed / ".venv/bin/chatapp-tail").exists()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "block",
    [b for b in BLOCKS if b not in (INSTALL, THIS_SUITE, *FORWARDING, *UNTIL_INTERRUPTED)],
    ids=lambda block: block.splitlines()[0][:60],
)
def test_a_command_of_the_readme(block: str, installed: Path, environment: dict[str, str]) -> None:
    if block.startswith("chatapp-tail login"):
        del environment["CHATAPP_TOKEN"]  # the login is what is tried
    done = run_block(block, installed, environment | pip_settings())
    assert done.returncode == 0, done.stderr
    if "chatapp-tail" in block and not INTO_A_FILE.search(block):
        assert "\n" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("block", UNTIL_INTERRUPTED)
def test_a_command_that_runs_until_ctrl_c(
    block: str, environment: dict[str, str], start_process: StartProcess
) -> None:
    program = start_process(
        ["bash", "-c", f"exec {block}"], env=environment | {"CHATAPP_TAIL_SANDBOX_PORT": "0"}
    )
    program.stdout.wait_for("CHATAPP_TOKEN")
    program.send_signal(signal.SIGINT)
    assert program.wait() == -signal.SIGINT


def test_the_sample_is_a_record(run_tail: RunTail) -> None:
    line = "".join(map(str.strip, SAMPLE.splitlines())) + "\n"
    done = run_tail("replay", "-o", "json", "-", input=line)
    assert done.returncode == 0, done.stderr
    assert done.stdout == line.replace('"source":"live"', '"source":"replay"')


def test_there_is_something_to_run() -> None:
    assert len(BLOCKS) >= 10
    assert THIS_SUITE in BLOCKS
    assert UNTIL_INTERRUPTED
