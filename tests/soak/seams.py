"""Strikes at the seams of a resumed tail: clocks, the API, its end, stderr, the disk.

`python -m tests.soak.seams --seconds 600 --seed 1` is the long form; non-zero on a broken promise:
every message comes, every status that is lost lies in a gap that was said, and nothing comes twice
but after a kill.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from chatapp_tail.sandbox import Sandbox
from tests.conftest import TIMEOUT_SCALE

from .numbered import Line, Messages, Statuses, StatusPublisher, SteadyPublisher, accounts_of
from .proof import say, verdict
from .seams_faults import KINDS, Seams, SmallDisk
from .seams_proof import SeamsProof, prove_seams
from .seams_runs import Runs, log_in
from .stepped_clock import Offset

LINES = (Line(1229, "telegram"), Line(1229, "grWhatsApp"), Line(1230, "telegram"))
CHATS = 24
MESSAGES_PER_SECOND = 25.0
STATUSES_PER_SECOND = 10.0
_READY_WITHIN = 20.0
_CATCH_UP_WITHIN = 180.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done; `kinds` of faults, each as often as the others."""

    seconds: float
    seed: int
    kinds: tuple[str, ...] = tuple(KINDS)


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that was observed."""

    proof: SeamsProof
    faults: Counter[str]
    runs: Runs


def soak(plan: Plan, say: Callable[[str], None] = print) -> Result:
    """Run it; whatever happens, everything that was started is ended."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        sandbox = stack.enter_context(Sandbox(licenses=accounts_of(LINES), kept_messages=10**7))
        disk = stack.enter_context(SmallDisk(home / "state" / "chatapp-tail", home / "elsewhere"))
        clock = Offset(home / "clock")
        log_in(sandbox, home)
        runs = stack.enter_context(Runs(sandbox, clock, LINES, home))
        seams = Seams(random.Random(plan.seed), sandbox, clock, disk, runs)
        messages, statuses = Messages(sandbox, LINES, CHATS), Statuses(sandbox, LINES, CHATS)
        runs.start()
        for line in LINES:
            sandbox.wait_subscribed(line.channel, _READY_WITHIN * TIMEOUT_SCALE)
        with (
            SteadyPublisher(messages, CHATS, rate=MESSAGES_PER_SECOND, seed=plan.seed),
            StatusPublisher(statuses, CHATS, rate=STATUSES_PER_SECOND, seed=plan.seed),
        ):
            _strike(plan, seams, say)
        # What a run gave up is for the next one, which nothing disturbs.
        seams.behave()
        seams.restart(kill=False)
        wanted = {message.number for message in messages.log}
        deadline = _CATCH_UP_WITHIN * TIMEOUT_SCALE
        runs.wait_for(lambda: wanted <= runs.numbers("message"), deadline)
        runs.end_all()
        return Result(
            proof=prove_seams(messages.log, statuses.log, runs.all, seams.offsets),
            faults=seams.done,
            runs=runs,
        )


def _strike(plan: Plan, seams: Seams, say: Callable[[str], None]) -> None:
    """One fault after the other, with calm in between, until the time is over."""
    ends = time.monotonic() + plan.seconds
    pause = threading.Event()
    kinds = [kind for kind in plan.kinds if kind not in seams.impossible]
    while True:
        for kind in seams.rng.sample(kinds, len(kinds)):
            pause.wait(seams.rng.uniform(1.0, 5.0))
            seams.do(kind)
            if time.monotonic() >= ends:
                return
        left, count = ends - time.monotonic(), seams.done.total()
        say(f"{count} faults, {len(seams.runs.all)} runs, {left:.0f} s left")


def violations(result: Result) -> list[str]:
    """Every broken promise, as a sentence."""
    proof, runs = result.proof, result.runs
    counted = (
        ("messages missing", proof.missing),
        ("statuses missing outside of every gap", proof.statuses_missing),
        ("written twice by one run", proof.repeated),
        ("written again after a run that was not killed", proof.rewritten),
        ("lines that are no record and were not torn by a kill", proof.unreadable),
        ("runs that ended by themselves or too late", runs.ended_wrongly),
    )
    found = [f"{len(items)} {what}, such as {items[0]!r}" for what, items in counted if items]
    if "Traceback" in runs.stderr:
        found.append(f"a traceback: {runs.stderr.partition('Traceback')[2][:2000]}")
    return found


def table(result: Result) -> str:
    """The figures, for people."""
    proof = result.proof
    rows = (
        ("messages published", proof.messages),
        ("statuses published", proof.statuses),
        ("  lost in gaps that were said", proof.statuses_in_gaps),
        ("messages missing", len(proof.missing)),
        ("statuses missing outside of gaps", len(proof.statuses_missing)),
        ("gaps said", proof.gaps),
        ("runs", len(result.runs.all)),
        ("written twice after a kill", proof.doubled_by_kills),
    )
    lines = [f"{name:<48} {value}" for name, value in rows]
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(result.faults.items()))
    return "\n".join([*lines, f"faults: {kinds}"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.seams", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=KINDS, help="only this kind of fault")
    parser.add_argument("--stderr", action="store_true", help="show what the runs said")
    asked = parser.parse_args()
    result = soak(Plan(asked.seconds, asked.seed, tuple(asked.only or KINDS)), say)
    if asked.stderr:
        say(result.runs.stderr)
    say(table(result))
    return verdict(violations(result))


if __name__ == "__main__":
    sys.exit(main())
