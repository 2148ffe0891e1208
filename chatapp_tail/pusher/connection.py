"""The thread that keeps a Pusher connection up, and tells the truth about it.

One thread, one loop: dial when `Backoff` says so, converse until the link ends, say why, and again.
Other threads only put something into its inbox and wake it; it alone opens and closes sockets.
"""

import threading
import time
import traceback
from collections import deque
from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from .. import items
from ..items import Item, StopCause
from ..net import Proxy
from ..threads import Waker
from .answers import AuthAnswer
from .auth_pool import AuthorisationPool, Authorise
from .backoff import STABLE_AFTER, Backoff, Retry
from .clock import moment
from .close_codes import CloseReason
from .dialer import Dialer, DialFailed
from .endpoint import Endpoint
from .events import AuthRequested
from .gaps import GapTracker, Loss
from .moments import Moment
from .protocol import Protocol
from .refusals import ChannelRefusals, ServerRefusals
from .resolver import DialCancelled
from .session import AuthCommand, Command, Outcome, Session, Sink, SubscribeCommand
from .timing import Timing
from .transport import Transport

__all__ = ["Connection", "Endpoint", "Settings", "Sink", "Timing"]


class Settings(msgspec.Struct, frozen=True):
    """What to connect to and how patiently; spans in seconds.

    `max_retries` counts failures in a row; None is for ever.
    """

    endpoints: tuple[Endpoint, ...]
    app_key: str
    channels: tuple[str, ...]
    ca_file: str | None = None
    proxy: Proxy | None = None
    connect_timeout: float = 10.0
    timing: Timing = msgspec.field(default_factory=Timing)
    max_retries: int | None = None
    strict: bool = False


