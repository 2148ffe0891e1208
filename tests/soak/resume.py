"""Kills the tail with `--resume` again and again, and proves that its joined output is whole.

`python -m tests.soak.resume --kills 200 --seed 1` is the long form, and with `--outage 60` it is
one long outage instead; non-zero on a broken promise.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Self

from chatapp_tail.sandbox import ApiAnswered, ApiRequested, Sandbox
from tests.conftest import PROGRAM, TIMEOUT_SCALE, clean_environment

from .journal import ROOT, SHORT
from .numbered import Background, Line, Messages, SteadyPublisher, accounts_of
from .outage_history import lose, table_of_outage, violations_of_outage
from .proof import say, verdict
from .resume_proof import ResumeProof, Run, all_of, prove
from .shared_output import FileOutput, PipeOutput, SharedOutput

LINES = (
    Line(1229, "telegram"),
    Line(1229, "grWhatsApp"),
    Line(1230, "telegram"),
    Line(1231, "avito"),
)
CHATS = 24
RATE = 100.0
"""Messages a second. Each start reads five minutes back, at ten pages of a hundred a second."""
STDOUTS = ("pipe", "file")
_HISTORY = "/v1/licenses/*/chats*"
_READY_WITHIN = 20.0
_ROUND = 40
"""Kills of one account; more would read back ever more, as long as the links are cut as well."""
_CALM_EVERY = 20
"""One of so many runs is left alone until it has caught up."""
_BATCH_BYTES = 2 * 256 * 1024
"""What a run writes between two commits: as much as it takes from its spool at once, enveloped."""
_TERMINATED = 0.12
"""The share of runs that SIGTERM ends, which must double nothing; they come beside the kills."""
_ENDED_BY_SIGTERM = -15


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done; `stdout` is one of STDOUTS."""

    stdout: str
    kills: int
    seed: int
    chats: int = CHATS


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that was observed."""

    plan: Plan
    proof: ResumeProof
    runs: list[Run]
    cuts: int
    requests: int
    answers: Counter[int]
    caught_up: bool
    """Whether all had come before the last run was ended."""
    stderr: str
    seconds: float


class Tails:
    """Starts one run after the other, all with the same name and the same stdout."""

    def __init__(self, sandbox: Sandbox, output: SharedOutput, messages: Messages, home: Path):
        self.runs: list[Run] = []
        self._sandbox = sandbox
        self._output = output
        self._messages = messages
        self._home = home
        self._stderr = (home / "stderr").open("ab", buffering=0)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, kind: str, *more: str) -> Run:
        """Start a run, with more options than all of them have."""
        channels = (word for line in LINES for word in ("--channel", line.channel))
        urls = ("--ws-url", self._sandbox.ws_url, "--api-url", self._sandbox.api_url)
        run = Run(kind, time.monotonic(), self._output.written(), len(self._messages.log))
        self._process = subprocess.Popen(
            [*PROGRAM, "--json", "--resume=soak", *channels, *urls, *SHORT.arguments, *more],
            stdin=subprocess.DEVNULL,
            stdout=self._output.stdout,
            stderr=self._stderr,
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
        """End the run by SIGKILL or SIGTERM; it is reaped afterwards."""
        process, run = self._process, self.runs[-1]
        assert process is not None
        (process.kill if kill else process.terminate)()
        run.status = process.wait(20.0 * TIMEOUT_SCALE)
        run.ended = time.monotonic()
        run.end = self._output.written()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    @property
    def stderr(self) -> str:
        return (self._home / "stderr").read_text("utf-8", "replace")


class Troubles(Background):
    """A thread that cuts the sockets and lets the API fail, as long as the block lasts."""

    def __init__(self, sandbox: Sandbox, seed: int) -> None:
        super().__init__()
        self.cuts = 0
        self._sandbox = sandbox
        self._rng = random.Random(seed)

    def _run(self) -> None:
        self._sandbox.faults.answer_api(_HISTORY, 500, one_in=10)
        for number in count(1):
            if self._stopping.wait(self._rng.uniform(1.0, 8.0)):
                return
            if number % 5 == 0:
                headers = {"Retry-After": "1"}
                self._sandbox.faults.answer_api(_HISTORY, 429, headers=headers, calls=1)
            else:
                self.cuts += 1
                self._cut()

    def _cut(self) -> None:
        match self._rng.choice(("reset", "end", "close", "reconnect")):
            case "reset" | "end" as way:
                self._sandbox.abort_sockets(reset=way == "reset")
            case "close":
                self._sandbox.close_sockets(1011)
            case "reconnect":
                self._sandbox.close_sockets(4200, "please reconnect")


class Moments:
    """Each method waits until the moment has come to end a run."""

    def __init__(self, rng: random.Random, sandbox: Sandbox, output: SharedOutput) -> None:
        self._rng = rng
        self._sandbox = sandbox
        self._output = output
        self._clock = threading.Event()

    def _wait(self, least: float, most: float) -> None:
        self._clock.wait(self._rng.uniform(least, most))

    def at_once(self, _: Run) -> None:
        self._wait(0.005, 0.4)

    def early(self, _: Run) -> None:
        self._wait(0.3, 1.5)

    def late(self, _: Run) -> None:
        self._wait(1.0, 6.0)

    def in_history(self, _: Run) -> None:
        """Wait for the authorisations and some requests for history."""
        begun = self._sandbox.journal.count(ApiRequested)
        enough = begun + len(LINES) + self._rng.randint(1, 60)
        self._wait_for(lambda sandbox: sandbox.journal.count(ApiRequested) >= enough)
        self._wait(0.0, 0.2)

    def at_output(self, run: Run) -> None:
        """Wait for a line to be there, and not for its commit."""
        if self._rng.random() < 0.5:
            self._wait(0.5, 3.0)
        begins = max(run.start, self._output.lines[-1].end)
        self._output.wait_for(lambda: self._output.lines[-1].end > begins, 15.0 * TIMEOUT_SCALE)
        self._wait(0.0, 0.003)

    def forgotten(self, _: Run) -> None:
        """Wait until the tail has been told that all is well, though nothing comes any more."""
        self._wait_for(lambda sandbox: sandbox.subscribers(LINES[-1].channel))
        self._sandbox.forget_subscriptions()
        pings = self._sandbox.pings + 2
        self._wait_for(lambda sandbox: sandbox.pings >= pings)

    def pick(self) -> Callable[[Run], None]:
        ways = (self.at_once, self.early, self.late, self.in_history, self.at_output)
        return self._rng.choice((*ways, self.in_history, self.at_output, self.forgotten))

    def _wait_for(self, happened: Callable[[Sandbox], object]) -> None:
        try:
            self._sandbox.wait_for(happened, 5.0)
        except TimeoutError:
            return  # the run may be in a back-off; it is killed there, then


def soak(asked: Plan, say: Callable[[str], None] = print) -> Result:
    """Run it; whatever happens, everything that was started is ended."""
    began = time.monotonic()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        sandbox = stack.enter_context(Sandbox(licenses=accounts_of(LINES), kept_messages=10**7))
        output = PipeOutput() if asked.stdout == "pipe" else FileOutput(home / "events.ndjson")
        stack.enter_context(output)
        messages = Messages(sandbox, LINES, asked.chats)
        tails = stack.enter_context(Tails(sandbox, output, messages, home))
        _begin(asked.chats, tails, sandbox, output, messages)
        with Troubles(sandbox, asked.seed) as troubles:
            with SteadyPublisher(messages, asked.chats, rate=RATE, seed=asked.seed):
                _end_runs(asked, sandbox, output, tails, say)
                tails.start("last")
                output.wait_whole(len(messages.log), _to_catch_up(messages))
            caught_up = output.wait_whole(len(messages.log), _to_catch_up(messages))
        tails.end(kill=False)
        output.close()
        requests = sandbox.journal.of(ApiAnswered)
        asked_for = [entry for entry in requests if entry.path.startswith("/v1/licenses/")]
        return Result(
            plan=asked,
            proof=prove(messages.log, output.lines, tails.runs),
            runs=tails.runs,
            cuts=troubles.cuts,
            requests=len(asked_for),
            answers=Counter(entry.status for entry in asked_for),
            caught_up=caught_up,
            stderr=tails.stderr,
            seconds=time.monotonic() - began,
        )


def joined(results: Sequence[Result]) -> Result:
    """Return several results as one."""
    return Result(
        plan=replace(results[0].plan, kills=sum(result.plan.kills for result in results)),
        proof=all_of([result.proof for result in results]),
        runs=[run for result in results for run in result.runs],
        cuts=sum(result.cuts for result in results),
        requests=sum(result.requests for result in results),
        answers=sum((result.answers for result in results), Counter()),
        caught_up=all(result.caught_up for result in results),
        stderr="".join(result.stderr for result in results),
        seconds=sum(result.seconds for result in results),
    )


def _begin(
    chats: int, tails: Tails, sandbox: Sandbox, output: SharedOutput, messages: Messages
) -> None:
    """Let the first run write something of each line: what was before is nobody's gap."""
    tails.start("first")
    for line in LINES:
        sandbox.wait_subscribed(line.channel, _READY_WITHIN * TIMEOUT_SCALE)
    for chat in range(chats):
        messages.publish(chat, [100])
    assert output.wait_whole(chats, _READY_WITHIN * TIMEOUT_SCALE), tails.stderr


