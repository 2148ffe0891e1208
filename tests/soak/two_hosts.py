"""Two tails with `--resume` publish into one stream of NATS; hosts are killed and cut in turn.

`python -m tests.soak.two_hosts --kills 200 --seed 1` is the long form; `--server-kills` has the
server of NATS killed as well. Non-zero unless the stream has every event once, and each chat's
messages, edits and statuses in order.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatapp_tail.sandbox import Sandbox
from tests.conftest import PROGRAM, TIMEOUT_SCALE, clean_environment
from tests.nats_servers import NatsServer, add_stream, on_stream, start_server, stored

from .journal import ROOT, SHORT
from .numbered import Background, Line, accounts_of

LINES = (Line(1229, "telegram"), Line(1230, "grWhatsApp"))
CHATS = 8
RATE = 100.0
TAGS = 16
"""Different tags, each repeated byte for byte every few seconds: far worse than life."""
_CAUGHT_UP_WITHIN = 60.0

Key = tuple[str, str]
"""(kind, what tells one event from others of its kind); tags repeat."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done."""

    kills: int
    seed: int
    server_kills: int = 0
    rate: float = RATE


@dataclass(frozen=True, slots=True)
class Result:
    """What the stream has, against what was published."""

    published: int
    missing: Counter[Key]
    doubled: Counter[Key]
    out_of_order: list[Key]
    kinds: Counter[str]
    seconds: float
    stderr: str

    @property
    def is_whole(self) -> bool:
        return not (self.missing or self.doubled or self.out_of_order)


class Events(Background):
    """Publishes messages, edits, statuses and tags as long as the block lasts."""

    def __init__(self, sandbox: Sandbox, rate: float, seed: int) -> None:
        super().__init__()
        self.log: list[Key] = []
        self._sandbox = sandbox
        self._rate = rate
        self._rng = random.Random(seed)
        self._number = 0
        self._messages: list[tuple[int, int]] = []
        """(chat, number) of those published."""

    def _run(self) -> None:
        while not self._stopping.wait(self._rng.expovariate(self._rate)):
            self._publish()

    def _publish(self) -> None:
        self._number += 1
        chat = self._rng.randrange(CHATS)
        draw = self._rng.random()
        if draw < 0.45 or not self._messages:
            self._messages.append((chat, self._number))
            self._message(chat, self._number, "new")
        elif draw < 0.90:
            item = {"id": self._number, "type": "delivered", "chat": {"id": f"chat{chat}"}}
            self._send(chat, "messageStatus", item)
        elif draw < 0.95:
            self._message(*self._rng.choice(self._messages[-20:]), f"edit {self._number}")
        else:
            tag = self._rng.randrange(TAGS)
            chat = tag % CHATS
            self._send(chat, "chatTag", {"chat": {"id": f"chat{chat}"}, "tag": {"id": tag}})

    def _message(self, chat: int, number: int, text: str) -> None:
        item = {
            "id": number,
            "fromMe": False,
            "time": int(time.time()),
            "type": "text",
            "chat": {"id": f"chat{chat}", "type": "private", "name": "A Soak"},
            "message": {"text": text},
        }
        self._send(chat, "message", item)

    def _send(self, chat: int, event: str, item: dict[str, Any]) -> None:
        line = LINES[chat % len(LINES)]
        meta = {"type": event, "licenseId": line.license, "messengerType": line.messenger}
        data = {"queue": "soak", "payload": {"data": [item], "meta": meta}}
        self._sandbox.publish(line.channel, event, json.dumps(data))
        self.log.append(key_of(event, item))


def key_of(event: str, item: dict[str, Any]) -> Key:
    """Return what tells an event from others; the copy of a message in history has the same."""
    if event == "message":
        return event, f"{item['chat']['id']} {item['id']} {item['message']['text']}"
    if event == "messageStatus":
        return event, f"{item['chat']['id']} {item['id']}"
    return event, f"{item['chat']['id']} {item['tag']['id']}"