class Connection:
    """Starts with `start`; its last item is `Stopped`, after `stop` or for a reason of its own.

    `start_positions` names channels that already have a gap: since when (wall-clock nanoseconds)
    and why.
    """

    def __init__(
        self,
        settings: Settings,
        authorise: Authorise,
        sink: Sink,
        *,
        start_positions: Mapping[str, tuple[int, str]] | None = None,
        trace: bool = False,
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._trace = trace
        self._waker = Waker()
        self._stopping = threading.Event()
        self._inbox: deque[Command] = deque()
        self._channels = dict.fromkeys(settings.channels)
        self._pool = AuthorisationPool(authorise, self._answered, self._still_wanted)
        self._dialer = Dialer(
            settings.app_key,
            settings.ca_file,
            settings.proxy,
            settings.connect_timeout,
            self._waker,
            self._stopping.is_set,
        )
        self._backoff = Backoff(_random)
        self._gap_tracker = GapTracker()
        for channel, (since, reason) in (start_positions or {}).items():
            self._gap_tracker.lost(channel, Loss(Moment(since), reason))
        self._endpoints = deque(settings.endpoints)
        self._channel_refusals = ChannelRefusals(settings.timing.refusal_lasting)
        self._server_refusals = ServerRefusals(len(settings.endpoints))
        self._protocol: Protocol | None = None
        self._dialled_at = 0.0
        self._failures_in_row = 0
        self._thread = threading.Thread(target=self._run, name="chatapp-tail-socket", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to say goodbye and end; returns at once, from any thread, any time."""
        self._stopping.set()
        self._waker.wake()

    def join(self, timeout: float) -> bool:
        """Wait for the end; False when the thread is still busy (with a SOCKS proxy, say)."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        self._waker.close()
        return True

    def want(self, channels: Iterable[str], since: Moment | None = None) -> None:
        """Tail these channels too; those that are tailed already stay as they are.

        From `since` on there may have been events in the new ones, which is a gap then.
        """
        self._inbox.extend(SubscribeCommand(channel, since) for channel in channels)
        self._waker.wake()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    # --- called from the auth threads

    def _answered(self, request: AuthRequested, answer: AuthAnswer) -> None:
        self._inbox.append(AuthCommand(request, answer))
        self._waker.wake()

    def _still_wanted(self, request: AuthRequested) -> bool:
        protocol = self._protocol
        return protocol is not None and request.socket_id == protocol.socket_id

    # --- the thread

    def _run(self) -> None:
        try:
            stopped = self._keep_connected()
        except Exception:
            # A dead thread behind a living process is the fault this program exists to end.
            stopped = (StopCause.BUG, traceback.format_exc())
        self._drop_answers()
        now = moment()
        self._say(*self._gap_tracker.close(now), items.Stopped(now.wall, *stopped))

    def _keep_connected(self) -> tuple[StopCause, str]:
        next_dial = 0.0
        while not self._stopping.wait(max(0.0, next_dial - time.monotonic())):
            endpoint = self._endpoints[0]
            outcome = self._try(endpoint)
            if outcome.ended is None:
                break
            reason = _reason(endpoint, outcome.ended)
            self._say(items.Lost(time.time_ns(), reason, outcome.ended.code, outcome.lasted))
            if cause := self._final(outcome, endpoint):
                return cause, reason
            next_dial = self._plan(outcome)
        return StopCause.ASKED, "asked to stop"

    def _try(self, endpoint: Endpoint) -> Outcome:
        """Dial once and converse for as long as the link lasts."""
        self._dialled_at = time.monotonic()
        self._backoff.dialled(self._dialled_at)
        self._say(items.Connecting(time.time_ns(), str(endpoint)))
        try:
            link = self._dialer.dial(endpoint)
        except DialCancelled:
            return Outcome(None)
        except DialFailed as failure:
            outcome = Outcome(failure.ended, retry_after=failure.retry_after or 0.0)
            return self._judged(outcome)
        try:
            return self._converse(link)
        finally:
            self._protocol = None
            link.close()

    def _converse(self, link: Transport) -> Outcome:
        settings = self._settings
        link.watch(self._waker)
        self._drop_answers()
        self._protocol = Protocol(
            list(self._channels),
            now=time.monotonic(),
            timing=settings.timing,
            random=_random,
            strict=settings.strict,
            refusals=self._channel_refusals,
        )
        outcome = Session(
            link,
            self._protocol,
            sink=self._sink,
            ask_auth=self._pool.ask,
            inbox=self._inbox,
            join=self._join,
            gap_tracker=self._gap_tracker,
            stopping=self._stopping.is_set,
            trace=self._trace,
        ).run()
        if outcome.subscribed_for < STABLE_AFTER:
            self._dialer.leave_address()
        return self._judged(outcome)

    def _drop_answers(self) -> None:
        """Empty the inbox: signatures end with their link, new channels do not."""
        while self._inbox:
            letter = self._inbox.popleft()
            if isinstance(letter, SubscribeCommand):
                self._join(letter)

    def _join(self, letter: SubscribeCommand) -> None:
        """Tail one more channel on this link and all later ones."""
        if letter.channel in self._channels:
            return
        self._channels[letter.channel] = None
        if letter.since:
            self._gap_tracker.lost(letter.channel, Loss(letter.since, items.ADDED))

    def _judged(self, outcome: Outcome) -> Outcome:
        """Leave an endpoint that did not work for long, and retry refusals that may pass."""
        if outcome.ended is None:
            return outcome
        if outcome.subscribed_for < STABLE_AFTER:
            self._endpoints.rotate(-1)
        ended = self._server_refusals.judge(
            outcome.ended,
            time.monotonic(),
            established=outcome.lasted is not None,
            subscribed=outcome.subscribed_for > 0,
        )
        return replace(outcome, ended=ended)

    def _final(self, outcome: Outcome, endpoint: Endpoint) -> StopCause | None:
        """Return why there will be no next dial, if there will be none."""
        ended = outcome.ended
        assert ended is not None
        if ended.stop:
            return ended.stop
        if ended.needs_tls and endpoint.tls:
            return StopCause.SERVER_REFUSED
        if ended.needs_tls:
            self._endpoints[self._endpoints.index(endpoint)] = endpoint.with_tls()
        self._failures_in_row = 1 if outcome.subscribed_for else self._failures_in_row + 1
        limit = self._settings.max_retries
        return (
            StopCause.UNREACHABLE if limit is not None and self._failures_in_row > limit else None
        )

    def _plan(self, outcome: Outcome) -> float:
        assert outcome.ended is not None
        now = time.monotonic()
        # The wait counts from the loss; of a dial that hung, from its begin: it waited already.
        since = now if outcome.lasted is not None else self._dialled_at
        next_dial = self._backoff.next_dial(
            since,
            outcome.ended.retry or Retry.BACK_OFF,
            stable_for=outcome.subscribed_for,
            not_before=now + outcome.retry_after,
        )
        self._say(items.Reconnecting(time.time_ns(), max(0.0, next_dial - now)))
        return next_dial

    def _say(self, *said: Item) -> None:
        self._sink(said)


def _reason(endpoint: Endpoint, ended: CloseReason) -> str:
    """Return why a link ended, with its place where that is about the server."""
    about_us = (StopCause.CREDENTIALS, StopCause.CHANNELS_REFUSED, StopCause.BUG)
    return ended.reason if ended.stop in about_us else f"{endpoint}: {ended.reason}"


def _random() -> float:
    import random  # 1 ms, for the first failure

    return random.random()
