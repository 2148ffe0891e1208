"""Runs a shell command for each record: `--exec`.

The body is on the command's standard input, what the record is called in its environment. Its exit
status says what becomes of the delivery: 0 delivered, 75 (EX_TEMPFAIL of sysexits.h) and death by
SIGTERM try again, 126 and 127 (there is no such command) wrong for good, anything else refused.
"""

import errno
import os
import shlex
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from math import inf
from typing import TypeVar

import msgspec

from ..chatapp.records import Record, chat_of
from ..chatapp.tokens import TOKEN_VARIABLE
from ..errors import ExitStatus
from ..pusher.backoff import random_fraction
from ..threads import Waker
from .delivery import Delivered, Delivery, Failed, Outcome, Refused, Retried, Trouble
from .processes import SHELL, Processes

_TRY_AGAIN = 75
_WRONG = {126: "a command cannot be executed", 127: "a command was not found"}
_BASE, _CAP = 0.5, 60.0
_KILL_AFTER = 5.0
"""Seconds between SIGTERM and SIGKILL for a run that took too long."""
_KILL_AFTER_CLOSE = 0.5
_CLOSED_WITHIN = 2.0
_LONGEST_NAME = 40


class _Job(msgspec.Struct, eq=False):
    """A delivery that is not settled, and its attempts.

    `first_attempt` is in wall-clock nanoseconds, `first_began` and `began` (the last attempt) in
    monotonic seconds; `overdue` when this was told to end.
    """

    delivery: Delivery
    attempts: int = 0
    first_attempt: int = 0
    first_began: float = 0.0
    began: float = 0.0
    overdue: bool = False

    def begin(self) -> None:
        """Note that an attempt begins."""
        self.began = time.monotonic()
        if not self.attempts:
            self.first_attempt = time.time_ns()
            self.first_began = self.began
        self.attempts += 1


class _Lanes:
    """The jobs that are not settled: one of each key at a time, otherwise the oldest first."""

    def __init__(self) -> None:
        self._by_key: dict[str, deque[_Job]] = {}
        """The first of each is under way, ready or paused."""
        self._ready: list[tuple[int, _Job]] = []
        """A heap, by number."""
        self._paused: list[tuple[float, int, _Job]] = []
        """A heap, by the time of the next attempt."""

    def add(self, delivery: Delivery) -> None:
        job = _Job(delivery)
        lane = self._by_key.setdefault(delivery.key, deque())
        lane.append(job)
        if len(lane) == 1:
            heappush(self._ready, (delivery.number, job))

    def next(self) -> _Job | None:
        """Return a job to attempt, if one is ready."""
        return heappop(self._ready)[1] if self._ready else None

    def settle(self, job: _Job) -> None:
        """Forget a job; the next of its key is ready."""
        lane = self._by_key[job.delivery.key]
        lane.popleft()
        if lane:
            heappush(self._ready, (lane[0].delivery.number, lane[0]))
        else:
            del self._by_key[job.delivery.key]

    def pause(self, job: _Job, until: float) -> None:
        """Keep a job, and with it its key, from being attempted until a monotonic time."""
        heappush(self._paused, (until, job.delivery.number, job))

    def resume(self, now: float) -> None:
        """Make the jobs ready whose pause is over."""
        while self._paused and self._paused[0][0] <= now:
            _, number, job = heappop(self._paused)
            heappush(self._ready, (number, job))

    @property
    def resumes_at(self) -> float:
        return self._paused[0][0] if self._paused else inf

    @property
    def any_ready(self) -> bool:
        return bool(self._ready)


