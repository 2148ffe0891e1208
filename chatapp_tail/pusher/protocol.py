"""The client's side of one Pusher connection, protocol 7, as a state machine without I/O.

Text, closes, answers of the auth endpoint and the time go in; events and text to send come out.
There is no socket, thread or clock here, so every rule can be tested with time as an argument.
Two rules govern all of it:

* The server may send anything, in any order: no input raises, and input that cannot be used is
  counted and reported once.
* Every state that waits has a deadline, and none is earlier than `deadline()`.

One machine lives as long as one socket: a socket id and the signatures bound to it end with it.
Times are monotonic seconds. `subscriptions` holds the states of the channels, `keepalive` the
deadlines of pings and pongs; what remains here is the handshake and the dispatch of messages.
"""

import re
from collections.abc import Callable, Iterable
from math import inf

from ..items import ChannelEvent
from . import messages
from .answers import AuthAnswer
from .backoff import Retry
from .close_codes import UNINFORMATIVE_CODES, CloseReason, classify
from .events import ConnectionEstablished, Event, Output, PingSent, PongReceived, ProtocolWarning
from .frames import INVALID_PAYLOAD
from .keepalive import Keepalive
from .refusals import ChannelRefusals
from .subscriptions import Subscriptions
from .timing import Timing

_UNUSED_EVENTS = frozenset(
    (
        "pusher:cache_miss",
        "pusher:signin_success",
        "pusher_internal:member_added",
        "pusher_internal:member_removed",
        "pusher_internal:subscription_count",
        "pusher_internal:watchlist_events",
    )
)
"""Events of the protocol without a use for a tail; counted and not reported."""

_OWN_PREFIXES = ("pusher:", "pusher_internal:")
_BEFORE_ESTABLISHED = (
    "pusher:connection_established",
    "pusher:error",
    "pusher:ping",
    "pusher:pong",
)
_is_socket_id = re.compile(r"[!-~]{1,200}").fullmatch
"""A socket id is opaque; but it is signed, displayed and sent, so it must be one word."""
_PING, _PONG = '{"event":"pusher:ping","data":{}}', '{"event":"pusher:pong","data":{}}'


