"""Delivers by HTTP: one POST per delivery, in lanes that keep the order within a chat.

Each lane is a thread with a connection of its own, which takes the oldest delivery of a chat that
no other lane has, and the next one when that is settled.

What an attempt reports: `Retried` while others are acknowledged, `Trouble` when nothing is: when
all lanes that have deliveries fail, or five of them, or at once when the endpoint is wrong and
nothing was acknowledged since. From five failing lanes on (or all, if there are fewer) one probes
and the others wait. While the endpoint is wrong, no delivery is given up, whatever the limit for
retries.

Import this late, since `http.client` takes 6 ms.
"""

import time
from collections import deque
from collections.abc import Sequence
from math import inf
from threading import Condition, Lock, Thread

import msgspec

from ..errors import ExitStatus, UsageError
from ..net import Proxy, without_secrets
from ..pusher.backoff import random_fraction
from ..pusher.resolver import DialCancelled
from ..threads import Waker
from .delivery import Delivered, Delivery, Failed, Outcome, Refused, Retried, Trouble
from .http_answers import Answer, Verdict, describe_answer, describe_error, verdict
from .http_connection import Connection, Route
from .http_request import RequestWriter, webhook_id
from .keyed_queue import KeyedQueue
from .pacing import Pace, Pacing

_IDLE = 60.0
"""Seconds without a delivery after which a lane closes its connection."""
_CLOSE_WITHIN = 0.8
_LONGEST_WAIT = 3600.0
"""Seconds after which a lane that waits asks again; a condition takes no infinite timeout."""


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how to deliver.

    `headers` are those of `parse_header`, `secrets` those of `parse_secrets`. `timeout` is for one
    attempt, from the lookup of the name to the last byte; `retry_for` for all attempts of one
    delivery, in seconds or infinite. `jobs` is the number of lanes.
    """

    url: str
    headers: Sequence[tuple[str, str]] = ()
    secrets: Sequence[bytes] = ()
    timeout: float = 30.0
    retry_for: float = inf
    jobs: int = 8
    ca_file: str | None = None
    proxy: Proxy | None = None
    pace: Pace = Pace()
    idle: float = _IDLE

    def __repr__(self) -> str:
        return f"HttpSettings({without_secrets(self.url)!r})"


class HttpSink:
    """A destination by HTTP; `UsageError` for authorities or a proxy that cannot be used."""

    def __init__(self, settings: HttpSettings) -> None:
        self.name = without_secrets(settings.url).partition("?")[0]
        self.settings = settings
        try:
            self.route = Route(settings.url, settings.proxy, settings.ca_file)
            self.writer = RequestWriter(
                settings.url, settings.headers, settings.secrets, self.route.forwarder
            )
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot forward to {self.name}: {error}") from error
        self.lock = Lock()
        """Held for the queue, the lanes' deliveries and the pacing."""
        self.queue = KeyedQueue()
        """Deliveries that no lane has."""
        self.pacing = Pacing(settings.jobs, settings.pace, random_fraction)
        self.stopped = False
        """Whether no attempt begins any more."""
        self.closed = False
        """Whether attempts are given up."""
        self._outcomes: deque[Outcome] = deque()
        self._ready = Waker()
        self._is_ready = False
        """Whether the waker was woken since `take`."""
        self._lanes = [_Lane(self, number) for number in range(settings.jobs)]

    def fileno(self) -> int:
        """Return a descriptor that is readable while `take` may return outcomes."""
        return self._ready.fileno()

    def give(self, deliveries: Sequence[Delivery]) -> None:
        """Queue deliveries, which are in the order of their numbers; never waits."""
        with self.lock:
            for delivery in deliveries:
                self.queue.add(delivery)
            idle = [lane for lane in self._lanes if not lane.is_working]
            for lane in idle[: len(self.queue)]:
                lane.begin()

    def relink(self, channel: str) -> None:
        """Do nothing: each delivery is independent of links."""

    def take(self) -> list[Outcome]:
        """Return what happened since the last call; never waits."""
        self._ready.clear()
        self._is_ready = False  # after clearing: an outcome from here on wakes again
        return [self._outcomes.popleft() for _ in range(len(self._outcomes))]

    def close(self) -> None:
        """Give up what is not delivered; end all threads within a second."""
        self.closed = True
        self._stop()
        until = time.monotonic() + _CLOSE_WITHIN
        with self.lock:
            for lane in self._lanes:
                lane.interrupt()
        for lane in self._lanes:
            lane.join(until)
        self._ready.close()

    def report(self, outcome: Outcome) -> None:
        """Let `take` return an outcome."""
        self._outcomes.append(outcome)
        if not self._is_ready:
            self._is_ready = True
            self._ready.wake()

    def fail(self, status: ExitStatus, reason: str) -> None:
        """Report that the destination is wrong for good; no attempt begins any more."""
        if not self._stop():
            self.report(Failed(status, reason))

    def _stop(self) -> bool:
        """Let no attempt begin any more, and return whether that was so already."""
        with self.lock:
            was_stopped, self.stopped = self.stopped, True
            self.wake_lanes()
        return was_stopped

    def wake_lanes(self) -> None:
        """Let lanes that wait ask the pacing again; the lock is held."""
        for lane in self._lanes:
            lane.changed.notify()

    @property
    def working(self) -> int:
        """How many lanes have a delivery; the lock is held."""
        return sum(lane.is_working for lane in self._lanes)


