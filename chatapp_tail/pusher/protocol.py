"""The client's side of one Pusher connection, protocol 7, as a pure machine.

Text, closes, auth answers and the time go in; events and text to send come out. There is no
socket, thread or clock in here, so every rule can be tested with time as an argument. Two rules
govern all of it:

* The peer may send anything, in any order: nothing that comes in raises, everything that cannot be
  read is counted and said once.
* Every state that waits has a moment at which it stops waiting; none is earlier than
  `deadline()`.

One machine lives as long as one socket: a socket id and the signatures bound to it die with it.
Times are monotonic seconds.
"""

import re
from collections.abc import Callable, Iterable
from math import inf

import msgspec

from ..items import ChannelEvent, StopCause
from . import messages
from .answers import AuthAnswer, Bug, Denied, Granted, TokenRefused, Unavailable, Untrusted
from .backoff import STABLE_AFTER, Retry
from .close_codes import UNAUTHORIZED, UNINFORMATIVE_CODES, CloseReason, classify
from .frames import INVALID_PAYLOAD
from .refusals import ChannelRefusals
from .subscriptions import (
    EXISTING,
    SUBSCRIBED,
    UNANSWERED,
    UNDECIDED,
    Refusal,
    State,
    Subscription,
    channels_by_state,
    meant_by_error,
    request_for,
    why_refused,
    without_signatures,
)


class Timing(msgspec.Struct, frozen=True):
    """How long each wait may last, in seconds."""

    ping_interval: float = 15.0
    pong_timeout: float = 10.0
    established_timeout: float = 10.0
    confirm_timeout: float = 10.0
    auth_timeout: float = 60.0
    refused_retry: float = 300.0
    refusal_lasting: float = 30.0
    audit_interval: float = 180.0
    quiet_interval: float = 60.0


# --- what comes out ------------------------------------------------------------------------------


class ConnectionEstablished(msgspec.Struct, frozen=True):
    """`pusher:connection_established` came; `socket_id` is opaque and new on every connection."""

    socket_id: str


class AuthRequested(msgspec.Struct, frozen=True):
    """The shell should ask for a signature and bring the answer to `receive_auth`."""

    channel: str
    socket_id: str


class SubscribeSent(msgspec.Struct, frozen=True):
    """A request for the channel is about to be sent."""

    channel: str


class PingSent(msgspec.Struct, frozen=True):
    """A ping is about to be sent."""


class PongReceived(msgspec.Struct, frozen=True):
    """`pusher:pong` came."""


class SubscriptionSucceeded(msgspec.Struct, frozen=True):
    """`pusher_internal:subscription_succeeded` came for a wanted channel, for the first time."""

    channel: str


class ChannelDenied(msgspec.Struct, frozen=True):
    """The server turned a request for the channel down, for now or for good."""

    channel: str


class SubscriptionRefused(msgspec.Struct, frozen=True):
    """The channel is refused, by the auth endpoint or the server; it is asked again, slowly."""

    channel: str
    reason: str


class SubscriptionReconfirmed(msgspec.Struct, frozen=True):
    """The server confirmed a subscribed channel once more.

    `certain` when it says that it never forgot us; else it may have, and renewed the subscription.
    """

    channel: str
    certain: bool = False


class SubscriptionLost(msgspec.Struct, frozen=True):
    """The server no longer confirms a subscribed channel; it is being asked for anew."""

    channel: str


class Idle(msgspec.Struct, frozen=True):
    """No channel event for a while; ages in seconds, `last_pong` None before the first."""

    last_event: float
    last_frame: float
    last_pong: float | None


class SubscriptionsSettled(msgspec.Struct, frozen=True):
    """Every wanted channel is confirmed or refused, and at least one is confirmed."""

    confirmed: list[str]
    refused: list[str]


class ProtocolWarning(msgspec.Struct, frozen=True):
    """Survived, and worth a line."""

    reason: str
    channel: str | None = None


