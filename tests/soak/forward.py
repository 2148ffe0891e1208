"""Kills the tail, its link and its destination over and over; proves that nothing is lost.

`python -m tests.soak.forward --kills 100 --seed 1` is the long form, and with `--outage 60` the
destination is dead for the first half while the tail is restarted; non-zero on a broken promise.
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
from itertools import count
from pathlib import Path
from typing import Any, Self

from chatapp_tail.sandbox import ApiAnswered, ApiRequested, Sandbox
from tests.conftest import PROGRAM, TIMEOUT_SCALE, clean_environment

from .forward_load import MESSAGE, Load, SteadyLoad
from .forward_proof import (
    UNDER_WAY,
    Ending,
    ForwardProof,
    SaidGap,
    covered_seconds,
    prove_forward,
)
from .forward_receiver import MOODS, UnreliableReceiver
from .journal import ROOT, SHORT, nanoseconds
from .numbered import Background, accounts_of
from .proof import say, verdict
from .resume import LINES, Troubles

CHATS = 16
RATE = 140.0
"""Items a second; three of ten are messages, since each start reads minutes of them back."""
_READY_WITHIN = 20.0
_CATCH_UP_WITHIN = 90.0
_CALM = 15.0
"""Seconds for which a calm run is left alone at most, since its link is cut all the same."""
_ENDS_WITHIN = 40.0
_ROUND = 25
"""Kills of one account; more would read back ever more."""
_CALM_EVERY = 5
_TERMINATED = 0.15


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done: so many kills, or an outage of the destination of so many seconds."""

    seed: int
    kills: int = 0
    outage: float = 0.0
    restarts: int = 4
    """How often the tail is restarted while the destination is dead."""


