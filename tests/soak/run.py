"""One fault run, from the first *ready* to SIGTERM, and the figures of it."""

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median

from tests.conftest import TIMEOUT_SCALE
from tests.interop.soketi import TOKEN, AuthEndpoint, Soketi

from .faults import KINDS, Fault, Faults, plan
from .journal import Footprint, ReportedGap, StatusChange, TailProcess, Timings
from .proof import SECOND, Proof, most_in_window, prove
from .proxy import FaultyProxy
from .publisher import Published, Publisher

CHANNELS = (
    "private-v1.licenses.1229.messengers.telegram",
    "private-v1.licenses.1229.messengers.grWhatsApp",
    "private-v1.licenses.1230.messengers.telegram",
    "soak-without-signature",
)
RATE = 40.0
PROGRESS_EVERY = 30.0

BACK_WITHIN = 45.0
"""Seconds to *ready* after the last fault: the longest back-off is 30, then a dial."""
BATCH_WITHIN = 10.0
STABLE = 31.0
"""Seconds after which the tail takes a loss for a first one again."""
FAULTS_BETWEEN_STABLE = 6
SLACK = 1.0
"""Seconds of a busy machine, before scaling."""
RSS_GROWTH = 8 * 1024
THREAD_GROWTH = 1
DESCRIPTOR_GROWTH = 4
MOST_DIALS = 5
IDLE = 3.0
IDLE_CPU = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does; spans in seconds."""

    seconds: float
    seed: int
    timings: Timings
    kinds: tuple[str, ...] = tuple(KINDS)
    stable_pauses: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that was observed."""

    plan: Plan
    proof: Proof
    faults: list[Fault]
    statuses: list[StatusChange]
    gaps: list[ReportedGap]
    idle_cpu: float
    """Share of one processor that a ready tail takes while nothing happens."""
    before: Footprint
    after: Footprint
    back_after: float | None
    """Seconds from the end of the faults to ready; None when it never was."""
    last_batch_missing: int
    unreadable: list[str]
    stderr: list[str]
    exit_status: int