Event = (
    ChannelEvent
    | ConnectionEstablished
    | AuthRequested
    | PingSent
    | PongReceived
    | SubscribeSent
    | SubscriptionSucceeded
    | ChannelDenied
    | SubscriptionRefused
    | SubscriptionReconfirmed
    | SubscriptionLost
    | Idle
    | SubscriptionsSettled
    | ProtocolWarning
    | CloseReason
)


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
"""Of the protocol, about what a tail does not show; counted in silence."""

_OWN_PREFIXES = ("pusher:", "pusher_internal:")
_BEFORE_ESTABLISHED = (
    "pusher:connection_established",
    "pusher:error",
    "pusher:ping",
    "pusher:pong",
)
_RETRY_AFTER_MAX = 300.0
_TIMEOUTS = 3
_proper_socket_id = re.compile(r"[!-~]{1,200}").fullmatch
"""It is opaque; but it is signed, shown and sent, so it has to be a word."""
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
        self.socket_id: str | None = None
        self.ended: CloseReason | None = None
        self.ready = False
        self.skipped: dict[str, int] = {}
        self._asked = 0
        self._answered = False
        self._signatures: set[str] = set()
        self._subscriptions = {name: Subscription(name) for name in channels}
        self._subscriptions_due = inf
        self._timing = timing
        self._random = random
        self._strict = strict
        self._refusals = refusals or ChannelRefusals(timing.refusal_lasting)
        self._events: list[Event] = []
        self._outgoing: list[str] = []
        self._established_due = now + timing.established_timeout
        self._ping_interval = timing.ping_interval
        self._ping_due = inf
        self._pong_due = inf
        self._pong_owed = False
        self._last_error: tuple[int, str] | None = None
        self._audit_due = inf
        self._audits_answered = False
        self._quiet_due = inf
        self._last_event = self._last_frame = now
        self._last_pong: float | None = None
        self._last_channel: str | None = None

    def want(self, channel: str, now: float) -> None:
        """Subscribe to one more channel; nothing happens if it is wanted already."""
        if channel in self._subscriptions or self.ended:
            return
        subscription = self._subscriptions[channel] = Subscription(channel)
        if self.socket_id is not None:
            self._authorise(subscription, now)

    # --- drained by the shell

    def take_events(self) -> list[Event]:
        """Return what happened since the last call, in wire order.

        To be called before `take_outgoing`, so that moments noted for what is "about to be sent"
        are not too late.
        """
        events, self._events = self._events, []
        return events

    def take_outgoing(self) -> list[str]:
        """Return the text frames to send, oldest first.

        However many pings came since the last call, one pong answers them all: a flood of them
        costs the reader nothing.
        """
        outgoing, self._outgoing = self._outgoing, []
        if self.ended:
            return []
        if self._pong_owed:
            self._pong_owed = False
            outgoing.append(_PONG)
        return outgoing

    def deadline(self) -> float:
        """Return the next moment at which `tick` may have something to do."""
        if self.ended:
            return inf
        return min(
            self._established_due,
            self._ping_due,
            self._pong_due,
            self._audit_due,
            self._quiet_due,
            self._subscriptions_due,
        )

    # --- what the peer sent

    def receive_text(self, payload: bytes, now: float, received: int) -> None:
        """Take one text message; `received` is its wall-clock time in nanoseconds."""
        if self.ended:
            return
        self._on_activity(now)
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
        elif self.socket_id is None:
            self._end_before_established(event)
        elif channel != self._last_channel and not self._is_asked_for(channel):
            self._skip("an event of a channel that was not asked for", f" ({channel!r})")
        else:
            self._last_event = now
            self._events.append(ChannelEvent(received, event, channel, data))

    def _is_asked_for(self, channel: str | None) -> bool:
        """Return whether events of a channel are wanted, and remember it for the next one."""
        known = channel is None or channel in self._subscriptions
        self._last_channel = channel if known else None
        return known

    def _on_activity(self, now: float) -> None:
        """Any frame proves life and answers a ping that waits."""
        self._last_frame = now
        self._pong_due = inf

    def _receive_protocol_event(
        self, event: str, channel: str | None, data: bytes | None, now: float
    ) -> None:
        handle = self._HANDLERS.get(event)
        if self.socket_id is None and event not in _BEFORE_ESTABLISHED:
            self._end_before_established(event)
        elif handle:
            handle(self, channel, data, now)
        elif event in _UNUSED_EVENTS:
            self._is_first(event)
        else:
            self._skip("an unknown protocol event", f" ({event!r})")

    def _end_before_established(self, event: str) -> None:
        expected = "pusher:connection_established"
        self._end(
            CloseReason(f"the first event was {event!r}, not {expected}", retry=Retry.BACK_OFF)
        )

    def receive_binary(self, now: float) -> None:
        """Take a binary message; the protocol has none, so it only proves life."""
        if not self.ended:
            self._on_activity(now)
            self._skip("a binary frame")

    def receive_control(self, now: float) -> None:
        """Take a WebSocket ping or pong: proof of life, nothing else."""
        self._on_activity(now)

    def receive_close(self, code: int, reason: str) -> None:
        """Take the end of the stream; `code` is 1006 when there was no close frame.

        Reverb and laravel-websockets say why in band and then close with 1000 or nothing at all,
        so the in-band error counts when it was the last thing said.
        """
        if self.ended:
            return
        if code in UNINFORMATIVE_CODES and self._last_error:
            code, reason = self._last_error
        reason = self.without_signature(reason)
        self._end(classify(code, reason, established=self.socket_id is not None))

    def fail(self, reason: str, code: int | None = None) -> None:
        """Take the shell's word that the link cannot go on (a broken frame, a failed send)."""
        if not self.ended:
            self._end(CloseReason(reason, code, retry=Retry.BACK_OFF))

    # --- what the auth endpoint answered

    def receive_auth(self, channel: str, socket_id: str, answer: AuthAnswer, now: float) -> None:
        """Take the answer to an `AuthRequested`; one for another socket id is thrown away."""
        subscription = self._subscriptions.get(channel)
        if self.ended or socket_id != self.socket_id or subscription is None:
            return
        if subscription.state is not State.AUTHORISING:
            return
        match answer:
            case Granted(auth):
                self._subscribe(subscription, now, auth)
            case Denied(reason):
                self._weigh(subscription, reason, now, Refusal.CLEAR)
            case TokenRefused(reason):
                self._end(CloseReason(reason, stop=StopCause.CREDENTIALS))
            case Untrusted(reason):
                self._end(CloseReason(reason, stop=StopCause.UNTRUSTED))
            case Unavailable(reason, retry_after):
                self._retry(subscription, reason, now, retry_after or 0.0)
            case Bug(traceback):
                self._end(CloseReason(traceback, stop=StopCause.BUG))

    # --- the clock

    def tick(self, now: float) -> None:
        """Do what is due at `now`."""
        if self.ended:
            return
        if now >= self._established_due:
            waited = self._timing.established_timeout
            self._end(
                CloseReason(
                    f"the server accepted the connection and then said nothing for {waited:g} s",
                    retry=Retry.BACK_OFF,
                )
            )
        elif now >= self._pong_due:
            waited = self._timing.pong_timeout
            self._end(CloseReason(f"no answer to a ping for {waited:g} s", retry=Retry.BACK_OFF))
        else:
            self._tick_established(now)

    def ping_now(self, now: float) -> None:
        """Ping at once: the machine may have slept, and only an answer proves the link."""
        if self.socket_id is not None and not self.ended:
            self._ping(now)

    def _tick_established(self, now: float) -> None:
        if now >= self._ping_due:
            self._ping(now)
        if now >= self._audit_due:
            self._audit(now)
        if now >= self._quiet_due:
            self._quiet(now)
        if now >= self._subscriptions_due:
            for subscription in self._subscriptions.values():
                if now >= subscription.due:
                    self._subscription_due(subscription, now)
            dues = (subscription.due for subscription in self._subscriptions.values())
            self._subscriptions_due = min(dues, default=inf)

    def _ping(self, now: float) -> None:
        self._events.append(PingSent())
        self._outgoing.append(_PING)
        self._ping_due = now + self._ping_interval
        self._pong_due = min(self._pong_due, now + self._timing.pong_timeout)

    def _subscription_due(self, subscription: Subscription, now: float) -> None:
        if subscription.state is State.CONFIRMING:
            self._unconfirmed(subscription, now)
        elif subscription.state is State.AUTHORISING:
            waited = self._timing.auth_timeout
            self._retry(subscription, f"channel auth did not answer for {waited:g} s", now)
        elif subscription.state is State.RECHECKING:
            self._audit_unanswered(subscription, now)
        else:
            self._authorise(subscription, now)

    def _unconfirmed(self, subscription: Subscription, now: float) -> None:
        """Ask again, or leave a server that has let all requests of this connection pass."""
        subscription.timeouts += 1
        if subscription.timeouts >= _TIMEOUTS and not self._answered:
            self._end(
                CloseReason("the server answers no request for a channel", retry=Retry.BACK_OFF)
            )
            return
        waited = self._timing.confirm_timeout
        self._retry(subscription, f"the server did not confirm it for {waited:g} s", now)

    def _quiet(self, now: float) -> None:
        """Say so when no event came for a whole interval; else look again when one may have."""
        due = self._last_event + self._timing.quiet_interval
        # Compared with the very sum that is the next deadline: a difference, rounded otherwise,
        # could leave the deadline where it is, for ever due.
        if now < due:
            self._quiet_due = due
            return
        pong = None if self._last_pong is None else now - self._last_pong
        self._events.append(Idle(now - self._last_event, now - self._last_frame, pong))
        self._quiet_due = now + self._timing.quiet_interval

    def _audit(self, now: float) -> None:
        """Ask for every confirmed channel once more, with the same signature.

        laravel-websockets can drop all subscriptions of a living link without a word, and only
        asking shows or mends it. pusher.com answers "Existing subscription", the others succeed. A
        cache channel would send its last event once more, so it is left out.
        """
        self._audit_due = now + self._timing.audit_interval
        for subscription in self._subscriptions.values():
            if subscription.state is State.CONFIRMED and subscription.can_be_audited:
                self._send_request(subscription)
                self._set_state(subscription, State.RECHECKING, now + self._timing.confirm_timeout)

    def _audit_unanswered(self, subscription: Subscription, now: float) -> None:
        """Distrust a server that answered audits before; leave one alone that never does."""
        if self._audits_answered:
            self._doubt(subscription, "the server no longer confirms it", now)
            return
        self._audit_due = inf
        for other in self._subscriptions.values():
            if other.state is State.RECHECKING:
                self._set_state(other, State.CONFIRMED)

    def _doubt(self, subscription: Subscription, reason: str, now: float) -> None:
        """Stop vouching for a channel that was subscribed, and ask for it again.

        One that was subscribed for a moment only waits longer each time.
        """
        if now - subscription.confirmed_at >= STABLE_AFTER:
            subscription.tries = 0
        self._events.append(SubscriptionLost(subscription.channel))
        self._retry(subscription, reason, now)

    # --- protocol events

    def _connection_established(self, _: str | None, data: bytes | None, now: float) -> None:
        document = messages.document(data)
        socket_id = messages.member(document, "socket_id")
        if self.socket_id is not None:
            self._skip("a second pusher:connection_established")
            return
        if not isinstance(socket_id, str) or not _proper_socket_id(socket_id):
            reason = "pusher:connection_established has no proper socket id"
            self._end(CloseReason(reason, retry=Retry.BACK_OFF))
            return
        self.socket_id = socket_id
        self._established_due = inf
        self._ping_interval = _ping_interval(
            self._timing.ping_interval, messages.member(document, "activity_timeout")
        )
        self._ping_due = now + self._ping_interval
        self._audit_due = now + self._timing.audit_interval
        self._quiet_due = now + self._timing.quiet_interval
        self._events.append(ConnectionEstablished(socket_id))
        for subscription in self._subscriptions.values():
            self._authorise(subscription, now)

    def _on_ping(self, _: str | None, __: bytes | None, now: float) -> None:
        self._pong_owed = self.socket_id is not None

    def _on_pong(self, _: str | None, __: bytes | None, now: float) -> None:
        self._last_pong = now
        self._events.append(PongReceived())

    def _subscription_succeeded(self, channel: str | None, _: bytes | None, now: float) -> None:
        subscription = self._subscriptions.get(channel or "")
        if subscription is None or not subscription.awaits_confirmation:
            self._skip("a confirmation nobody asked for", f" ({channel!r})")
        else:
            self._confirm(subscription, now)

    def _subscription_error(self, channel: str | None, data: bytes | None, now: float) -> None:
        subscription = self._subscriptions.get(channel or "")
        if subscription is None or subscription.state not in SUBSCRIBED | UNANSWERED:
            self._skip("a refusal of what nobody asked for", f" ({channel!r})")
            return
        document = messages.document(data)
        status = messages.member(document, "status")
        shown = messages.text_of(status) if isinstance(status, str) else status
        error = self.without_signature(messages.text_of(messages.member(document, "error")))
        reason = f"{error or 'no reason given'} (status {shown})"
        refusal = Refusal.CLEAR if status in (401, 403, UNAUTHORIZED) else None
        self._request_failed(subscription, reason, now, refusal)

    def _error(self, _: str | None, data: bytes | None, now: float) -> None:
        document = messages.document(data)
        code = messages.error_code(document)
        message = messages.text_of(messages.member(document, "message"))
        # What is decided goes by the text as it came; only what is said goes without signatures.
        said = f"{self.without_signature(message) or 'no reason given'} (code {code})"
        if self.socket_id is None:
            self._error_before_established(code, message)
            return
        subscription, refusal = meant_by_error(self._subscriptions, code, message)
        if subscription is None:
            if self._is_first(f"error {code}"):
                self._events.append(ProtocolWarning(f"the server says: {said}"))
            if code is not None:
                self._last_error = (code, message)
        elif message.startswith(EXISTING):
            self._confirm(subscription, now, certain=True)
        else:
            self._request_failed(subscription, said, now, refusal)

    def _request_failed(
        self, subscription: Subscription, reason: str, now: float, refusal: Refusal | None
    ) -> None:
        self._answered = True
        if refusal is not Refusal.PERHAPS:
            subscription.unanswered = max(0, subscription.unanswered - 1)
            self._events.append(ChannelDenied(subscription.channel))
        if subscription.state in SUBSCRIBED:
            self._doubt(subscription, reason, now)
        elif refusal:
            self._weigh(subscription, reason, now, refusal)
        else:
            self._retry(subscription, reason, now)

    def _weigh(self, subscription: Subscription, reason: str, now: float, refusal: Refusal) -> None:
        """Refuse a channel, or ask for it again while the refusal may be a passing one."""
        if self._refusals.believed(subscription.channel, now, clear=refusal is Refusal.CLEAR):
            self._refuse(subscription, reason, now)
        else:
            self._retry(subscription, reason, now, self._timing.refusal_lasting / 6)

    def _error_before_established(self, code: int | None, message: str) -> None:
        if code is None:
            self._events.append(ProtocolWarning(f"the server says: {message or 'error'}"))
            return
        self._end(classify(code, message, established=False))

    _HANDLERS: dict[str, Callable[["Protocol", str | None, bytes | None, float], None]] = {  # noqa: RUF012 - a constant
        "pusher:connection_established": _connection_established,
        "pusher:ping": _on_ping,
        "pusher:pong": _on_pong,
        "pusher:error": _error,
        "pusher:subscription_error": _subscription_error,
        "pusher_internal:subscription_error": _subscription_error,
        "pusher:subscription_succeeded": _subscription_succeeded,
        "pusher_internal:subscription_succeeded": _subscription_succeeded,
    }

    def without_signature(self, text: str) -> str:
        """Return what a server says without the signature that pusher.com repeats there."""
        return without_signatures(self._signatures, text)

    # --- subscriptions

    def _set_state(self, subscription: Subscription, state: State, due: float = inf) -> None:
        """Put a subscription into a state that stops waiting at `due`.

        The earliest of all is kept here, perhaps too early for one that no longer waits: an event
        in one of hundreds of channels should not have to wait until all were looked at.
        """
        subscription.state, subscription.due = state, due
        self._subscriptions_due = min(self._subscriptions_due, due)

    def _authorise(self, subscription: Subscription, now: float) -> None:
        if not subscription.authorised:
            self._subscribe(subscription, now, None)
            return
        assert self.socket_id is not None
        self._set_state(subscription, State.AUTHORISING, now + self._timing.auth_timeout)
        self._events.append(AuthRequested(subscription.channel, self.socket_id))

    def _subscribe(self, subscription: Subscription, now: float, auth: str | None) -> None:
        self._asked += 1
        subscription.request = request_for(subscription.channel, auth)
        subscription.asked = self._asked
        self._send_request(subscription)
        if auth:
            self._signatures.add(auth.rpartition(":")[2])
        self._set_state(subscription, State.CONFIRMING, now + self._timing.confirm_timeout)

    def _send_request(self, subscription: Subscription) -> None:
        self._events.append(SubscribeSent(subscription.channel))
        self._outgoing.append(subscription.request)
        subscription.unanswered += 1

    def _confirm(self, subscription: Subscription, now: float, *, certain: bool = False) -> None:
        before = subscription.state
        self._set_state(subscription, State.CONFIRMED)
        self._answered = True
        subscription.unanswered, subscription.refusal = 0, None
        if before in SUBSCRIBED:
            self._audits_answered |= before is State.RECHECKING
            self._events.append(SubscriptionReconfirmed(subscription.channel, certain))
            return
        subscription.confirmed_at = now
        self._refusals.confirmed(subscription.channel)
        self._events.append(SubscriptionSucceeded(subscription.channel))
        self._check_ready()

    def _refuse(self, subscription: Subscription, reason: str, now: float) -> None:
        self._set_state(subscription, State.REFUSED, now + self._timing.refused_retry)
        said_before, subscription.refusal = subscription.refusal, reason
        # Of an only channel the end tells as much.
        if reason != said_before and len(self._subscriptions) > 1:
            self._events.append(SubscriptionRefused(subscription.channel, reason))
        self._check_ready()

    def _retry(
        self, subscription: Subscription, reason: str, now: float, at_least: float = 0.0
    ) -> None:
        delay = max(
            min(at_least, _RETRY_AFTER_MAX),
            (0.5 + self._random() / 2) * min(30.0, 2.0**subscription.tries),
        )
        subscription.tries = min(subscription.tries + 1, 10)
        self._set_state(subscription, State.WANTED, now + delay)
        self._events.append(
            ProtocolWarning(f"{reason}; asking again in {delay:.1f} s", subscription.channel)
        )

    def _check_ready(self) -> None:
        """Say whether every wanted channel is decided, once per connection."""
        # Of 500 channels the last is decided last, so this takes one look rather than 500.
        waiting = (each.state in UNDECIDED for each in reversed(self._subscriptions.values()))
        if not self._strict and any(waiting):
            return
        by_state = channels_by_state(self._subscriptions)
        refused = by_state.get(State.REFUSED, [])
        if len(refused) == len(self._subscriptions) or (refused and self._strict):
            self._end(
                CloseReason(
                    why_refused(self._subscriptions, refused), stop=StopCause.CHANNELS_REFUSED
                )
            )
        elif not self.ready and by_state.keys() <= SUBSCRIBED | {State.REFUSED}:
            self.ready = True
            confirmed = [s.channel for s in self._subscriptions.values() if s.state in SUBSCRIBED]
            self._events.append(SubscriptionsSettled(confirmed, refused))

    # --- ends and oddities

    def _end(self, ended: CloseReason) -> None:
        self.ended = ended
        self._events.append(ended)

    def _skip(self, kind: str, detail: str = "") -> None:
        """Say the first of what cannot be used of each kind, not the flood."""
        if self._is_first(kind):
            self._events.append(
                ProtocolWarning(f"skipped {kind}{detail}, and will skip more like it")
            )

    def _is_first(self, kind: str) -> bool:
        self.skipped[kind] = self.skipped.get(kind, 0) + 1
        return self.skipped[kind] == 1


def _ping_interval(own: float, activity_timeout: object) -> float:
    """Return the shorter of our interval and the server's, which may be anything."""
    if isinstance(activity_timeout, bool) or not isinstance(activity_timeout, int | float):
        return own
    return min(own, max(1.0, activity_timeout)) if activity_timeout > 0 else own
