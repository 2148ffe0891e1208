"""What breaks at the seams, in an order that a seed decides."""

import json
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from chatapp_tail.sandbox import Sandbox, pusher_error
from tests.conftest import TIMEOUT_SCALE

from .seams_runs import Runs, can_be_process_1
from .stepped_clock import Offset

_HISTORY = "/v1/licenses/*/chats*"
_AUTH = "/broadcasting/auth"
_PAGE = "<html><body><h1>Deploying</h1></body></html>"
_REFUSED_TOKEN = json.dumps(
    {"success": False, "error": {"code": "ApiInvalidTokenError", "message": "Invalid Token"}}
)
_DISK_SIZE = 256 * 1024
_BETWEEN_REFRESHES = 330.0
"""Seconds; a pair that is younger than five minutes is not refreshed again."""


class SmallDisk:
    """Mounts a tmpfs at `place` for the block, its checkpoints elsewhere; only root can.

    `mounted` is False where that is not permitted; then nothing can be filled.
    """

    def __init__(self, place: Path, elsewhere: Path) -> None:
        self.mounted = False
        self._place = place
        self._elsewhere = elsewhere
        self._filler = place / "filler"

    def fill(self) -> None:
        """Leave no room for a single byte."""
        with self._filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                os.fsync(file.fileno())

    def empty(self) -> None:
        """Make room again. May be repeated."""
        self._filler.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self._place.mkdir(parents=True)
        self._elsewhere.mkdir()
        argv = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_SIZE}", "tmpfs", str(self._place)]
        self.mounted = (
            os.geteuid() == 0 and not subprocess.run(argv, capture_output=True).returncode
        )
        (self._place / "resume").symlink_to(self._elsewhere)
        return self

    def __exit__(self, *_: object) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", str(self._place)], check=True)


@dataclass(slots=True)
class Seams:
    """Does faults one at a time; `offsets` are (moment, seconds) of the clock of the tail."""

    rng: random.Random
    sandbox: Sandbox
    clock: Offset
    disk: SmallDisk
    runs: Runs
    done: Counter[str] = field(default_factory=Counter)
    offsets: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])
    _refreshed_at: float = -_BETWEEN_REFRESHES
    _pause: threading.Event = field(default_factory=threading.Event)

    @property
    def impossible(self) -> set[str]:
        """Kinds that this machine does not permit."""
        found = set() if self.disk.mounted else {"disk-full"}
        return found if can_be_process_1() else found | {"process-1"}

    def do(self, kind: str) -> None:
        """Do one fault, and mend it."""
        self.runs.ensure_running()
        KINDS[kind](self)
        self.behave()
        self.done[kind] += 1

    def behave(self) -> None:
        """Switch all faults off; the clock stays as it is."""
        self.sandbox.faults.clear()
        self.disk.empty()

    def between(self, lowest: float, highest: float) -> None:
        self._pause.wait(self.rng.uniform(lowest, highest))

    def cut(self) -> None:
        self.sandbox.abort_sockets(reset=self.rng.random() < 0.5)

    def step(self, seconds: float) -> None:
        self.clock.set(self.offsets[-1][1] + seconds)
        self.offsets.append((time.time(), self.offsets[-1][1] + seconds))

    def restart(self, *, kill: bool, undrained: bool = False, as_process_1: bool = False) -> None:
        self.runs.end(kill=kill)
        self.between(0.0, 3.0)
        self.runs.start(undrained=undrained, as_process_1=as_process_1)

    def may_refresh(self) -> bool:
        """Whether a token may die now, and note that it does."""
        if time.monotonic() - self._refreshed_at < _BETWEEN_REFRESHES:
            return False
        self._refreshed_at = time.monotonic()
        return True


def _clock_back(seams: Seams) -> None:
    seams.step(-seams.rng.choice((35.0, 400.0, 7200.0)))
    seams.between(0.0, 2.0)
    seams.cut()


def _clock_forward(seams: Seams) -> None:
    seams.step(seams.rng.choice((35.0, 400.0, 7200.0)))
    seams.between(0.0, 2.0)
    seams.cut()


def _clock_back_amid_an_outage(seams: Seams) -> None:
    seams.sandbox.faults.refuse_upgrades(503)
    seams.cut()
    seams.between(0.5, 2.0)
    seams.step(-seams.rng.choice((35.0, 400.0)))
    seams.between(0.5, 2.0)


def _clock_back_between_runs(seams: Seams) -> None:
    seams.runs.end(kill=seams.rng.random() < 0.5)
    seams.step(-seams.rng.choice((400.0, 7200.0)))
    seams.runs.start()
    seams.between(1.0, 4.0)


def _auth_drips(seams: Seams) -> None:
    seams.sandbox.faults.drip_api(_AUTH, 2.0)
    seams.cut()
    seams.between(3.0, 6.0)


