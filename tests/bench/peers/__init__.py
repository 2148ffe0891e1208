"""What is measured beside chatapp-tail, each as a program that prints one line an event.

Each writes its line at once: that is what a tail is for, and what all of them are compared in.
"""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.bench.server import CHANNEL

OURS = "chatapp-tail"
PROGRAM = (sys.executable, "-P", "-m", "chatapp_tail")
_HERE = Path(__file__).parent
_ROOT = _HERE.parents[2]
PUSHER_JS = _ROOT / "tests/interop/node_modules/pusher-js"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer is to go."""

    url: str
    api_url: str
    ca_file: Path
    channels: tuple[str, ...] = (CHANNEL,)

    @property
    def auth_url(self) -> str:
        return f"{self.api_url}/broadcasting/auth"


@dataclass(frozen=True, slots=True)
class Command:
    """Programs joined by pipes, and what is typed into the first."""

    stages: tuple[Sequence[str], ...]
    typed: bytes = b""


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to tail; `missing` says why it cannot be measured here."""

    name: str
    missing: str | None = None
    authorises: bool = True
    slow: bool = False
    """It gets a tenth of the events where they come as fast as they go."""

    def command(self, place: Place) -> Command:
        return _COMMANDS[self.name](place)

    def share(self, events: int) -> int:
        """Return how many of so many events it gets where they come as fast as they go."""
        return events // 10 if self.slow else events


def environment(home: Path, ca_file: Path) -> dict[str, str]:
    """Return the same environment for all peers: their own home, trust in `ca_file`, no proxies."""
    trust = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "WEBSOCKET_CLIENT_CA_BUNDLE")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(_ROOT),
        "CHATAPP_TOKEN": "$2y$10$made.up",
        **dict.fromkeys(trust, str(ca_file)),
    }


def all_peers() -> list[Peer]:
    return [
        Peer(OURS),
        Peer("pusher-js", _missing_pusher_js()),
        Peer("Pysher", _missing_module("pysher"), slow=True),
        Peer("asyncpusher", _missing_module("asyncpusher")),
        Peer("websocat | jq", _missing_websocat(), authorises=False, slow=True),
    ]


def _missing_pusher_js() -> str | None:
    if not shutil.which("node"):
        return "no node on PATH"
    return None if PUSHER_JS.exists() else "npm ci in tests/interop was not run"


def _missing_module(name: str) -> str | None:
    return None if find_spec(name) else f"pip install {name} was not run"


def _missing_websocat() -> str | None:
    missing = [name for name in ("websocat", "jq") if not program(name)]
    return f"no {' and no '.join(missing)} on PATH" if missing else None


def program(name: str) -> str | None:
    """Return the path of a program, also one that is installed beside this Python."""
    beside = Path(sys.executable).parent
    return shutil.which(name, path=f"{beside}{os.pathsep}{os.environ['PATH']}")


def chatapp_tail(place: Place, options: Sequence[str] = ("--json",)) -> Command:
    where = ["--ws-url", place.url, "--api-url", place.api_url]
    if place.url.startswith("wss"):
        where += ["--ca-file", str(place.ca_file)]
    channels = [word for channel in place.channels for word in ("-c", channel)]
    return Command(([*PROGRAM, *where, *options, *channels],))


def _pusher_js(place: Place) -> Command:
    script = str(_HERE / "pusher_js.cjs")
    return Command((["node", script, place.url, place.auth_url, *place.channels],))


def _python(script: str, place: Place) -> Command:
    words = [str(_HERE / script), place.url, place.auth_url, *place.channels]
    return Command(([sys.executable, *words],))


def _pysher(place: Place) -> Command:
    return _python("pysher_tail.py", place)


def _asyncpusher(place: Place) -> Command:
    return _python("asyncpusher_tail.py", place)


def _websocat(place: Place) -> Command:
    """Return the pipeline of the shell: no authorisation, and jq writes each line at once."""
    subscribe = '{"event":"pusher:subscribe","data":{"channel":"%s"}}\n'
    wanted = 'select(.event=="message")|.data|=fromjson'
    return Command(
        (
            [program("websocat") or "", "--text", f"{place.url}/app/key?protocol=7"],
            [program("jq") or "", "-c", "--unbuffered", wanted],
        ),
        "".join(subscribe % channel for channel in place.channels).encode(),
    )


_COMMANDS: dict[str, Callable[[Place], Command]] = {
    OURS: chatapp_tail,
    "pusher-js": _pusher_js,
    "Pysher": _pysher,
    "asyncpusher": _asyncpusher,
    "websocat | jq": _websocat,
}
