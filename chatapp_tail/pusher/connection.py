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

from .. import items
from ..items import Item, StopCause
from ..net import Proxy
from ..threads import Waker
from .answers import AuthAnswer
from .auth_pool import AuthorisationPool, Authorise
from .backoff import STABLE_AFTER, random_fraction
from .clock import moment
from .close_codes import CloseReason
from .dialer import Dialer, DialFailed
from .endpoint import Endpoint
from .events import AuthRequested
from .gaps import GapTracker, Loss
from .moments import Moment
from .protocol import Protocol
from .reconnection import Reconnection
from .refusals import ChannelRefusals
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
    """Subscribed from the start; `Connection.subscribe` adds others."""
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
        watch: Sink = lambda _: None,
        start_positions: Mapping[str, tuple[int, str]] | None = None,
        trace: bool = False,
    ) -> None:
        self._settings = settings
        """What is the same for all links."""
        self._sink = sink
        """Takes the items, on the thread."""
        self._watch = watch
        """Sees the items besides channel events, before `sink` takes them."""
        self._trace = trace
        """Whether every frame is emitted too."""
        self._waker = Waker()
        """Ends a wait of the thread."""
        self._stopping = threading.Event()
        """Set when a stop is requested."""
        self._inbox: deque[Command] = deque()
        """Commands of other threads."""
        self._channels = dict.fromkeys(settings.channels)
        """All channels wanted so far, in order."""
        self._pool = AuthorisationPool(authorise, self._answered, self._still_wanted)
        """Requests signatures."""
        self._dialer = Dialer(
            settings.app_key,
            settings.ca_file,
            settings.proxy,
            settings.connect_timeout,
            self._waker,
            self._stopping.is_set,
        )
        """Opens links."""
        self._reconnection = Reconnection(
            settings.endpoints, random_fraction, max_retries=settings.max_retries
        )
        """Which endpoint is dialled, and when."""
        self._gap_tracker = GapTracker()
        """Gaps that no confirmation has closed yet."""
        for channel, (since, reason) in (start_positions or {}).items():
            self._gap_tracker.open(channel, Loss(Moment(since), reason))
        self._channel_refusals = ChannelRefusals(settings.timing.refusal_lasting)
        """Which refusals of channels count, over all links."""
        self._protocol: Protocol | None = None
        """The machine of the current link; read by the auth threads too."""
        self._thread = threading.Thread(target=self._run, name="chatapp-tail-socket", daemon=True)
        """Alone opens, uses and closes the socket."""

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

    def subscribe(self, channels: Iterable[str], since: Moment | None = None) -> None:
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
        self._emit(*self._gap_tracker.close_all(now), items.Stopped(now.wall, *stopped))

    def _keep_connected(self) -> tuple[StopCause, str]:
        next_dial = 0.0
        while not self._stopping.wait(max(0.0, next_dial - time.monotonic())):
            endpoint = self._reconnection.start_dial(time.monotonic())
            outcome = self._reconnection.judge(self._try(endpoint), time.monotonic())
            if outcome.ended is None:
                break
            reason = _reason(endpoint, outcome.ended)
            self._emit(items.Lost(time.time_ns(), reason, outcome.ended.code, outcome.lasted))
            if cause := self._reconnection.stop_cause(outcome, endpoint):
                return cause, reason
            now = time.monotonic()
            next_dial = self._reconnection.next_dial(outcome, now)
            self._emit(items.Reconnecting(time.time_ns(), max(0.0, next_dial - now)))
        return StopCause.ASKED, "asked to stop"

    def _try(self, endpoint: Endpoint) -> Outcome:
        """Dial once, and run the link until it ends."""
        self._emit(items.Connecting(time.time_ns(), str(endpoint)))
        try:
            link = self._dialer.dial(endpoint)
        except DialCancelled:
            return Outcome(None)
        except DialFailed as failure:
            return Outcome(failure.ended, retry_after=failure.retry_after or 0.0)
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
            random=random_fraction,
            strict=settings.strict,
            refusals=self._channel_refusals,
        )
        outcome = Session(
            link,
            self._protocol,
            sink=self._sink,
            watch=self._watch,
            ask_auth=self._pool.ask,
            inbox=self._inbox,
            join=self._join,
            gap_tracker=self._gap_tracker,
            stopping=self._stopping.is_set,
            trace=self._trace,
        ).run()
        if outcome.subscribed_for < STABLE_AFTER:
            self._dialer.leave_address()
        return outcome

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
            self._gap_tracker.open(command.channel, Loss(command.since, items.ADDED))

    def _emit(self, *batch: Item) -> None:
        self._watch(batch)
        self._sink(batch)


def _reason(endpoint: Endpoint, ended: CloseReason) -> str:
    """Return why a link ended, with the endpoint if the reason concerns the server."""
    about_client = (StopCause.CREDENTIALS, StopCause.CHANNELS_REFUSED, StopCause.BUG)
    return ended.reason if ended.stop in about_client else f"{endpoint}: {ended.reason}"