class _Runner:
    """Runs `command` for the deliveries given to it; used by one thread, which `waker` wakes."""

    def __init__(
        self,
        command: str,
        waker: Waker,
        *,
        jobs: int,
        timeout: float,
        retry_for: float,
        random: Callable[[], float],
    ) -> None:
        self._name = name_of(command)
        self._jobs = jobs
        self._timeout = timeout
        self._retry_for = retry_for
        self._random = random
        self._environment = _without_secrets(os.environb)
        self._processes = Processes(command, waker)
        self._lanes = _Lanes()
        self._running: dict[int, _Job] = {}
        """By process id."""
        self._failed = False

    def turn(self, given: Sequence[Delivery]) -> list[Outcome]:
        """Take deliveries, start what can be started, and wait until something happens."""
        for delivery in given:
            self._lanes.add(delivery)
        now = time.monotonic()
        self._end_overdue(now)
        self._lanes.resume(now)
        outcomes = self._start()
        ended = self._processes.wait(0.0 if outcomes else self._next_deadline(now))
        outcomes += [self._settle(self._running.pop(process), code) for process, code in ended]
        return outcomes

    def close(self) -> None:
        """End what runs."""
        self._processes.close(_KILL_AFTER_CLOSE)

    def _end_overdue(self, now: float) -> None:
        for process, job in self._running.items():
            if not job.overdue and now >= job.began + self._timeout:
                self._processes.terminate(process, _KILL_AFTER)
                job.overdue = True

    def _next_deadline(self, now: float) -> float | None:
        """Return the seconds until a run is overdue or a pause over, None if neither is to come."""
        overdue = [job.began + self._timeout for job in self._running.values() if not job.overdue]
        first = min([*overdue, self._lanes.resumes_at])
        return None if first == inf else first - now

    def _start(self) -> list[Outcome]:
        """Start as many runs as may run at once; return what became of those that cannot start."""
        outcomes = []
        while not self._failed and len(self._running) < self._jobs and (job := self._lanes.next()):
            job.begin()
            variables = _variables(job.delivery.records[0])
            try:
                process = self._processes.start(job.delivery.body, self._environment | variables)
            except OSError as error:
                outcomes.append(self._unstarted(job, error))
                continue
            self._running[process] = job
        return outcomes

    def _unstarted(self, job: _Job, error: OSError) -> Outcome:
        reason = f"cannot start {SHELL}: {error.strerror}"
        if error.errno == errno.E2BIG:  # a variable is limited to 128 KiB
            return self._refuse(job, None, f"{reason}; its id or another name is too long")
        if error.errno in (errno.ENOENT, errno.EACCES, errno.ENOEXEC):
            return self._fail(reason)
        return self._try_again(job, None, reason)

    def _settle(self, job: _Job, exit_code: int) -> Outcome:
        if job.overdue:
            return self._refuse(job, None, f"not done within {self._timeout:g} s")
        if exit_code == -signal.SIGTERM:
            # As systemd sends it to all processes of a service that it stops.
            return self._try_again(job, None, "killed by SIGTERM")
        if exit_code < 0:
            return self._refuse(job, None, f"killed by {_signal_name(-exit_code)}")
        if exit_code == _TRY_AGAIN:
            return self._try_again(job, exit_code, f"exit status {exit_code}")
        if exit_code in _WRONG:
            return self._fail(f"exit status {exit_code}, {_WRONG[exit_code]}")
        if exit_code:
            return self._refuse(job, exit_code, f"exit status {exit_code}")
        self._lanes.settle(job)
        return Delivered(job.delivery, "exit 0", time.monotonic() - job.began, job.attempts)

    def _fail(self, reason: str) -> Failed:
        self._failed = True
        return Failed(ExitStatus.USAGE, f"{self._name}: {reason}")

    def _refuse(self, job: _Job, status: int | None, reason: str) -> Refused:
        self._lanes.settle(job)
        return Refused(job.delivery, status, reason, job.attempts, job.first_attempt)

    def _try_again(self, job: _Job, status: int | None, reason: str) -> Outcome:
        now = time.monotonic()
        left = job.first_began + self._retry_for - now
        if left <= 0:
            return self._refuse(job, status, f"{reason}, for {self._retry_for:g} s")
        pause = min(self._random() * _longest_pause(job.attempts), left)
        self._lanes.pause(job, now + pause)
        if self._running or self._lanes.any_ready:
            return Retried(job.delivery, reason, pause)
        return Trouble(reason, self._lanes.resumes_at - now)


