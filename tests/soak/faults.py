"""The faults: what breaks, for how long, in an order that a seed decides."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.interop.soketi import AuthEndpoint, Soketi
from tests.servers import Answer

from .journal import TailProcess, Timings
from .proxy import FaultyProxy
from .publisher import Publisher


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that happened, in wall-clock nanoseconds.

    `silent` faults make the line dead without a word, so that only a missing answer tells; `ready`
    is whether the tail said so when the fault began.
    """

    kind: str
    start: int
    end: int
    silent: bool
    ready: bool


@dataclass(slots=True)
class Faults:
    """Does faults one at a time. Each leaves the line whole and the server up."""

    rng: random.Random
    timings: Timings
    soketi: Soketi
    proxy: FaultyProxy
    publisher: Publisher
    tail: TailProcess
    auth: AuthEndpoint
    stopping: threading.Event
    done: list[Fault]

    def do(self, kind: str) -> None:
        """Do one fault and log it."""
        ready = self.tail.state == "ready"
        start = time.time_ns()
        try:
            KINDS[kind](self)
        finally:
            self.proxy.behave()
            self.done.append(Fault(kind, start, time.time_ns(), kind in SILENT, ready))

    def wait(self, seconds: float) -> None:
        self.stopping.wait(seconds)

    def between(self, lowest: float, highest: float) -> None:
        self.wait(self.rng.uniform(lowest, highest))

    def silence(self) -> None:
        """Wait for less than it takes to notice, or else for so long that it has to be noticed."""
        notice = self.timings.notice
        if self.rng.random() < 0.5:
            self.between(0.1, notice)
        else:
            self.between(notice + 2.0, 1.5 * notice + 3.0)

    @contextmanager
    def server_down(self) -> Iterator[None]:
        """No server for the time of the block, and then a new one on the same port."""
        self.publisher.serving.clear()
        try:
            yield
        finally:
            self.soketi.start()
            self.publisher.serving.set()


def _cut(faults: Faults) -> None:
    faults.proxy.cut()


def _reset(faults: Faults) -> None:
    faults.proxy.cut(reset=True)


def _torn(faults: Faults) -> None:
    """The line ends in the middle of a frame."""
    faults.proxy.stall(up=False, down=True)
    faults.between(0.05, 0.5)
    faults.proxy.tear()


def _half_close_tail(faults: Faults) -> None:
    faults.proxy.half_close(client=True)


def _half_close_server(faults: Faults) -> None:
    faults.proxy.half_close(client=False)


def _stall(faults: Faults) -> None:
    faults.proxy.stall(up=True, down=True)
    faults.silence()


def _stall_down(faults: Faults) -> None:
    faults.proxy.stall(up=False, down=True)
    faults.silence()


def _stall_up(faults: Faults) -> None:
    faults.proxy.stall(up=True, down=False)
    faults.silence()


def _stall_then_cut(faults: Faults) -> None:
    faults.proxy.stall(up=True, down=True)
    faults.between(0.05, faults.timings.notice)
    faults.proxy.cut(reset=faults.rng.random() < 0.5)


def _delay(faults: Faults) -> None:
    faults.proxy.delay(0.02, 0.4)
    faults.between(1.0, 3.0)


def _delay_then_cut(faults: Faults) -> None:
    faults.proxy.delay(0.1, 0.4)
    faults.between(1.0, 3.0)
    faults.proxy.cut(reset=faults.rng.random() < 0.5)


def _drip(faults: Faults) -> None:
    faults.proxy.drip()
    faults.between(1.0, 3.0)


def _drip_then_cut(faults: Faults) -> None:
    faults.proxy.drip()
    faults.between(1.0, 3.0)
    faults.proxy.cut()


def _refuse(faults: Faults) -> None:
    faults.proxy.refuse()
    faults.between(0.5, 5.0)


def _kill(faults: Faults) -> None:
    with faults.server_down():
        faults.soketi.kill()
        faults.between(0.0, 4.0)


def _restart(faults: Faults) -> None:
    with faults.server_down():
        faults.soketi.stop()
        faults.between(0.0, 2.0)


def _pause(faults: Faults) -> None:
    faults.soketi.pause()
    try:
        faults.silence()
    finally:
        faults.soketi.resume()


def _pause_then_kill(faults: Faults) -> None:
    faults.soketi.pause()
    faults.silence()
    with faults.server_down():
        faults.soketi.kill()


def _freeze(faults: Faults) -> None:
    """The tail itself is stopped and goes on, as after Ctrl-Z or a laptop's sleep."""
    faults.tail.freeze()
    try:
        faults.silence()
    finally:
        faults.tail.thaw()


def _freeze_and_cut(faults: Faults) -> None:
    faults.tail.freeze()
    try:
        faults.between(0.1, 1.0)
        faults.proxy.cut()
        faults.between(0.1, 2.0)
    finally:
        faults.tail.thaw()


def _auth_down(faults: Faults) -> None:
    """The line breaks while nobody signs subscriptions."""
    signing, faults.auth.answer = faults.auth.answer, lambda _: Answer(503, '{"success":false}')
    try:
        faults.proxy.cut()
        faults.between(0.5, 4.0)
    finally:
        faults.auth.answer = signing


KINDS: dict[str, Callable[[Faults], None]] = {
    "cut": _cut,
    "reset": _reset,
    "torn": _torn,
    "half-close-tail": _half_close_tail,
    "half-close-server": _half_close_server,
    "stall": _stall,
    "stall-down": _stall_down,
    "stall-up": _stall_up,
    "stall-cut": _stall_then_cut,
    "delay": _delay,
    "delay-cut": _delay_then_cut,
    "drip": _drip,
    "drip-cut": _drip_then_cut,
    "refuse": _refuse,
    "kill": _kill,
    "restart": _restart,
    "pause": _pause,
    "pause-kill": _pause_then_kill,
    "freeze": _freeze,
    "freeze-cut": _freeze_and_cut,
    "auth-down": _auth_down,
}

SILENT = {"stall", "stall-down", "pause"}


def plan(rng: random.Random, kinds: list[str]) -> Iterator[str]:
    """Endless kinds of faults in random order, each as often as the others."""
    while True:
        yield from rng.sample(kinds, len(kinds))