class Host:
    """One machine: a tail with a state of its own."""

    def __init__(self, name: str, directory: Path, sandbox: Sandbox, server: NatsServer) -> None:
        self._home = directory / name
        self._home.mkdir()
        self._sandbox = sandbox
        self._server = server
        self._stderr = (self._home / "stderr").open("ab", buffering=0)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        channels = (word for line in LINES for word in ("--channel", line.channel))
        urls = ("--ws-url", self._sandbox.ws_url, "--api-url", self._sandbox.api_url)
        destination = ("--forward-to", f"nats://{self._server.address}/chatapp")
        self._gaps = self.stderr.count(" gap: ")
        self._process = subprocess.Popen(
            [*PROGRAM, "--resume=bus", *channels, *urls, *destination, *SHORT.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            env={
                **clean_environment(self._home),
                "PYTHONPATH": str(ROOT),
                "CHATAPP_TOKEN": self._sandbox.token,
            },
            cwd=self._home,
            start_new_session=True,
        )

    def wait_for_history(self) -> None:
        """Wait until this run has read what it missed: until then its live events wait."""
        deadline = time.monotonic() + _CAUGHT_UP_WITHIN * TIMEOUT_SCALE
        while self.stderr.count(" gap: ") < self._gaps + len(LINES):
            assert time.monotonic() < deadline, self.stderr
            time.sleep(0.05)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self._stderr.close()

    @property
    def stderr(self) -> str:
        return (self._home / "stderr").read_text("utf-8", "replace")


def soak(plan: Plan, say: Callable[[str], None] = print) -> Result:
    """Run it; whatever happens, everything that was started is ended."""
    began = time.monotonic()
    rng = random.Random(plan.seed)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        sandbox = stack.enter_context(Sandbox(licenses=accounts_of(LINES), kept_messages=10**7))
        server = start_server(directory / "nats")
        stack.callback(server.kill)
        add_stream([server])
        hosts = [Host(name, directory, sandbox, server) for name in ("one", "two")]
        for host in hosts:
            stack.callback(host.close)
            host.start()
            _linked(sandbox, 1 + hosts.index(host))
        with Events(sandbox, plan.rate, plan.seed) as events:
            server_kills = set(rng.sample(range(plan.kills), plan.server_kills))
            for number in range(plan.kills):
                time.sleep(rng.uniform(0.5, 2.0))
                _disturb(rng.choice(hosts), sandbox, rng)
                if number in server_kills:
                    server.kill()
                    time.sleep(rng.uniform(0.0, 1.0))
                    server.start()
                if number % 10 == 9:
                    say(f"{time.monotonic() - began:5.0f} s: {number + 1} kills")
            time.sleep(2.0)
        _caught_up(server, len(events.log))
        found = [_key_in(message.data) for message in stored([server])]
        return compare(
            events.log, found, time.monotonic() - began, "".join(host.stderr for host in hosts)
        )


def _disturb(host: Host, sandbox: Sandbox, rng: random.Random) -> None:
    """Kill a host and start it again; the other one lives."""
    host.kill()
    time.sleep(rng.uniform(0.0, 1.5))
    host.start()
    _linked(sandbox, 2)
    host.wait_for_history()


def _linked(sandbox: Sandbox, count: int) -> None:
    sandbox.wait_for(
        lambda box: all(box.subscribers(line.channel) >= count for line in LINES),
        30.0 * TIMEOUT_SCALE,
    )


def _caught_up(server: NatsServer, published: int) -> None:
    """Wait until the stream has as many, and then for what should not come."""
    deadline = time.monotonic() + _CAUGHT_UP_WITHIN * TIMEOUT_SCALE
    while _count(server) < published and time.monotonic() < deadline:
        threading.Event().wait(0.2)
    threading.Event().wait(3.0)


def _count(server: NatsServer) -> int:
    return on_stream([server], lambda context: context.stream_info("EVENTS")).state.messages


def _key_in(data: bytes) -> Key:
    record = json.loads(data)
    return key_of(record["event"], record["data"])


def compare(
    published: Sequence[Key], found: Sequence[Key], seconds: float = 0.0, stderr: str = ""
) -> Result:
    """Compare multisets, and the order of all but tags in each chat."""
    missing, doubled = Counter(published), Counter(found)
    places = {key: place for place, key in enumerate(published)}
    last: dict[str, int] = {}
    out_of_order = []
    for key in found:
        chat = key[1].partition(" ")[0]
        if key[0] == "chatTag" or key not in places:
            continue
        if places[key] < last.get(chat, -1):
            out_of_order.append(key)
        last[chat] = max(places[key], last.get(chat, -1))
    return Result(
        published=len(published),
        missing=missing - doubled,
        doubled=doubled - missing,
        out_of_order=out_of_order,
        kinds=Counter(kind for kind, _ in published),
        seconds=seconds,
        stderr=stderr,
    )


def table(result: Result) -> str:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(result.kinds.items()))
    return (
        f"published {result.published:,} ({kinds}) in {result.seconds:.0f} s\n"
        f"missing {result.missing.total()}, doubled {result.doubled.total()}, "
        f"out of order {len(result.out_of_order)}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server-kills", type=int, default=0)
    parser.add_argument("--rate", type=float, default=RATE)
    asked = parser.parse_args()
    result = soak(Plan(asked.kills, asked.seed, asked.server_kills, asked.rate))
    print(table(result))
    for name in ("missing", "doubled"):
        for key, count in getattr(result, name).most_common(10):
            print(f"{name}: {count} x {' '.join(key)}")
    for key in result.out_of_order[:10]:
        print("out of order:", *key)
    return 0 if result.is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