class ExecSink:
    """Runs `command` for each delivery, at most `jobs` at once.

    A run that takes more than `timeout` seconds is ended and its delivery refused. What is to be
    tried again is tried for `retry_for` seconds after the first attempt, and then refused.
    """

    def __init__(
        self,
        command: str,
        *,
        jobs: int,
        timeout: float,
        retry_for: float = inf,
        random: Callable[[], float] = random_fraction,
    ) -> None:
        self.name = name_of(command)
        self._given: deque[Delivery] = deque()
        self._outcomes: deque[Outcome] = deque()
        self._has_outcomes = Waker()
        self._waker = Waker()
        self._closing = False
        self._bug: Exception | None = None
        _keep_exit_statuses()
        runner = _Runner(
            command, self._waker, jobs=jobs, timeout=timeout, retry_for=retry_for, random=random
        )
        self._thread = threading.Thread(
            target=self._run, args=(runner,), name="chatapp-tail-exec", daemon=True
        )
        self._thread.start()

    def fileno(self) -> int:
        """Return a descriptor that is readable while `take` may return outcomes."""
        return self._has_outcomes.fileno()

    def give(self, deliveries: Sequence[Delivery]) -> None:
        """Queue deliveries, which are in the order of their numbers; never waits."""
        self._given.extend(deliveries)
        self._waker.wake()

    def relink(self, channel: str) -> None:
        """Do nothing: each delivery is independent of links."""

    def take(self) -> list[Outcome]:
        """Return what happened since the last call; raises what the thread died of."""
        self._has_outcomes.clear()
        if self._bug:
            raise self._bug
        return _drained(self._outcomes)

    def close(self) -> None:
        """End what runs, with SIGTERM and then SIGKILL, within about a second."""
        self._closing = True
        self._waker.wake()
        self._thread.join(_CLOSED_WITHIN)
        if not self._thread.is_alive():
            self._waker.close()
            self._has_outcomes.close()

    def _run(self, runner: _Runner) -> None:
        try:
            while not self._closing:
                if outcomes := runner.turn(_drained(self._given)):
                    self._outcomes.extend(outcomes)
                    self._has_outcomes.wake()
        except Exception as bug:
            self._bug = bug
            self._has_outcomes.wake()
        finally:
            runner.close()


_T = TypeVar("_T")


def _drained(queue: deque[_T]) -> list[_T]:
    """Empty a queue to which another thread may append meanwhile."""
    return [queue.popleft() for _ in range(len(queue))]


def _longest_pause(attempts: int) -> float:
    return min(_BASE * 2.0 ** min(attempts - 1, 10), _CAP)


def _signal_name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:  # most real-time signals have no name
        return f"signal {signum}"


def _keep_exit_statuses() -> None:
    """Stop ignoring SIGCHLD, as a parent may have asked: no exit status would be kept."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def name_of(command: str) -> str:
    """Return what a command is called in notices: its first word, since others may be secrets."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    first = next((word for word in words if "=" not in word), "")
    return f"exec {first[:_LONGEST_NAME]}".rstrip()


# The environment.

_SECRETS = (TOKEN_VARIABLE.encode(), b"CHATAPP_PASSWORD")
_OPTIONS = b"CHATAPP_TAIL_"
"""Variables of options: some hold secrets, and a command may run this program with its own."""


def _without_secrets(environment: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return an environment without the variables that this program reads secrets from."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _SECRETS and not name.startswith(_OPTIONS)
    }


def _variables(record: Record) -> dict[bytes, bytes]:
    """Return what a record is called, as environment variables; nothing of what people wrote."""
    return {
        b"CHATAPP_ID": _value(record.id),
        b"CHATAPP_HASH": record.hash.encode(),
        b"CHATAPP_EVENT": _value(record.event),
        b"CHATAPP_LICENSE": b"" if record.license is None else b"%d" % record.license,
        b"CHATAPP_MESSENGER": _value(record.messenger),
        b"CHATAPP_CHANNEL": _value(record.channel),
        b"CHATAPP_CHAT": _value(chat_of(record)),
        b"CHATAPP_SOURCE": _value(record.source),
    }


def _value(text: str | None) -> bytes:
    """Encode a value, in which the network may have put anything; none can hold a NUL."""
    return (text or "").replace("\0", "").encode("utf-8", "replace")