class Protocol:
    """One connection, from the finished WebSocket upgrade at `now` to its end."""

    def __init__(
        self,
        channels: Iterable[str],
        *,
        now: float,
        timing: Timing,
        random: Callable[[], float],
        strict: bool = False,
        refusals: ChannelRefusals | None = None,
    ) -> None:
        self.skipped: dict[str, int] = {}
        """How many messages of each kind were not used."""
        self._timing = timing
        """How long each wait may last."""
        self._output = Output()
        """What `take_events` and `take_outgoing` return, and the end."""
        self._keepalive = Keepalive(timing, now)
        """When to ping, and when a ping was not answered."""
        self._subscriptions = Subscriptions(
            channels,
            self._output,
            timing=timing,
            random=random,
            strict=strict,
            refusals=refusals or ChannelRefusals(timing.refusal_lasting),
        )
        """The wanted channels and their states."""
        self._established_due = now + timing.established_timeout
        """When a server that has not established the connection is left."""
        self._last_error: tuple[int, str] | None = None
        """Code and text of a `pusher:error`, if that was the last message."""
        self._last_channel: str | None = None
        """The wanted channel of the last event: events of one channel often come in a row."""

    @property
    def socket_id(self) -> str | None:
        """The server's name for the connection; None until it is established."""
        return self._subscriptions.socket_id

    @property
    def ended(self) -> CloseReason | None:
        """Why the connection is over, once it is."""
        return self._output.ended

    @property
    def ready(self) -> bool:
        """Whether every wanted channel was confirmed or refused."""
        return self._subscriptions.settled

    def subscribe(self, channel: str, now: float) -> None:
        """Subscribe to one more channel; a wanted one is left as it is."""
        if not self.ended:
            self._subscriptions.add(channel, now)

    # --- output

    def take_events(self) -> list[Event]:
        """Return the events since the last call, in wire order.

        To be called before `take_outgoing`: what is reported as about to be sent is then noted
        before it is sent.
        """
        output = self._output
        events, output.events = output.events, []
        return events

    def take_outgoing(self) -> list[str]:
        """Return the text frames to send, oldest first; after the end there are none.

        One pong answers all pings since the last call, so a flood of pings costs nothing.
        """
        output = self._output
        texts, output.texts = output.texts, []
        if output.ended:
            return []
        if output.pong_owed:
            output.pong_owed = False
            texts.append(_PONG)
        return texts

    def without_signature(self, text: str) -> str:
        """Return a text of the server without the signatures that pusher.com repeats there."""
        return self._subscriptions.without_signatures(text)

    # --- input from the server

    def receive_text(self, payload: bytes, now: float, received: int) -> None:
        """Take one text message; `received` is its wall-clock time in nanoseconds."""
        output, keepalive = self._output, self._keepalive
        if output.ended:
            return
        # `keepalive.receive_frame(now)` without the call, because this runs for every event.
        keepalive.last_frame = now
        keepalive.pong_due = inf
        if not payload.isascii():
            try:
                payload.decode()
            except UnicodeDecodeError:
                self.fail("the server sent text that is not UTF-8", INVALID_PAYLOAD)
                return
        try:
            event, channel, data = messages.decode_event(payload)
        except messages.MalformedMessage as error:
            self._skip(str(error))
            return
        self._last_error = None
        if event.startswith(_OWN_PREFIXES):
            self._receive_protocol_event(event, channel, data, now)
        elif self._subscriptions.socket_id is None:
            self._end_before_established(event)
        elif channel != self._last_channel and not self._is_wanted(channel):
            self._skip("an event of a channel that was not asked for", f" ({channel!r})")
        else:
            keepalive.last_event = now
            output.events.append(ChannelEvent(received, event, channel, data))

    def _is_wanted(self, channel: str | None) -> bool:
        """Return whether events of a channel are wanted, and remember it for the next one."""
        wanted = channel is None or channel in self._subscriptions
        self._last_channel = channel if wanted else None
        return wanted

    def receive_binary(self, now: float) -> None:
        """Take a binary message; Pusher has none, so it only proves that the link is alive."""
        if not self.ended:
            self._keepalive.receive_frame(now)
            self._skip("a binary frame")

    def receive_control(self, now: float) -> None:
        """Take a WebSocket ping or pong, or part of a message: the link is alive."""
        self._keepalive.receive_frame(now)

    def receive_close(self, code: int, reason: str) -> None:
        """Take the end of the stream; `code` is 1006 when there was no close frame.

        Reverb and laravel-websockets send the reason as `pusher:error` and then close with 1000 or
        without a code, so that error counts if it was the last message.
        """
        if self.ended:
            return
        if code in UNINFORMATIVE_CODES and self._last_error:
            code, reason = self._last_error
        reason = self.without_signature(reason)
        self._output.end(classify(code, reason, established=self.socket_id is not None))

    def fail(self, reason: str, code: int | None = None) -> None:
        """End a connection that cannot go on (after a broken frame or a failed send)."""
        if not self.ended:
            self._back_off(reason, code)

    def receive_auth(self, channel: str, socket_id: str, answer: AuthAnswer, now: float) -> None:
        """Take the answer to an `AuthRequested`; one for another socket id is discarded."""
        if not self.ended:
            self._subscriptions.receive_auth(channel, socket_id, answer, now)

    # --- deadlines

    def deadline(self) -> float:
        """Return the next moment at which `tick` may have something to do."""
        if self._output.ended:
            return inf
        return min(
            self._established_due, self._keepalive.deadline(), self._subscriptions.deadline()
        )

    def tick(self, now: float) -> None:
        """Do what is due at `now`."""
        keepalive = self._keepalive
        if self._output.ended:
            return
        if now >= self._established_due:
            waited = self._timing.established_timeout
            self._back_off(
                f"the server accepted the connection and then said nothing for {waited:g} s"
            )
        elif now >= keepalive.pong_due:
            self._back_off(f"no answer to a ping for {self._timing.pong_timeout:g} s")
        else:
            if now >= keepalive.ping_due:
                self._ping(now)
            if now >= keepalive.idle_due and (idle := keepalive.idle(now)):
                self._output.events.append(idle)
            self._subscriptions.tick(now)

    def ping_now(self, now: float) -> None:
        """Ping without delay: after the computer slept, only an answer proves the link."""
        if self.socket_id is not None and not self.ended:
            self._ping(now)

    def _ping(self, now: float) -> None:
        self._output.events.append(PingSent())
        self._output.texts.append(_PING)
        self._keepalive.ping_sent(now)

    # --- events of the protocol

    def _receive_protocol_event(
        self, event: str, channel: str | None, data: bytes | None, now: float
    ) -> None:
        if self.socket_id is None and event not in _BEFORE_ESTABLISHED:
            self._end_before_established(event)
            return
        match event:
            case "pusher:connection_established":
                self._establish(data, now)
            case "pusher:ping":
                self._output.pong_owed = self.socket_id is not None
            case "pusher:pong":
                self._keepalive.receive_pong(now)
                self._output.events.append(PongReceived())
            case "pusher:error":
                self._receive_error(data, now)
            case "pusher:subscription_error" | "pusher_internal:subscription_error":
                self._receive_subscription_error(channel, data, now)
            case "pusher:subscription_succeeded" | "pusher_internal:subscription_succeeded":
                if not self._subscriptions.receive_success(channel, now):
                    self._skip("a confirmation nobody asked for", f" ({channel!r})")
            case _ if event in _UNUSED_EVENTS:
                self._is_first(event)
            case _:
                self._skip("an unknown protocol event", f" ({event!r})")

    def _establish(self, data: bytes | None, now: float) -> None:
        document = messages.document(data)
        socket_id = messages.member(document, "socket_id")
        if self.socket_id is not None:
            self._skip("a second pusher:connection_established")
            return
        if not isinstance(socket_id, str) or not _is_socket_id(socket_id):
            self._back_off("pusher:connection_established has no proper socket id")
            return
        self._established_due = inf
        self._keepalive.start(now, messages.member(document, "activity_timeout"))
        self._output.events.append(ConnectionEstablished(socket_id))
        self._subscriptions.establish(socket_id, now)

    def _receive_subscription_error(
        self, channel: str | None, data: bytes | None, now: float
    ) -> None:
        document = messages.document(data)
        status = messages.member(document, "status")
        shown = messages.text_of(status) if isinstance(status, str) else status
        error = self.without_signature(messages.text_of(messages.member(document, "error")))
        reason = f"{error or 'no reason given'} (status {shown})"
        if not self._subscriptions.receive_error(channel, status, reason, now):
            self._skip("a refusal of what nobody asked for", f" ({channel!r})")

    def _receive_error(self, data: bytes | None, now: float) -> None:
        document = messages.document(data)
        code = messages.error_code(document)
        message = messages.text_of(messages.member(document, "message"))
        if self.socket_id is None:
            self._receive_error_before_established(code, message)
            return
        # Decisions are based on the text as received; only the report is without signatures.
        reason = f"{self.without_signature(message) or 'no reason given'} (code {code})"
        if self._subscriptions.receive_general_error(code, message, reason, now):
            return
        if self._is_first(f"error {code}"):
            self._output.events.append(ProtocolWarning(f"the server says: {reason}"))
        if code is not None:
            self._last_error = (code, message)

    def _receive_error_before_established(self, code: int | None, message: str) -> None:
        if code is None:
            warning = ProtocolWarning(f"the server says: {message or 'error'}")
            self._output.events.append(warning)
        else:
            self._output.end(classify(code, message, established=False))

    # --- ends and unusable input

    def _end_before_established(self, event: str) -> None:
        self._back_off(f"the first event was {event!r}, not pusher:connection_established")

    def _back_off(self, reason: str, code: int | None = None) -> None:
        """End the connection; another may be tried after a delay."""
        self._output.end(CloseReason(reason, code, retry=Retry.BACK_OFF))

    def _skip(self, kind: str, detail: str = "") -> None:
        """Count a message that cannot be used, and report the first of its kind."""
        if self._is_first(kind):
            self._output.events.append(
                ProtocolWarning(f"skipped {kind}{detail}, and will skip more like it")
            )

    def _is_first(self, kind: str) -> bool:
        self.skipped[kind] = self.skipped.get(kind, 0) + 1
        return self.skipped[kind] == 1