def soak(asked: Plan, say: Callable[[str], None] = print) -> Result:
    """Run it; whatever happens, everything that was started is ended."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        soketi = stack.enter_context(Soketi())
        auth = stack.enter_context(AuthEndpoint())
        proxy = stack.enter_context(FaultyProxy(soketi.port, asked.seed))
        arguments = [
            *(word for channel in CHANNELS for word in ("--channel", channel)),
            *("--ws-url", f"ws://127.0.0.1:{proxy.port}", "--api-url", auth.url),
            *asked.timings.arguments,
            "--no-backfill",  # soketi keeps no history
        ]
        tail = stack.enter_context(TailProcess(arguments, env={"CHATAPP_TOKEN": TOKEN}, home=home))
        publisher = Publisher(soketi, CHANNELS, seed=asked.seed, rate=RATE)
        assert tail.wait_ready(20.0 * TIMEOUT_SCALE), f"never ready:\n{''.join(tail.stderr)}"
        assert _batch_missing(publisher, tail) == 0, "the first batch did not arrive"
        before = tail.footprint()

        faults = Faults(
            random.Random(asked.seed),
            asked.timings,
            soketi,
            proxy,
            publisher,
            tail,
            auth,
            threading.Event(),
            [],
        )
        with publisher:
            _do_faults(asked, faults, say)
            over = time.monotonic()
            # A line that died silently may not have been noticed yet.
            faults.wait(asked.timings.notice + SLACK * TIMEOUT_SCALE)
            back = tail.wait_ready(BACK_WITHIN * TIMEOUT_SCALE)
            back_after = time.monotonic() - over if back else None
        missing = _batch_missing(publisher, tail)
        after = tail.footprint()
        faults.wait(IDLE)
        idle = (tail.footprint().cpu - after.cpu) / IDLE
        status = tail.terminate()
        return Result(
            plan=asked,
            proof=prove(publisher.log, tail.receipts, tail.gaps),
            faults=faults.done,
            statuses=tail.statuses,
            gaps=tail.gaps,
            idle_cpu=idle,
            before=before,
            after=after,
            back_after=back_after,
            last_batch_missing=missing,
            unreadable=tail.unreadable,
            stderr=tail.stderr,
            exit_status=status,
        )


def _do_faults(asked: Plan, faults: Faults, say: Callable[[str], None]) -> None:
    """Faults, with calm in between, until the time is over."""
    started = time.monotonic()
    progress_due = started + PROGRESS_EVERY
    for number, kind in enumerate(plan(faults.rng, list(asked.kinds)), 1):
        faults.do(kind)
        # Mostly a fault meets a line that is up, sometimes one that is being made.
        if faults.rng.random() < 0.8:
            faults.tail.wait_ready(BACK_WITHIN)
        if asked.stable_pauses and number % FAULTS_BETWEEN_STABLE == 0:
            faults.tail.wait_ready(BACK_WITHIN)
            faults.wait(STABLE)
        faults.between(0.1, 3.0)
        now = time.monotonic()
        if now >= progress_due:
            say(_progress(now - started, faults))
            progress_due = now + PROGRESS_EVERY
        if now - started >= asked.seconds or not faults.tail.running:
            return


def _progress(elapsed: float, faults: Faults) -> str:
    tail = faults.tail
    return (
        f"{elapsed:5.0f} s: {len(faults.done)} faults, {len(faults.publisher.log)} published,"
        f" {len(tail.receipts)} received, {len(tail.gaps)} gaps, {tail.footprint().rss} KiB,"
        f" {tail.state}"
    )


def _batch_missing(publisher: Publisher, tail: TailProcess) -> int:
    """Publish ten events on every channel; return how many of them do not arrive."""
    wanted = {
        (event.channel, event.number)
        for channel in CHANNELS
        for event in publisher.publish(channel, [100] * 10)
    }

    def missing() -> set[tuple[str, int]]:
        return wanted - {(r.channel, r.number) for r in tail.receipts[-1000:]}

    tail.wait_for(lambda: not missing(), BATCH_WITHIN * TIMEOUT_SCALE)
    return len(missing())


# --- what the observations say --------------------------------------------------------------------


def dials(result: Result) -> list[int]:
    return [change.at for change in result.statuses if change.state == "connecting"]


def losses(result: Result) -> list[StatusChange]:
    """Losses of a link that was up, without dials that failed."""
    return [c for c in result.statuses if c.state == "lost" and c.members["lasted"] is not None]


def notices(result: Result) -> list[float | None]:
    """Seconds to notice each silent fault that lasted long enough to have to be noticed."""
    limit = result.plan.timings.notice + SLACK * TIMEOUT_SCALE
    due = [f for f in result.faults if f.silent and f.ready and f.end - f.start > limit * SECOND]
    found = []
    for fault in due:
        at = next((c.at for c in losses(result) if c.at >= fault.start), None)
        found.append((at - fault.start) / SECOND if at is not None else None)
    return found


def returns(result: Result) -> list[float]:
    """Seconds from the end of each fault that cost the link to the next ready."""
    found = []
    lost = [change.at for change in losses(result)]
    ready = [change.at for change in result.statuses if change.state == "ready"]
    ends = [fault.start for fault in result.faults[1:]] + [10**20]
    for fault, next_start in zip(result.faults, ends, strict=True):
        first_loss = next((at for at in lost if fault.start <= at < next_start), None)
        if first_loss is None:
            continue
        at = next((at for at in ready if at > max(first_loss, fault.end)), None)
        if at is not None and at < next_start:
            found.append((at - fault.end) / SECOND)
    return found


def disturbances(result: Result) -> list[tuple[int, int]]:
    """Spans in which an event may be lost: from each fault to its end, or to ready if it cost us.

    A moment more on both sides, for what was under way.
    """
    allowance = round((result.plan.timings.notice + SLACK * TIMEOUT_SCALE) * SECOND)
    margin = SECOND // 4
    changes = [c for c in result.statuses if c.state in ("lost", "ready")]
    spans = []
    for fault in result.faults:
        until, away = fault.end, not fault.ready
        for change in changes:
            if change.at < fault.start:
                continue
            if not away and change.at > fault.end + allowance:
                break  # whatever comes now, this fault is not to blame
            until, away = max(until, change.at), change.state == "lost"
        spans.append((fault.start - margin, until + margin))
    return spans


def missing_while_whole(result: Result) -> list[Published]:
    """Events that are missing though no fault was near, whatever gap was reported."""
    spans = disturbances(result)
    missing = result.proof.inside + result.proof.outside
    return [
        event
        for event in missing
        if not any(event.after >= since and event.before <= until for since, until in spans)
    ]


def losses_in_silence(result: Result) -> list[str]:
    """For each fault that lost events beside the gap: how many, and how far before it."""
    by_fault: dict[str, list[float]] = {}
    for event in result.proof.outside:
        fault = next((f for f in reversed(result.faults) if f.start <= event.after), None)
        began = [g.since for g in result.gaps if g.channel == event.channel]
        before = [(since - event.after) / SECOND for since in began if since > event.after]
        name = "no fault" if fault is None else f"{fault.kind} at {fault.start}"
        by_fault.setdefault(name, []).append(min(before, default=inf))
    return [
        f"{len(early)} events of {name}, up to {max(early):.3f} s before the gap"
        for name, early in by_fault.items()
    ]


def lost_without_fault(result: Result) -> list[StatusChange]:
    """Losses of the link that no fault explains."""
    timings = result.plan.timings
    allowance = (timings.notice + timings.connect_timeout + 2 * SLACK * TIMEOUT_SCALE) * SECOND
    return [
        change
        for change in losses(result)
        if not any(f.start <= change.at <= f.end + allowance for f in result.faults)
    ]


def violations(result: Result) -> list[str]:
    """Every broken promise, as a sentence."""
    proof = result.proof
    counted: list[tuple[str, Sequence[object]]] = [
        ("missing outside of every reported gap", proof.outside),
        ("missing while the line was whole", missing_while_whole(result)),
        ("duplicated", proof.duplicated),
        ("out of order", proof.out_of_order),
        ("damaged", proof.damaged),
        ("received that nobody published", proof.never_published),
        ("lines of stdout that are no record", result.unreadable),
        ("losses without a fault", lost_without_fault(result)),
        ("silent faults not noticed", [None for seconds in notices(result) if seconds is None]),
    ]
    found = [f"{len(items)} {what}, such as {items[0]}" for what, items in counted if items]
    limit = result.plan.timings.notice + SLACK * TIMEOUT_SCALE
    slow = [seconds for seconds in notices(result) if seconds is not None and seconds > limit]
    if slow:
        found.append(f"a dead line was noticed after {max(slow):.1f} s, not within {limit:g}")
    if (most := most_in_window(dials(result), 10 * SECOND)) > MOST_DIALS:
        found.append(f"{most} dials within 10 s")
    if result.back_after is None:
        found.append(f"not ready {BACK_WITHIN * TIMEOUT_SCALE:g} s after the last fault")
    if result.last_batch_missing:
        found.append(f"{result.last_batch_missing} events of the last batch did not arrive")
    if result.idle_cpu > IDLE_CPU:
        found.append(f"{result.idle_cpu:.1%} of a processor while nothing happens")
    if result.exit_status != -15:
        found.append(f"SIGTERM ended it with {result.exit_status}, not by the signal")
    if any("Traceback" in line for line in result.stderr):
        found.append("a traceback on stderr")
    return found + _growth(result.before, result.after)


def _growth(before: Footprint, after: Footprint) -> list[str]:
    grown = [
        ("KiB of memory", after.rss - before.rss, RSS_GROWTH),
        ("threads", after.threads - before.threads, THREAD_GROWTH),
        ("descriptors", after.descriptors - before.descriptors, DESCRIPTOR_GROWTH),
    ]
    return [f"{more} {what} more than at the start" for what, more, most in grown if more > most]


def table(result: Result) -> str:
    """The figures, for people."""
    proof = result.proof
    noticed = [seconds for seconds in notices(result) if seconds is not None]
    back = returns(result)
    kinds = Counter(fault.kind for fault in result.faults)
    before, after = result.before, result.after
    rows: list[tuple[str, object]] = [
        ("events published", proof.published),
        ("events received", proof.received),
        ("triggers that failed (not published)", proof.unsure),
        ("missing inside reported gaps", len(proof.inside)),
        ("missing outside of them", len(proof.outside)),
        ("missing while the line was whole", len(missing_while_whole(result))),
        ("duplicated", len(proof.duplicated)),
        ("out of order", len(proof.out_of_order)),
        ("damaged", len(proof.damaged)),
        ("gap records", len(result.gaps)),
        ("seconds in gaps, a channel", f"{_gap_seconds(result.gaps):.1f}"),
        ("faults", len(result.faults)),
        ("links lost", len(losses(result))),
        ("links lost without a fault", len(lost_without_fault(result))),
        ("dials", len(dials(result))),
        ("most dials in 10 s", most_in_window(dials(result), 10 * SECOND)),
        ("silent faults that had to be noticed", len(notices(result))),
        ("slowest notice (s)", f"{max(noticed):.2f}" if noticed else "-"),
        ("back to ready, median / slowest (s)", _spread(back)),
        (
            "ready after the last fault (s)",
            "never" if result.back_after is None else f"{result.back_after:.1f}",
        ),
        ("last batch missing", result.last_batch_missing),
        ("RSS before / after / peak (KiB)", f"{before.rss} / {after.rss} / {after.peak}"),
        ("threads before / after", f"{before.threads} / {after.threads}"),
        ("descriptors before / after", f"{before.descriptors} / {after.descriptors}"),
        ("processor while idle", f"{result.idle_cpu:.1%}"),
        ("exit status by SIGTERM", result.exit_status),
    ]
    lines = [f"{name:<40} {value}" for name, value in rows]
    lines.append("faults by kind: " + ", ".join(f"{k} {n}" for k, n in sorted(kinds.items())))
    return "\n".join(lines)


def _gap_seconds(gaps: Sequence[ReportedGap]) -> float:
    return sum(gap.until - gap.since for gap in gaps) / SECOND / len(CHANNELS)


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.2f} / {max(seconds):.2f}" if seconds else "-"
