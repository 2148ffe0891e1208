"""The loop of one link: socket, machine and sink joined, from upgrade to end."""

import time
from collections import deque
from collections.abc import Callable, Sequence
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
    """From an auth thread."""

    request: AuthRequested
    answer: AuthAnswer


class SubscribeCommand(msgspec.Struct, frozen=True):
    """There is another channel to tail; `since` when there may have been events in it."""

    channel: str
    since: Moment | None = None


Command = AuthCommand | SubscribeCommand
"""What other threads put into the inbox of the socket's thread."""

_GOODBYE_WAIT = 0.5
_CLOCK_JUMP = 5.0
_PROGRESS = 4096
"""Bytes of a message under way that count as life: one that drips proves nothing, however long."""
_LONGEST_WAIT = 5.0
"""A sleep of the machine is seen by a clock that jumped, so somebody must look now and then."""


class Outcome(msgspec.Struct, frozen=True):
    """How a link, or the attempt to get one, ended.

    `ended` is None when a stop was asked. `lasted` is for how many seconds it was established
    (None when it never was), `subscribed_for` for how many a channel was
    subscribed.
    """

    ended: CloseReason | None
    lasted: float | None = None
    subscribed_for: float = 0.0
    retry_after: float = 0.0


class Session:
    """Feeds the machine from the link and hands on what it says."""

    def __init__(
        self,
        link: Transport,
        protocol: Protocol,
        *,
        sink: Sink,
        ask_auth: Callable[[AuthRequested], None],
        inbox: deque[Command],
        join: Callable[[SubscribeCommand], None],
        gap_tracker: GapTracker,
        stopping: Callable[[], bool],
        trace: bool,
    ) -> None:
        self._link = link
        self._protocol = protocol
        self._sink = sink
        self._ask_auth = ask_auth
        self._inbox = inbox
        self._join = join
        self._gap_tracker = gap_tracker
        self._stopping = stopping
        self._trace = trace
        self._watermarks = WatermarkTracker()
        self._ping: bytes | None = None
        self._progress = 0
        self._established_at: float | None = None
        self._subscribed_at: float | None = None
        self._clock_offset = time.time() - time.monotonic()

    def run(self) -> Outcome:
        """Converse until the machine says the link is over, or a stop is asked."""
        while self._protocol.ended is None:
            self._hand_on()
            if self._stopping():
                self._say_goodbye()
                break
            patience = self._protocol.deadline() - time.monotonic()
            self._link.wait(min(max(0.0, patience), _LONGEST_WAIT))
            self._take_in()
        self._hand_on()
        ended = self._protocol.ended
        if ended:
            if ended.code == INVALID_PAYLOAD and self._link.end is None:
                self._link.send_close(INVALID_PAYLOAD, ended.reason)
            for channel, loss in self._watermarks.losses(ended.reason).items():
                self._gap_tracker.lost(channel, loss)
        return Outcome(ended, _since(self._established_at), _since(self._subscribed_at) or 0.0)

    def _take_in(self) -> None:
        """Give the machine everything that happened: messages, answers, the end, the time."""
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
            # Only the latest of many pings need be answered (RFC 6455 section 5.5.3).
            self._link.send_pong(self._ping)
            self._ping = None
        while self._inbox:
            self._take_letter(self._inbox.popleft(), now)
        if self._link.end:
            self._take_end(*self._link.end)
        self._link.flush()
        if self._clock_jumped(now):
            self._protocol.ping_now(now)
        self._protocol.tick(now)

    def _take_letter(self, letter: Command, now: float) -> None:
        match letter:
            case AuthCommand(request, answer):
                self._protocol.receive_auth(request.channel, request.socket_id, answer, now)
            case SubscribeCommand(channel):
                self._join(letter)
                self._protocol.want(channel, now)
            case _:
                assert_never(letter)

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
        """Return whether wall and monotonic clock drifted apart: the machine slept."""
        offset = time.time() - now
        jumped = abs(offset - self._clock_offset) > _CLOCK_JUMP
        self._clock_offset = offset
        return jumped

    def _hand_on(self) -> None:
        """Pass on what the machine says, in one batch, and send what it wants sent."""
        batch: list[Item] = []
        for event in self._protocol.take_events():
            if type(event) is ChannelEvent:
                batch.append(event)
            else:
                self._take_event(event, batch)
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

    def _take_event(self, event: Event, batch: list[Item]) -> None:
        now = moment()
        at = now.wall
        match event:
            case AuthRequested():
                self._ask_auth(event)
            case ConnectionEstablished(socket_id):
                self._established_at = time.monotonic()
                batch.append(items.Connected(at, socket_id))
            case SubscriptionSucceeded(channel):
                self._subscribed_at = self._subscribed_at or time.monotonic()
                self._take_confirmation(channel, now, batch)
            case SubscriptionsSettled(confirmed, refused):
                batch.append(items.Ready(at, confirmed, refused))
            case SubscriptionReconfirmed(channel, certain):
                if span := self._watermarks.channel_vouched(channel, certain=certain):
                    batch.append(span.gap(channel, now))
            case ChannelDenied(channel):
                self._watermarks.channel_denied(channel)
            case SubscriptionLost(channel):
                loss = self._watermarks.forget(channel, "the server forgot the subscription")
                self._gap_tracker.lost(channel, loss)
            case SubscribeSent(channel):
                self._watermarks.channel_asked(channel, now)
            case PingSent():
                self._watermarks.ping_sent(now)
            case PongReceived():
                if self._watermarks.pong_came():
                    batch.append(items.Watermarks(self._watermarks.covered_until(now)))
            case Idle(last_event, last_frame, last_pong):
                batch.append(items.Idle(at, last_event, last_frame, last_pong))
            case SubscriptionRefused(channel, reason):
                batch.append(items.Refused(at, channel, reason))
            case ProtocolWarning(reason, channel):
                batch.append(items.ConnectionWarning(at, reason, channel))
            case ChannelEvent():
                batch.append(event)
            case CloseReason():
                return  # the loop reads it from the machine
            case _:
                assert_never(event)

    def _take_confirmation(self, channel: str, now: Moment, batch: list[Item]) -> None:
        """Say that a channel is subscribed, what it missed, and until when it is covered.

        The last also without a pong, so that a run shorter than a ping interval counts too.
        """
        self._watermarks.channel_confirmed(channel)
        batch.append(items.Subscribed(now.wall, channel))
        if gap := self._gap_tracker.regained(channel, now):
            batch.append(gap)
        batch.append(items.Watermarks({channel: self._watermarks.covers(channel, now)}))

    def _say_goodbye(self) -> None:
        """Close with 1000 and give the server a moment to answer; what still comes is dropped."""
        self._link.send_close(1000)
        patience_ends = time.monotonic() + _GOODBYE_WAIT
        while self._link.end is None and (left := patience_ends - time.monotonic()) > 0:
            self._link.wait(left)
            if any(opcode == CLOSE for opcode, _ in self._link.read()):
                return


def _since(moment: float | None) -> float | None:
    return None if moment is None else time.monotonic() - moment