def _end_runs(
    asked: Plan, sandbox: Sandbox, output: SharedOutput, tails: Tails, say: Callable[[str], None]
) -> None:
    rng = random.Random(asked.seed)
    moments = Moments(rng, sandbox, output)
    clock = threading.Event()
    killed = 0
    for number in count(1):
        run = tails.runs[-1]
        if number > 1:
            await_moment = moments.pick()
            calm = number % _CALM_EVERY == 0
            run = tails.start("calm" if calm else await_moment.__name__)
            output.sips_per_second = None if calm else rng.choice((None, None, 20.0, 60.0, 300.0))
            if calm:
                output.wait_whole(run.known, 120.0 * TIMEOUT_SCALE)
            await_moment(run)
        kill = number == 1 or rng.random() >= _TERMINATED
        if not kill:
            output.sips_per_second = None  # it writes all that it has, which may be much
        killed += kill
        tails.end(kill=kill)
        run.in_history = _asked_lately(sandbox, run.ended)
        if rng.random() < 0.3:
            clock.wait(rng.uniform(0.1, 3.0))
        if number % 10 == 0:
            elapsed = time.monotonic() - tails.runs[0].began
            say(f"{elapsed:5.0f} s: {number} runs, {len(output.lines)} lines")
        if killed == asked.kills:
            break
    output.sips_per_second = None


