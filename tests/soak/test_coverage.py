"""The two ways to lose an event beside the gap, each by itself: a slow line, and a sleeper.

What comes late proves nothing about the time at which it comes.
"""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import TIMEOUT_SCALE
from tests.interop.soketi import TOKEN, AuthEndpoint, Soketi

from .journal import DEFAULTS, TailProcess
from .proof import Proof, prove
from .proxy import FaultyProxy
from .publisher import Published, Publisher

CHANNEL = "private-v1.licenses.1229.messengers.telegram"
WAIT = 20.0 * TIMEOUT_SCALE


@dataclass(frozen=True, slots=True)
class Stage:
    """A tail that is ready, behind a proxy; nothing is published but by `publisher.publish`."""

    proxy: FaultyProxy
    publisher: Publisher
    tail: TailProcess

    def publish(self) -> Published:
        (event,) = self.publisher.publish(CHANNEL, [10])
        assert event.sure
        return event

    def wait_received(self, event: Published) -> None:
        assert self.tail.wait_for(
            lambda: any(r.number == event.number for r in self.tail.receipts), WAIT
        )

    def wait_gap(self) -> None:
        assert self.tail.wait_for(lambda: bool(self.tail.gaps), WAIT)

    def proof(self) -> Proof:
        return prove(self.publisher.log, self.tail.receipts, self.tail.gaps)


@contextmanager
def ready_tail(soketi: Soketi) -> Iterator[Stage]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        auth = stack.enter_context(AuthEndpoint())
        proxy = stack.enter_context(FaultyProxy(soketi.port, seed=1))
        arguments = ["--channel", CHANNEL, "--ws-url", f"ws://127.0.0.1:{proxy.port}"]
        arguments += ["--api-url", auth.url, *DEFAULTS.arguments]
        arguments += ["--no-backfill"]  # soketi keeps no history
        tail = stack.enter_context(TailProcess(arguments, env={"CHATAPP_TOKEN": TOKEN}, home=home))
        publisher = Publisher(soketi, [CHANNEL], seed=1, rate=0)
        assert tail.wait_ready(WAIT)
        yield Stage(proxy, publisher, tail)


def let_it_travel() -> None:
    """Half a second in which what was published reaches the proxy, and the tail's kernel."""
    threading.Event().wait(0.5)


def test_an_event_lost_on_a_slow_line_is_in_the_gap(soketi: Soketi) -> None:
    with ready_tail(soketi) as stage:
        stage.proxy.delay(1.0, 1.0)
        first = stage.publish()
        let_it_travel()
        lost = stage.publish()
        stage.wait_received(first)
        stage.proxy.cut()
        stage.proxy.behave()
        stage.wait_gap()
        proof = stage.proof()
        assert proof.inside + proof.outside == [lost]
        assert not proof.outside, (proof.outside, stage.tail.receipts, stage.tail.gaps)


def test_an_event_lost_in_the_tail_s_sleep_is_in_the_gap(soketi: Soketi) -> None:
    with ready_tail(soketi) as stage:
        stage.tail.freeze()
        stage.publish()  # waits in the kernel's buffer until the tail wakes up
        let_it_travel()
        stage.proxy.cut()
        lost = stage.publish()
        stage.tail.thaw()
        stage.wait_gap()
        proof = stage.proof()
        assert proof.inside + proof.outside == [lost]
        assert not proof.outside, (proof.outside, stage.tail.receipts, stage.tail.gaps)
