"""The thread that keeps a Pusher connection up and reports its state.

One thread, one loop: dial when `Backoff` allows it, run a `Session` until the link ends, report the
reason, repeat. Other threads only put commands into its inbox and wake it; this thread alone opens,
uses and closes the socket.
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
    """What to connect to, and how long to wait."""

    endpoints: tuple[Endpoint, ...]
    """In the order in which they are tried."""
    app_key: str
    """The key of the Pusher application."""
    channels: tuple[str, ...]
    """Subscribed from the start; `Connection.want` adds others."""
    ca_file: str | None = None
    """Authorities trusted in place of the system's, as a PEM file."""
    proxy: Proxy | None = None
    """None: the proxy of the environment, if any."""
    connect_timeout: float = 10.0
    """Seconds for a dial, without the lookup of the host name."""
    timing: Timing = msgspec.field(default_factory=Timing)
    """The waits of an open connection."""
    max_retries: int | None = None
    """Limit of consecutive failures; None is no limit."""
    strict: bool = False
    """Whether one refused channel is final."""


class Connection:
    """Started by `start`; its last item is `Stopped`, after `stop` or for another reason.

    `start_positions` has the channels that begin with a gap: its start (wall-clock nanoseconds)
    and its reason.
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
        """Ask the thread to close the connection and end; returns immediately, from any thread."""
        self._stopping.set()
        self._waker.wake()

    def join(self, timeout: float) -> bool:
        """Wait for the end; False if the thread is still busy (with a SOCKS proxy, for example)."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        self._waker.close()
        return True

    def want(self, channels: Iterable[str], since: Moment | None = None) -> None:
        """Tail these channels too; those that are tailed already are left as they are.

        The new ones have a gap from `since` on, if that is given.
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
            # The process must not go on without this thread, as if there were no events.
            stopped = (StopCause.BUG, traceback.format_exc())
        self._drop_answers()
        now = moment()
        self._emit(*self._gap_tracker.close(now), items.Stopped(now.wall, *stopped))

    def _keep_connected(self) -> tuple[StopCause, str]:
        next_dial = 0.0
        while not self._stopping.wait(max(0.0, next_dial - time.monotonic())):
            endpoint = self._endpoints[0]
            outcome = self._try(endpoint)
            if outcome.ended is None:
                break
            reason = _reason(endpoint, outcome.ended)
            self._emit(items.Lost(time.time_ns(), reason, outcome.ended.code, outcome.lasted))
            if cause := self._final(outcome, endpoint):
                return cause, reason
            next_dial = self._plan(outcome)
        return StopCause.ASKED, "asked to stop"

    def _try(self, endpoint: Endpoint) -> Outcome:
        """Dial once, and run the link until it ends."""
        self._dialled_at = time.monotonic()
        self._backoff.dialled(self._dialled_at)
        self._emit(items.Connecting(time.time_ns(), str(endpoint)))
        try:
            link = self._dialer.dial(endpoint)
        except DialCancelled:
            return Outcome(None)
        except DialFailed as failure:
            outcome = Outcome(failure.ended, retry_after=failure.retry_after or 0.0)
            return self._judged(outcome)
        try:
            return self._run_session(link)
        finally:
            self._protocol = None
            link.close()

    def _run_session(self, link: Transport) -> Outcome:
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
        """Empty the inbox: signatures are void without their link, new channels are not."""
        while self._inbox:
            command = self._inbox.popleft()
            if isinstance(command, SubscribeCommand):
                self._join(command)

    def _join(self, command: SubscribeCommand) -> None:
        """Add a channel to this link and all later ones."""
        if command.channel in self._channels:
            return
        self._channels[command.channel] = None
        if command.since:
            self._gap_tracker.lost(command.channel, Loss(command.since, items.ADDED))

    def _judged(self, outcome: Outcome) -> Outcome:
        """Move on from an endpoint that did not last, and retry refusals that may be temporary."""
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
        """Return why there is no next dial, if there is none."""
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
        # The delay counts from the loss of a link, but from the start of a dial that failed.
        since = now if outcome.lasted is not None else self._dialled_at
        next_dial = self._backoff.next_dial(
            since,
            outcome.ended.retry or Retry.BACK_OFF,
            stable_for=outcome.subscribed_for,
            not_before=now + outcome.retry_after,
        )
        self._emit(items.Reconnecting(time.time_ns(), max(0.0, next_dial - now)))
        return next_dial

    def _emit(self, *batch: Item) -> None:
        self._sink(batch)


def _reason(endpoint: Endpoint, ended: CloseReason) -> str:
    """Return why a link ended, with the endpoint if the reason concerns the server."""
    about_client = (StopCause.CREDENTIALS, StopCause.CHANNELS_REFUSED, StopCause.BUG)
    return ended.reason if ended.stop in about_client else f"{endpoint}: {ended.reason}"


def _random() -> float:
    import random  # takes 1 ms, so it is imported at the first failure

    return random.random()