@dataclass(slots=True)
class Run:
    """One process; `began` and `ended` in seconds since the epoch."""

    kind: str
    began: float
    stderr: Path
    ended: float = 0.0
    killed: bool = False
    status: int | None = None

    def said(self) -> list[dict[str, Any]]:
        """Return what it said on stderr."""
        return [
            json.loads(line) for line in self.stderr.read_bytes().splitlines() if line[:1] == b"{"
        ]


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that was observed."""

    proof: ForwardProof
    runs: list[Run]
    gaps: list[SaidGap]
    endings: Counter[str]
    moods: Counter[str]
    ways: Counter[str]
    history: Counter[int]
    caught_up: bool
    seconds: float
    stderr: str


class Tails:
    """Starts one run after the other, all with the same name and destination."""

    def __init__(self, sandbox: Sandbox, receiver: UnreliableReceiver, home: Path) -> None:
        self.runs: list[Run] = []
        self.endings: list[Ending] = []
        self.dead_letters = home / "dead.ndjson"
        self._sandbox = sandbox
        self._receiver = receiver
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, kind: str) -> Run:
        """Start a run; every other one sends records instead of webhooks."""
        number = len(self.runs)
        channels = (word for line in LINES for word in ("--channel", line.channel))
        run = Run(kind, time.time(), self._home / f"stderr-{number}")
        with run.stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [
                    *(*PROGRAM, "--resume=soak", "--log-format=json", "-v", *channels),
                    *("--forward-to", self._receiver.url, "--forward-timeout", "3s"),
                    *("--forward-body", ("webhook", "record")[number % 2]),
                    *("--dead-letters", str(self.dead_letters), "--backfill-wait", "2m"),
                    *("--ws-url", self._sandbox.ws_url, "--api-url", self._sandbox.api_url),
                    *SHORT.arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env={
                    **clean_environment(self._home),
                    "PYTHONPATH": str(ROOT),
                    "CHATAPP_TOKEN": self._sandbox.token,
                },
                cwd=self._home,
                start_new_session=True,
            )
        self.runs.append(run)
        return run

    def end(self, *, kill: bool) -> None:
        """End the run by SIGKILL or SIGTERM, and reap it."""
        process, run = self._process, self.runs[-1]
        assert process is not None
        self.endings.append(Ending("kill" if kill else "term", time.time()))
        run.killed = kill
        (process.kill if kill else process.terminate)()
        try:
            run.status = process.wait(_ENDS_WITHIN * TIMEOUT_SCALE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        run.ended = self.endings[-1].over = time.time()

    def wait_ready(self) -> None:
        """Wait until all lines are subscribed."""
        for line in LINES:
            self._sandbox.wait_subscribed(line.channel, _READY_WITHIN * TIMEOUT_SCALE)

    def dead(self) -> list[tuple[float, int]]:
        """Return when and with which `seq` dead letters were written."""
        if not self.dead_letters.exists():
            return []
        # The last line may just be written, and others may be torn by a kill.
        lines = self.dead_letters.read_bytes().splitlines()
        letters = [json.loads(line) for line in lines if line.endswith(b"}}")]
        return [
            (nanoseconds(letter["at"]) / 1e9, letter["record"]["data"]["seq"]) for letter in letters
        ]

    def gaps(self) -> list[SaidGap]:
        """Return the gaps that all runs said."""
        return [
            SaidGap(said["channel"], nanoseconds(said["from"]) / 1e9, nanoseconds(said["to"]) / 1e9)
            for run in self.runs
            for said in run.said()
            if said["type"] == "gap"
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Cuts(Troubles):
    """Cuts the links and lets history fail; notes when."""

    def __init__(self, sandbox: Sandbox, seed: int) -> None:
        super().__init__(sandbox, seed)
        self.endings: list[Ending] = []

    def _cut(self) -> None:
        self.endings.append(Ending("cut", time.time()))
        super()._cut()


class Moods(Background):
    """A thread that lets the receiver fail in one way after the other, with calm in between."""

    def __init__(self, receiver: UnreliableReceiver, seed: int) -> None:
        super().__init__()
        self.done: Counter[str] = Counter()
        self._receiver = receiver
        self._rng = random.Random(seed)

    def _run(self) -> None:
        while not self._stopping.wait(self._rng.uniform(0.5, 3.0)):
            mood = self._rng.choice(MOODS[1:])
            self.done[mood] += 1
            self._receiver.behave(mood)
            self._stopping.wait(self._rng.uniform(0.5, 3.0))
            self._receiver.behave("good")


class Moments:
    """Each method waits until the moment has come to end a run."""

    def __init__(self, rng: random.Random, sandbox: Sandbox, receiver: UnreliableReceiver) -> None:
        self._rng = rng
        self._sandbox = sandbox
        self._receiver = receiver
        self._clock = threading.Event()

    def at_once(self) -> None:
        self._wait(0.05, 0.6)

    def early(self) -> None:
        self._wait(0.5, 1.5)

    def late(self) -> None:
        self._wait(1.0, 5.0)

    def in_history(self) -> None:
        """Wait for the authorisations and some requests for history."""
        enough = self._sandbox.journal.count(ApiRequested) + len(LINES) + self._rng.randint(1, 30)
        try:
            self._sandbox.wait_for(lambda it: it.journal.count(ApiRequested) >= enough, 5.0)
        except TimeoutError:
            return  # the run may be in a back-off

    def at_delivery(self) -> None:
        """Wait for a request that took effect, and not for its commit."""
        self._wait(0.5, 2.0)
        with self._receiver.changed:
            before = len(self._receiver.requests)
            self._receiver.changed.wait_for(lambda: len(self._receiver.requests) > before, 5.0)
        self._wait(0.0, 0.01)

    def pick(self) -> Callable[[], None]:
        ways = (self.at_once, self.early, self.late, self.in_history)
        return self._rng.choice((*ways, self.at_delivery, self.at_delivery))

    def _wait(self, least: float, most: float) -> None:
        self._clock.wait(self._rng.uniform(least, most))


def soak(plan: Plan, say: Callable[[str], None] = print) -> Result:
    """Run it; whatever happens, everything that was started is ended."""
    began = time.monotonic()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        sandbox = stack.enter_context(Sandbox(licenses=accounts_of(LINES), kept_messages=10**7))
        receiver = stack.enter_context(UnreliableReceiver(plan.seed))
        tails = stack.enter_context(Tails(sandbox, receiver, home))
        load = Load(sandbox, LINES, CHATS, plan.seed)
        tails.start("first")
        tails.wait_ready()
        moods, cuts = Moods(receiver, plan.seed), Cuts(sandbox, plan.seed)
        with SteadyLoad(load, rate=RATE, seed=plan.seed) as steady:
            if plan.outage:
                _outlast(plan, tails, receiver, steady)
            else:
                with cuts, moods:
                    _end_runs(plan, tails, sandbox, receiver, load, say)
        sandbox.faults.clear()
        receiver.behave("good")
        if not plan.outage:
            tails.start("last")
        caught_up = _wait_caught_up(tails, receiver, load)
        tails.end(kill=False)
        endings, gaps = [*tails.endings, *cuts.endings], tails.gaps()
        return Result(
            proof=prove_forward(load.log, receiver.requests, tails.dead(), endings, gaps),
            runs=tails.runs,
            gaps=gaps,
            endings=Counter(ending.kind for ending in endings),
            moods=moods.done,
            ways=Counter(receiver.answers),
            history=Counter(
                entry.status
                for entry in sandbox.journal.of(ApiAnswered)
                if entry.path.startswith("/v1/licenses/")
            ),
            caught_up=caught_up,
            seconds=time.monotonic() - began,
            stderr="".join(run.stderr.read_text("utf-8", "replace") for run in tails.runs),
        )


def _end_runs(
    plan: Plan,
    tails: Tails,
    sandbox: Sandbox,
    receiver: UnreliableReceiver,
    load: Load,
    say: Callable[[str], None],
) -> None:
    rng = random.Random(plan.seed)
    moments = Moments(rng, sandbox, receiver)
    clock = threading.Event()
    killed = 0
    for number in count(1):
        await_moment = moments.pick()
        if number == 1 or number % _CALM_EVERY == 0:
            if number > 1:
                tails.start("calm")
            _wait_caught_up(tails, receiver, load, _CALM)
            await_moment = moments.at_delivery
        else:
            tails.start(await_moment.__name__)
        await_moment()
        kill = number == 1 or rng.random() >= _TERMINATED
        killed += kill
        tails.end(kill=kill)
        if rng.random() < 0.3:
            clock.wait(rng.uniform(0.1, 2.0))
        if number % 10 == 0:
            say(f"{time.time() - tails.runs[0].began:5.0f} s: {number} runs, {len(load.log)} items")
        if killed >= plan.kills:
            return


def _outlast(plan: Plan, tails: Tails, receiver: UnreliableReceiver, steady: SteadyLoad) -> None:
    """Let the destination be dead, restart the tail meanwhile, and let the destination come back.

    Nothing is published while a run ends by SIGTERM, so that nothing may be missing for that.
    """
    clock = threading.Event()
    clock.wait(1.0)
    receiver.behave("down")
    for number in range(plan.restarts):
        clock.wait(plan.outage / 2 / plan.restarts)
        kill = number % 2 == 1
        if not kill:
            steady.pause()
            clock.wait(0.3)
        tails.end(kill=kill)
        tails.start("outage")
        if not kill:
            tails.wait_ready()
            clock.wait(0.3)
            steady.go_on()
    receiver.behave("good")
    clock.wait(plan.outage / 2)


def _wait_caught_up(
    tails: Tails, receiver: UnreliableReceiver, load: Load, seconds: float = _CATCH_UP_WITHIN
) -> bool:
    """Wait until every message published by now is delivered or dead."""
    wanted = {entry.thing.seq for entry in load.log if entry.thing.kind == MESSAGE}
    deadline = time.monotonic() + seconds * TIMEOUT_SCALE
    while time.monotonic() < deadline:
        with receiver.changed:
            if wanted <= receiver.kept or wanted <= receiver.kept | {s for _, s in tails.dead()}:
                return True
            receiver.changed.wait(0.3)
    return False


# --- what the observations say --------------------------------------------------------------------


def violations(result: Result) -> list[str]:
    """Every broken promise, as a sentence."""
    proof = result.proof
    counted: list[tuple[str, Sequence[object]]] = [
        ("messages missing", proof.messages_missing),
        ("lost on a link that nothing ended", proof.unexplained),
        ("lost outside of every gap that was said", proof.unsaid),
        ("doubles without a cause", [d for d in proof.doubles if d.cause == "none"]),
        ("doubles after SIGTERM", [d for d in proof.doubles if d.cause == "term"]),
        ("doubles of what was acknowledged long before a kill", _acknowledged_long_ago(proof)),
        ("behind a later one of their chat", proof.late),
        ("runs that ended by themselves", _ended_wrongly(result.runs)),
    ]
    found = [f"{len(items)} {what}, such as {items[0]}" for what, items in counted if items]
    if not result.caught_up:
        found.append("the last run did not catch up")
    _, traceback, rest = result.stderr.partition("Traceback")
    if traceback:
        found.append(f"a traceback on stderr: {rest[:3000]}")
    return found


def _acknowledged_long_ago(proof: ForwardProof) -> list[object]:
    return [d for d in proof.doubles if d.acknowledged is not None and d.acknowledged > UNDER_WAY]


def _ended_wrongly(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if not run.killed and run.status != -15]


def table(result: Result) -> str:
    """The figures, for people."""
    proof = result.proof
    ages = [d.acknowledged for d in proof.doubles if d.acknowledged is not None]
    rows: list[tuple[str, object]] = [
        ("seconds", f"{result.seconds:.0f}"),
        ("items published", f"{proof.published.total()} ({_counts(proof.published)})"),
        ("of these while no tail was linked", _counts(proof.unlinked)),
        ("deliveries; dead letters", f"{proof.delivered}; {proof.dead}"),
        ("runs", f"{len(result.runs)} ({_counts(Counter(run.kind for run in result.runs))})"),
        ("longest run, seconds", f"{max(run.ended - run.began for run in result.runs):.1f}"),
        ("endings", _counts(result.endings)),
        ("failures of the receiver", _counts(result.ways)),
        ("answers of history", _counts(result.history)),
        ("messages missing", len(proof.messages_missing)),
        ("of which an edit came first, at a SIGTERM", proof.replaced),
        ("others lost while no tail was linked", _counts(proof.lost_unlinked)),
        ("others lost under way, by ending", _counts(proof.lost_under_way)),
        ("most seconds from publication to ending", f"{max(proof.exposure, default=0.0):.3f}"),
        ("lost without a reason; in no said gap", f"{len(proof.unexplained)}; {len(proof.unsaid)}"),
        ("gaps said", len(result.gaps)),
        (
            "seconds they cover of a channel",
            f"{covered_seconds(result.gaps, LINES[0].channel):.1f}",
        ),
        ("doubles by cause", _counts(proof.doubles_by_cause)),
        ("most seconds from answer to kill of a double", f"{max(ages, default=0.0):.3f}"),
        ("first deliveries behind a later one of their chat", len(proof.late)),
        ("  behind what SIGTERM let go first", proof.late_by_sigterm),
    ]
    return "\n".join(f"{name:<50} {value}" for name, value in rows)


def _counts(counter: Counter[Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counter.items())) or "-"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.forward", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--outage", type=float, metavar="SECONDS")
    asked = parser.parse_args()
    plans = [
        Plan(asked.seed + done, kills=min(_ROUND, asked.kills - done))
        for done in range(0, asked.kills, _ROUND)
    ]
    if asked.outage is not None:
        plans = [Plan(asked.seed, outage=asked.outage)]
    broken = 0
    for plan in plans:
        result = soak(plan, say)
        say(f"{table(result)}\n")
        broken += verdict(violations(result))
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main())