def _history_drips(seams: Seams) -> None:
    seams.sandbox.faults.drip_api(_HISTORY, 2.0, calls=seams.rng.randint(1, 4))
    seams.cut()
    seams.between(3.0, 6.0)


def _auth_pages(seams: Seams) -> None:
    status = seams.rng.choice((400, 403, 404, 405, 410, 418, 422, 451))
    seams.sandbox.faults.answer_auth(status, _PAGE, {"Content-Type": "text/html"})
    seams.cut()
    seams.between(1.0, 4.0)


def _history_pages(seams: Seams) -> None:
    status = seams.rng.choice((200, 403, 404, 502))
    headers = {"Content-Type": "text/html"}
    seams.sandbox.faults.answer_api(_HISTORY, status, _PAGE, headers, calls=6)
    seams.cut()
    seams.between(2.0, 5.0)


def _history_refuses_the_token(seams: Seams) -> None:
    seams.sandbox.faults.answer_api(_HISTORY, 401, _REFUSED_TOKEN, calls=2)
    seams.cut()
    seams.between(2.0, 5.0)


def _hostile_listings(seams: Seams) -> None:
    seams.sandbox.faults.page_cap = seams.rng.randint(3, 60)
    seams.sandbox.faults.hide_chat_times = seams.rng.random() < 0.5
    seams.sandbox.faults.include_last_time = seams.rng.random() < 0.5
    seams.cut()
    seams.between(5.0, 10.0)


def _forgotten(seams: Seams) -> None:
    seams.sandbox.forget_subscriptions()
    seams.between(1.0, 10.0)
    seams.cut()


def _refusals_in_a_burst(seams: Seams) -> None:
    """A refusal and two confirmations at once, on a link that goes on."""
    channel = seams.rng.choice(sorted(seams.runs.channels))
    refusal = {"type": "AuthError", "error": "busy", "status": 401}
    for event, data in (
        ("pusher:subscription_error", refusal),
        ("pusher_internal:subscription_succeeded", {}),
        ("pusher_internal:subscription_succeeded", {}),
    ):
        frame = {"event": event, "channel": channel, "data": data}
        seams.sandbox.send_frame(json.dumps(frame), channel=channel)
    seams.between(0.5, 2.0)
    seams.cut()


def _refused_on_a_reconnect(seams: Seams) -> None:
    code = seams.rng.choice((4001, 4003, 4004, 4009))
    seams.sandbox.faults.withhold_confirmations = True
    before = seams.sandbox.connections
    seams.cut()
    seams.sandbox.wait_for(lambda sandbox: sandbox.connections > before, 60.0 * TIMEOUT_SCALE)
    seams.sandbox.close_sockets(code, "", before=pusher_error(code, "try later"))


def _terminated_while_read_slowly(seams: Seams) -> None:
    seams.runs.current.slow = True
    seams.between(2.0, 4.0)
    seams.restart(kill=False)


def _killed(seams: Seams) -> None:
    seams.restart(kill=True)


def _as_process_1(seams: Seams) -> None:
    seams.restart(kill=seams.rng.random() < 0.3, as_process_1=True)
    seams.between(3.0, 8.0)
    seams.restart(kill=False)


def _stderr_undrained(seams: Seams) -> None:
    """More notices than a pipe holds, and nobody reads them."""
    seams.restart(kill=False, undrained=True)
    for line in seams.runs.channels:
        seams.sandbox.wait_subscribed(line, 30.0 * TIMEOUT_SCALE)
    for _ in range(2000):
        seams.sandbox.send_frame(pusher_error(4301, "x" * 100 + str(seams.rng.random())))
    seams.between(3.0, 8.0)
    seams.restart(kill=False)


def _disk_full_at_refresh(seams: Seams) -> None:
    if not seams.may_refresh():
        return
    seams.disk.fill()
    seams.sandbox.expire_access_tokens()
    seams.cut()
    seams.between(5.0, 8.0)
    seams.disk.empty()
    # The pair is saved when the API is asked next; until then it must not be killed.
    seams.cut()
    seams.between(5.0, 8.0)


KINDS: dict[str, Callable[[Seams], None]] = {
    "clock-back": _clock_back,
    "clock-forward": _clock_forward,
    "clock-back-outage": _clock_back_amid_an_outage,
    "clock-back-restart": _clock_back_between_runs,
    "auth-drips": _auth_drips,
    "history-drips": _history_drips,
    "auth-pages": _auth_pages,
    "history-pages": _history_pages,
    "history-401": _history_refuses_the_token,
    "hostile-listings": _hostile_listings,
    "forgotten": _forgotten,
    "refusal-burst": _refusals_in_a_burst,
    "refused-reconnect": _refused_on_a_reconnect,
    "slow-term": _terminated_while_read_slowly,
    "kill": _killed,
    "process-1": _as_process_1,
    "stderr-undrained": _stderr_undrained,
    "disk-full": _disk_full_at_refresh,
}