def _asked_lately(sandbox: Sandbox, now: float) -> bool:
    """Whether history was asked for in the last third of a second."""
    for entry in reversed(sandbox.journal.entries()):
        if entry.at < now - 0.3:
            return False
        if isinstance(entry, ApiRequested) and entry.path.startswith("/v1/licenses/"):
            return True
    return False


def _to_catch_up(messages: Messages) -> float:
    """Seconds that reading all of it may take: pages of 100, ten a second, and some fail."""
    return (30.0 + 3 * len(messages.log) / 1000) * TIMEOUT_SCALE


# --- what the observations say --------------------------------------------------------------------


def violations(result: Result) -> list[str]:
    """Every broken promise, as a sentence."""
    proof = result.proof
    rewritten = proof.rewritten
    counted: list[tuple[str, Sequence[object]]] = [
        ("missing", proof.missing),
        ("written that nobody published", proof.never_published),
        ("written twice by the same run", proof.repeated),
        ("written again after a run that was not killed", _of_runs_not_killed(result)),
        ("runs whose doubles are not their last messages", [r for r in rewritten if r.others]),
        ("runs with too much written between two commits", _uncommitted_for_long(result)),
        ("lines that are no record", proof.spoiled),
        ("live behind a later one of their chat", proof.late_live),
        ("runs that ended by themselves", _ended_by_themselves(result)),
    ]
    found = [f"{len(items)} {what}, such as {items[0]}" for what, items in counted if items]
    if not result.caught_up:
        found.append("the last run did not catch up")
    _, traceback, rest = result.stderr.partition("Traceback")
    if traceback:
        found.append(f"a traceback on stderr: {rest[:3000]}")
    return found


