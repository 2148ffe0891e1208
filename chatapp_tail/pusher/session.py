"""The loop of one link, from upgrade to end: transport, protocol machine and sink."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import assert_never

import msgspec

from .. import items
from ..items import ChannelEvent, Item
from .answers import AuthAnswer
from .clock import moment
from .close_codes import CloseReason
from .events import (
    AuthRequested,
    ChannelDenied,
    ConnectionEstablished,
    Event,
    Idle,
    PingSent,
    PongReceived,
    ProtocolWarning,
    SubscribeSent,
    SubscriptionLost,
    SubscriptionReconfirmed,
    SubscriptionRefused,
    SubscriptionsSettled,
    SubscriptionSucceeded,
)
from .frames import BINARY, CLOSE, INVALID_PAYLOAD, PING, TEXT, parse_close
from .gaps import GapTracker, WatermarkTracker
from .moments import Moment
from .protocol import Protocol
from .redaction import redact
from .transport import Transport

Sink = Callable[[Sequence[Item]], None]
"""Takes a batch of items in wire order; must not block."""


class AuthCommand(msgspec.Struct, frozen=True):
    """The answer to a request, from an auth thread."""

    request: AuthRequested
    answer: AuthAnswer


class SubscribeCommand(msgspec.Struct, frozen=True):
    """Another channel is to be tailed; `since` if it begins with a gap."""

    channel: str
    since: Moment | None = None


Command = AuthCommand | SubscribeCommand
"""What other threads put into the inbox of the thread of the connection."""

_CLOSE_TIMEOUT = 0.5
_CLOCK_JUMP = 5.0
_PROGRESS = 4096
"""Bytes of an incomplete message that prove a live link; fewer prove nothing."""
_LONGEST_WAIT = 5.0
"""The clocks are compared at least this often, to notice that the computer slept."""


class Outcome(msgspec.Struct, frozen=True):
    """How a link, or the attempt to get one, ended.

    `ended` is None if a stop was requested. `lasted` is for how many seconds it was established
    (None if it never was), `subscribed_for` for how many a channel was subscribed.
    """

    ended: CloseReason | None
    lasted: float | None = None
    subscribed_for: float = 0.0
    retry_after: float = 0.0


class Session:
    """Passes input of the link to the protocol machine, and its output to link and sink."""

    def __init__(
        self,
        link: Transport,
        protocol: Protocol,
        *,
        sink: Sink,
        watch: Sink,
        ask_auth: Callable[[AuthRequested], None],
        inbox: deque[Command],
        join: Callable[[SubscribeCommand], None],
        gap_tracker: GapTracker,
        stopping: Callable[[], bool],
        trace: bool,
    ) -> None:
        self._link = link
        """Closed by the caller."""
        self._protocol = protocol
        """The machine of this link."""
        self._sink = sink
        """Takes the items."""
        self._watch = watch
        """Sees the items besides channel events, before `sink` takes them."""
        self._ask_auth = ask_auth
        """Requests a signature; the answer comes through the inbox."""
        self._inbox = inbox
        """Commands of other threads."""
        self._join = join
        """Adds a channel to all later links."""
        self._gap_tracker = gap_tracker
        """Gaps between the links."""
        self._stopping = stopping
        """Whether a stop is requested."""
        self._trace = trace
        """Whether every frame is emitted too."""
        self._watermarks = WatermarkTracker()
        """What this link has proved."""
        self._ping: bytes | None = None
        """Payload of the last WebSocket ping, until it is answered."""
        self._progress = 0
        """Bytes of the incomplete message that were counted as a live link."""
        self._established_at: float | None = None
        """When the connection was established (monotonic seconds)."""
        self._subscribed_at: float | None = None
        """When the first channel was confirmed."""
        self._clock_offset = time.time() - time.monotonic()
        """Between wall and monotonic clock, when they were last compared."""

    def run(self) -> Outcome:
        """Run until the connection ends or a stop is requested."""
        while self._protocol.ended is None:
            self._deliver()
            if self._stopping():
                self._close()
                break
            timeout = self._protocol.deadline() - time.monotonic()
            self._link.wait(min(max(0.0, timeout), _LONGEST_WAIT))
            self._receive()
        self._deliver()
        ended = self._protocol.ended
        if ended:
            if ended.code == INVALID_PAYLOAD and self._link.end is None:
                self._link.send_close(INVALID_PAYLOAD, ended.reason)
            for channel, loss in self._watermarks.losses(ended.reason).items():
                self._gap_tracker.open(channel, loss)
        return Outcome(ended, _since(self._established_at), _since(self._subscribed_at) or 0.0)

    def _receive(self) -> None:
        """Pass messages, commands, the end of the stream and the time to the machine."""
        messages, receive_text = self._link.read(), self._protocol.receive_text
        now, wall = time.monotonic(), time.time_ns()
        for opcode, payload in messages:
            if opcode == TEXT and not self._trace:
                receive_text(payload, now, wall)
            else:
                self._take_message(opcode, payload, now, wall)
        if not messages and self._link.unfinished >= self._progress + _PROGRESS:
            self._protocol.receive_control(now)
            self._progress = self._link.unfinished
        elif messages:
            self._progress = 0
        if self._ping is not None:
            # Only the latest of several pings need be answered (RFC 6455 section 5.5.3).
            self._link.send_pong(self._ping)
            self._ping = None
        while self._inbox:
            self._take_command(self._inbox.popleft(), now)
        if self._link.end:
            self._take_end(*self._link.end)
        self._link.flush()
        if self._clock_jumped(now):
            self._protocol.ping_now(now)
        self._protocol.tick(now)

    def _take_command(self, command: Command, now: float) -> None:
        match command:
            case AuthCommand(request, answer):
                self._protocol.receive_auth(request.channel, request.socket_id, answer, now)
            case SubscribeCommand(channel):
                self._join(command)
                self._protocol.subscribe(channel, now)
            case _:
                assert_never(command)

    def _take_message(self, opcode: int, payload: bytes, now: float, wall: int) -> None:
        if self._trace and opcode == TEXT:
            self._show("<", payload.decode("utf-8", "replace"))
        if opcode == TEXT:
            self._protocol.receive_text(payload, now, wall)
        elif opcode == CLOSE:
            code, reason = parse_close(payload)
            self._link.send_close(code)
            self._protocol.receive_close(code, reason)
        elif opcode == BINARY:
            self._protocol.receive_binary(now)
        else:
            self._protocol.receive_control(now)
            if opcode == PING:
                self._ping = payload

    def _take_end(self, code: int, reason: str) -> None:
        if self._link.faulty:
            self._link.send_close(code, reason)
            self._protocol.fail(f"{reason} (code {code})", code)
        else:
            self._protocol.receive_close(code, reason)

    def _clock_jumped(self, now: float) -> bool:
        """Return whether wall and monotonic clock diverged: the computer slept."""
        offset = time.time() - now
        jumped = abs(offset - self._clock_offset) > _CLOCK_JUMP
        self._clock_offset = offset
        return jumped

    def _deliver(self) -> None:
        """Emit the events of the machine in one batch, then send its text frames."""
        batch: list[Item] = []
        for event in self._protocol.take_events():
            if type(event) is ChannelEvent:
                batch.append(event)
            else:
                statuses = list(self._items_of(event))
                self._watch(statuses)
                batch += statuses
        if batch:
            self._sink(batch)
            last = batch[-1]
            if type(last) is ChannelEvent and last.channel:
                self._watermarks.event_came(last.channel, moment())
        for text in self._protocol.take_outgoing():
            if self._trace:
                self._show(">", text)
            self._link.send_text(text)

    def _show(self, direction: str, text: str) -> None:
        shown = self._protocol.without_signature(redact(text))
        self._sink([items.FrameTrace(time.time_ns(), direction, shown)])

    def _items_of(self, event: Event) -> Iterator[Item]:
        """Act on an event of the machine, and yield what the main thread is told of it."""
        now = moment()
        at = now.wall
        match event:
            case AuthRequested():
                self._ask_auth(event)
            case ConnectionEstablished(socket_id):
                self._established_at = time.monotonic()
                yield items.Connected(at, socket_id)
            case SubscriptionSucceeded(channel):
                self._subscribed_at = self._subscribed_at or time.monotonic()
                yield from self._confirmation(channel, now)
            case SubscriptionsSettled(confirmed, refused):
                yield items.Ready(at, confirmed, refused)
            case SubscriptionReconfirmed(channel, certain):
                if span := self._watermarks.channel_reconfirmed(channel, certain=certain):
                    yield span.gap(channel, now)
            case ChannelDenied(channel):
                self._watermarks.channel_denied(channel)
            case SubscriptionLost(channel):
                loss = self._watermarks.forget(channel, "the server forgot the subscription")
                self._gap_tracker.open(channel, loss)
            case SubscribeSent(channel):
                self._watermarks.channel_asked(channel, now)
            case PingSent():
                self._watermarks.ping_sent(now)
            case PongReceived():
                if self._watermarks.pong_came():
                    yield items.Watermarks(self._watermarks.covered_until(now))
            case Idle(last_event, last_frame, last_pong):
                yield items.Idle(at, last_event, last_frame, last_pong)
            case SubscriptionRefused(channel, reason):
                yield items.Refused(at, channel, reason)
            case ProtocolWarning(reason, channel):
                yield items.ConnectionWarning(at, reason, channel)
            case ChannelEvent():
                yield event
            case CloseReason():
                return  # `run` reads it from the machine
            case _:
                assert_never(event)

    def _confirmation(self, channel: str, now: Moment) -> Iterator[Item]:
        """Yield that a channel is subscribed, its gap, and its watermark.

        A watermark without a pong makes a run shorter than a ping interval count.
        """
        self._watermarks.channel_confirmed(channel)
        yield items.Subscribed(now.wall, channel)
        if gap := self._gap_tracker.close(channel, now):
            yield gap
        yield items.Watermarks({channel: self._watermarks.covers(channel, now)})

    def _close(self) -> None:
        """Close with 1000 and wait briefly for the answer; other messages are dropped."""
        self._link.send_close(1000)
        deadline = time.monotonic() + _CLOSE_TIMEOUT
        while self._link.end is None and (left := deadline - time.monotonic()) > 0:
            self._link.wait(left)
            if any(opcode == CLOSE for opcode, _ in self._link.read()):
                return


def _since(moment: float | None) -> float | None:
    return None if moment is None else time.monotonic() - moment
