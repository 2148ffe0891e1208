"""One outage in which 500 messages are published: what comes back, when, for how many requests."""

import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from chatapp_tail.sandbox import ApiAnswered, Sandbox
from tests.conftest import PROGRAM, TIMEOUT_SCALE, clean_environment

from .journal import ROOT, SHORT
from .numbered import Line, Messages
from .proof import SECOND, most_in_window
from .shared_output import PipeOutput

LINES = tuple(Line(license_id, "telegram") for license_id in (1229, 1230, 1231))
CHATS = 40
LOST = 500
BACK_WITHIN = 10.0
"""Seconds from the new subscription to the last message of the outage, before scaling."""
LEAST_REQUESTS = len(LINES) + CHATS
MOST_REQUESTS = LEAST_REQUESTS + 7 * len(LINES)
"""A list that ends is asked further than its end: nothing but an answer without news tells that."""
_READY_WITHIN = 20.0
_RECONNECTS_WITHIN = 45.0
_AFTER = 10


@dataclass(frozen=True, slots=True)
class Outage:
    """How it was, and what came of it: `numbers` and `sources` in the order of the output.

    `back_after` is in seconds from the last subscription on, None when not all came back.
    """

    seconds: float
    stopped: bool
    latency: float
    per_second: int | None
    published: int
    numbers: list[int | None]
    sources: list[str]
    back_after: float | None
    reconnected_after: float
    statuses: Counter[int]
    """Of the answers to requests for history."""
    fastest: int
    """Most requests for history within one second."""
    fastest_of_all: int
    """The same of all requests, authorisations too."""
    refused: int
    """Requests of any kind answered with 429."""


def lose(
    seconds: float, *, stopped: bool = False, latency: float = 0.0, per_second: int | None = None
) -> Outage:
    """Publish 500 messages while upgrades are refused, or the whole server is `stopped`."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        licenses = {line.license: (line.messenger,) for line in LINES}
        sandbox = stack.enter_context(Sandbox(licenses=licenses, requests_per_second=per_second))
        if latency:
            sandbox.faults.delay_api("*", latency)
        output = stack.enter_context(PipeOutput())
        stack.enter_context(_tail(sandbox, output, home))
        messages = Messages(sandbox, LINES, CHATS)
        _wait_subscribed(sandbox, _READY_WITHIN)
        for chat in range(CHATS):
            messages.publish(chat, [100])
        assert output.wait_whole(CHATS, _READY_WITHIN * TIMEOUT_SCALE)

        before = len(sandbox.journal.of(ApiAnswered))
        if stopped:
            sandbox.stop()
        else:
            sandbox.faults.refuse_upgrades(503)
            sandbox.abort_sockets()
        _publish_for(messages, seconds)
        over = time.monotonic()
        if stopped:
            sandbox.start()
        else:
            sandbox.faults.upgrade_script = None
        _wait_subscribed(sandbox, _RECONNECTS_WITHIN)
        back = time.monotonic()
        for chat in range(_AFTER):
            messages.publish(chat, [100])
        came = output.wait_whole(len(messages.log), 2 * BACK_WITHIN * TIMEOUT_SCALE)
        back_after = time.monotonic() - back if came else None
        answers = sandbox.journal.of(ApiAnswered)[before:]
        for_history = [each for each in answers if each.path.startswith("/v1/licenses/")]
        return Outage(
            seconds=seconds,
            stopped=stopped,
            latency=latency,
            per_second=per_second,
            published=len(messages.log),
            numbers=[line.number for line in output.lines],
            sources=[line.source for line in output.lines],
            back_after=back_after,
            reconnected_after=back - over,
            statuses=Counter(answer.status for answer in for_history),
            fastest=_fastest(for_history),
            fastest_of_all=_fastest(answers),
            refused=sum(answer.status == 429 for answer in answers),
        )


def _fastest(answers: Sequence[ApiAnswered]) -> int:
    return most_in_window([round(answer.at * SECOND) for answer in answers], SECOND)


def _tail(sandbox: Sandbox, output: PipeOutput, home: Path) -> ExitStack:
    channels = (word for line in LINES for word in ("--channel", line.channel))
    urls = ("--ws-url", sandbox.ws_url, "--api-url", sandbox.api_url)
    process = subprocess.Popen(
        [*PROGRAM, "--json", *channels, *urls, *SHORT.arguments],
        stdin=subprocess.DEVNULL,
        stdout=output.stdout,
        stderr=subprocess.DEVNULL,
        env={
            **clean_environment(home),
            "PYTHONPATH": str(ROOT),
            "CHATAPP_TOKEN": sandbox.token,
        },
        cwd=home,
        start_new_session=True,
    )
    stack = ExitStack()
    stack.callback(process.wait)
    stack.callback(process.kill)
    return stack


def _wait_subscribed(sandbox: Sandbox, seconds: float) -> None:
    for line in LINES:
        sandbox.wait_subscribed(line.channel, seconds * TIMEOUT_SCALE)


def _publish_for(messages: Messages, seconds: float) -> None:
    """Publish 500 messages, evenly."""
    clock = threading.Event()
    began = time.monotonic()
    for number in range(LOST):
        clock.wait(max(0.0, began + seconds * number / LOST - time.monotonic()))
        messages.publish(number % CHATS, [100])


# --- what the observations say --------------------------------------------------------------------


def requests_of(outage: Outage) -> int:
    return outage.statuses.total()


def violations_of_outage(outage: Outage) -> list[str]:
    """Every broken promise, as a sentence."""
    found = []
    missing = set(range(1, outage.published + 1)).difference(n for n in outage.numbers if n)
    doubles = len(outage.numbers) - len(set(outage.numbers))
    if missing:
        found.append(f"{len(missing)} messages are missing, such as {min(missing)}")
    if doubles:
        found.append(f"{doubles} messages came twice")
    if not missing and not doubles and (late := _late(outage.numbers)):
        found.append(f"{late} messages are out of order")
    if outage.back_after is None or outage.back_after > BACK_WITHIN * TIMEOUT_SCALE:
        found.append(f"all was back after {outage.back_after} s, not {BACK_WITHIN:g}")
    if requests_of(outage) > MOST_REQUESTS:
        found.append(f"{requests_of(outage)} requests; {LEAST_REQUESTS} would do")
    if outage.refused:
        found.append(f"{outage.refused} requests were answered with 429: too many a second")
    return found


def _late(numbers: Sequence[int | None]) -> int:
    return sum(a is None or b is None or a > b for a, b in pairwise(numbers))


def table_of_outage(outage: Outage) -> str:
    """The figures, for people."""
    back = "never" if outage.back_after is None else f"{outage.back_after:.2f}"
    rows: list[tuple[str, object]] = [
        ("outage (s)", f"{outage.seconds:g}"),
        ("of", "the whole server" if outage.stopped else "its WebSockets"),
        ("latency of the API (s)", f"{outage.latency:g}"),
        ("requests a second it allows", outage.per_second or "any number"),
        ("messages published", outage.published),
        ("lines written", len(outage.numbers)),
        ("from history", outage.sources.count("backfill")),
        ("reconnected after the end of it (s)", f"{outage.reconnected_after:.2f}"),
        ("all was back after that (s)", back),
        ("requests for history", f"{requests_of(outage)} (at least {LEAST_REQUESTS})"),
        ("answered", ", ".join(f"{k}: {n}" for k, n in sorted(outage.statuses.items()))),
        ("most of them in a second", outage.fastest),
        ("with the authorisations", outage.fastest_of_all),
        ("answered with 429", outage.refused),
    ]
    return "\n".join(f"{name:<40} {value}" for name, value in rows)