def _ended_by_themselves(result: Result) -> list[Run]:
    return [run for run in result.runs if not run.killed and run.status != _ENDED_BY_SIGTERM]


def _of_runs_not_killed(result: Result) -> list[object]:
    return [each for each in result.proof.rewritten if not each.run.killed]


def _uncommitted_for_long(result: Result) -> list[object]:
    return [each for each in result.proof.rewritten if each.size > _BATCH_BYTES]


def table(result: Result) -> str:
    """The figures, for people."""
    proof = result.proof
    killed = [run for run in result.runs if run.killed]
    kinds = Counter(run.kind for run in killed)
    doubles = [each.count for each in proof.rewritten]
    catching_up = sorted(proof.catching_up)
    rows: list[tuple[str, object]] = [
        ("stdout", result.plan.stdout),
        ("seconds", f"{result.seconds:.0f}"),
        ("messages published", proof.published),
        ("lines written", proof.lines),
        ("runs", len(result.runs)),
        ("killed by SIGKILL", len(killed)),
        ("of these while they read history", sum(run.in_history for run in killed)),
        ("ended by SIGTERM", len(result.runs) - len(killed)),
        ("sockets cut meanwhile", result.cuts),
        ("requests for history", result.requests),
        ("answered", ", ".join(f"{k}: {n}" for k, n in sorted(result.answers.items()))),
        ("missing", len(proof.missing)),
        ("written twice", sum(doubles)),
        ("after so many kills", len(doubles)),
        ("most after one kill", max(doubles, default=0)),
        ("most bytes from the first of them to the kill", _most_bytes(proof)),
        ("twice, but not the last before a kill", sum(r.others for r in proof.rewritten)),
        ("twice by one run", len(proof.repeated)),
        ("lines torn by a kill, alone", len(proof.torn)),
        ("lines spoiled", len(proof.spoiled)),
        ("empty lines", len(proof.empty)),
        ("behind a later one of their chat: live", len(proof.late_live)),
        ("  history that took over 10 s", len(proof.late_history)),
        ("  of an earlier run", len(proof.late_runs)),
        ("runs that caught up", len(catching_up)),
        ("  after, median / slowest (s)", _spread(catching_up)),
        ("caught up at the end", "yes" if result.caught_up else "NO"),
    ]
    lines = [f"{name:<46} {value}" for name, value in rows]
    lines.append("kills by kind: " + ", ".join(f"{k} {n}" for k, n in sorted(kinds.items())))
    return "\n".join(lines)


def _most_bytes(proof: ResumeProof) -> int:
    return max((each.size for each in proof.rewritten), default=0)


def _spread(ascending: Sequence[float]) -> str:
    if not ascending:
        return "-"
    return f"{ascending[len(ascending) // 2]:.1f} / {ascending[-1]:.1f}"


# --- the command ----------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.resume", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stdout", choices=STDOUTS, action="append", help="both unless given")
    parser.add_argument("--outage", type=float, metavar="SECONDS")
    asked = parser.parse_args()
    if asked.outage is not None:
        outage = lose(asked.outage)
        say(table_of_outage(outage))
        return verdict(violations_of_outage(outage))
    broken = 0
    for stdout in asked.stdout or STDOUTS:
        rounds = [
            soak(Plan(stdout, min(_ROUND, asked.kills - done), asked.seed + done), say)
            for done in range(0, asked.kills, _ROUND)
        ]
        result = joined(rounds)
        say(table(result))
        broken += verdict(violations(result))
    return min(broken, 1)


if __name__ == "__main__":
    sys.exit(main())