class _Progress(msgspec.Struct):
    """The attempts of one delivery.

    `first_attempt` is in nanoseconds since the epoch; `began` and `give_up_at` are in monotonic
    seconds, of the last attempt and of the last that may be made. The limit for retries counts from
    `limited_since`, the first attempt or the last to a wrong endpoint. `reason` and `status` are
    those of the last failure.
    """

    identifier: str
    attempts: int = 0
    first_attempt: int = 0
    limited_since: float = 0.0
    began: float = 0.0
    give_up_at: float = inf
    reason: str = ""
    status: int | None = None


class _Lane:
    """One thread with one connection; makes one delivery after the other."""

    def __init__(self, sink: HttpSink, number: int) -> None:
        self.changed = Condition(sink.lock)
        """Notified for a delivery, a change of the pacing, and a stop."""
        self._sink = sink
        self._number = number
        self.is_working = False
        """Whether it has a delivery; the lock is held."""
        self._thread: Thread | None = None
        self._waker: Waker | None = None
        """Ends the waits of an attempt."""

    def begin(self) -> None:
        """Have the lane look for a delivery; the first time starts its thread. The lock is held."""
        if self._thread:
            self.changed.notify()
        elif not self._sink.stopped:
            self._waker = Waker()
            run, name = self._run, f"chatapp-tail-http-{self._number}"
            self._thread = Thread(target=run, args=(self._waker,), name=name, daemon=True)
            self._thread.start()

    def interrupt(self) -> None:
        """End the waits of an attempt; the lock is held."""
        if self._waker:
            self._waker.wake()

    def join(self, until: float) -> None:
        """Wait for the end of the thread, at most until a monotonic time."""
        if self._thread:
            self._thread.join(max(0.0, until - time.monotonic()))

    def _run(self, waker: Waker) -> None:
        connection = Connection(self._sink.route, waker, lambda: self._sink.closed)
        try:
            while delivery := self._next(connection):
                self._deliver(delivery, connection)
        except DialCancelled:
            return
        except BaseException:
            self._sink.fail(ExitStatus.BUG, "a thread of deliveries ended")
            raise
        finally:
            connection.close()
            with self._sink.lock:
                waker.close()

    def _next(self, connection: Connection) -> Delivery | None:
        """Wait for a delivery and return it, None at a stop; close an idle connection."""
        with self._sink.lock:
            while not self._sink.stopped:
                delivery = self._sink.queue.next()
                self.is_working = delivery is not None
                if delivery:
                    return delivery
                idle = self._sink.settings.idle if connection.is_open else None
                if not self.changed.wait(idle):
                    connection.close()
            return None

    def _deliver(self, delivery: Delivery, connection: Connection) -> None:
        """Make attempts until a delivery is settled, or the sink stops."""
        progress = _Progress(webhook_id(delivery))
        while not self._sink.stopped:
            if not self._wait_for_turn(progress.give_up_at):
                self._give_up(delivery, progress)
                return
            if self._sink.stopped or self._attempt(delivery, progress, connection):
                return

    def _wait_for_turn(self, give_up_at: float) -> bool:
        """Wait until the next attempt, or a stop; return whether it is not too late for it."""
        pacing = self._sink.pacing
        with self._sink.lock:
            while not self._sink.stopped:
                now = time.monotonic()
                if now >= give_up_at:
                    return False
                begin = pacing.may_begin(self._number)
                if begin <= now:
                    pacing.began(self._number)
                    return True
                self.changed.wait(min(begin, give_up_at, now + _LONGEST_WAIT) - now)
            return True

    def _attempt(self, delivery: Delivery, progress: _Progress, connection: Connection) -> bool:
        """Make one attempt, and return whether the delivery is settled or the sink stopped."""
        settings = self._sink.settings
        request = self._begin(delivery, progress)
        try:
            answer = connection.exchange(request, settings.timeout)
        except DialCancelled:
            raise
        except Exception as error:
            # A server can make libraries raise undocumented exceptions.
            proxy = self._sink.route.proxy
            through = f" (through the proxy {proxy})" if proxy else ""
            progress.reason = describe_error(error, settings.timeout) + through
            progress.status = None
            self._retry(delivery, progress, wrong=False)
            return False
        return self._judge(delivery, progress, answer)

    def _begin(self, delivery: Delivery, progress: _Progress) -> bytes:
        """Note that an attempt begins, and return its request."""
        now = time.time_ns()
        progress.began = time.monotonic()
        progress.attempts += 1
        if progress.attempts == 1:
            progress.first_attempt, progress.limited_since = now, progress.began
        head = self._sink.writer.head(progress.identifier, delivery.body, now // 10**9)
        return head + delivery.body

    def _judge(self, delivery: Delivery, progress: _Progress, answer: Answer) -> bool:
        """Do what an answer means; return whether the delivery is settled or the sink stopped."""
        means = verdict(answer.status)
        if means is Verdict.SETTLED:
            self._succeed(delivery, progress, answer)
            return True
        progress.reason = describe_answer(answer, self._sink.settings.url)
        progress.status = answer.status
        if means is Verdict.GONE:
            self._sink.fail(ExitStatus.OUTPUT_FAILED, f"{self._sink.name} {progress.reason}")
            return True
        if means is Verdict.REFUSED:
            if self._is_believed():
                self._settle(_refused(delivery, progress))
                return True
            progress.reason += ", as to all deliveries before: is it the right endpoint?"
        wrong = means is not Verdict.TROUBLE
        self._retry(delivery, progress, wrong=wrong, asked=answer.retry_after)
        return False

    def _succeed(self, delivery: Delivery, progress: _Progress, answer: Answer) -> None:
        now = time.monotonic()
        with self._sink.lock:
            if self._sink.pacing.succeeded(self._number, now):
                self._sink.wake_lanes()
        status, seconds = str(answer.status), now - progress.began
        self._settle(Delivered(delivery, status, seconds, progress.attempts))

    def _is_believed(self) -> bool:
        """Return whether a refusal is one of the delivery, and not of all."""
        with self._sink.lock:
            believed = self._sink.pacing.refused(self._number, time.monotonic())
            self._sink.wake_lanes()
        return believed

    def _retry(
        self, delivery: Delivery, progress: _Progress, *, wrong: bool, asked: float | None = None
    ) -> None:
        """Note a failed attempt, and report it unless it was the last."""
        sink, now = self._sink, time.monotonic()
        if wrong:
            progress.limited_since, progress.give_up_at = now, inf
        else:
            progress.give_up_at = progress.limited_since + sink.settings.retry_for
        with sink.lock:
            failure = sink.pacing.failed(
                self._number, progress.began, now, wrong=wrong, asked=asked, working=sink.working
            )
            sink.wake_lanes()
        if now >= progress.give_up_at:
            return
        if failure.is_total:
            sink.report(Trouble(progress.reason, failure.retry_in))
        else:
            sink.report(Retried(delivery, progress.reason, failure.retry_in))

    def _give_up(self, delivery: Delivery, progress: _Progress) -> None:
        with self._sink.lock:
            self._sink.pacing.gave_up(self._number)
            self._sink.wake_lanes()
        self._settle(_refused(delivery, progress))

    def _settle(self, outcome: Delivered | Refused) -> None:
        """Report the last outcome of the delivery in progress."""
        with self._sink.lock:
            self._sink.queue.settle(outcome.delivery)
        self._sink.report(outcome)


def _refused(delivery: Delivery, progress: _Progress) -> Refused:
    return Refused(
        delivery, progress.status, progress.reason, progress.attempts, progress.first_attempt
    )
