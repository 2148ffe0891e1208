"""The subscriptions of one connection: every state of a channel and every transition.

| state       | event                                   | next state                             |
|-------------|-----------------------------------------|----------------------------------------|
| WANTED      | established; the delay is over          | AUTHORISING (CONFIRMING if public)     |
| AUTHORISING | granted                                 | CONFIRMING, a request is sent          |
|             | denied                                  | REFUSED, or WANTED while it may pass   |
|             | unavailable; `auth_timeout`             | WANTED, after a delay                  |
| CONFIRMING  | subscription_succeeded                  | CONFIRMED                              |
|             | an error that refuses                   | REFUSED, or WANTED while it may pass   |
|             | another error; `confirm_timeout`        | WANTED, after a delay                  |
| CONFIRMED   | `recheck_interval`                      | RECHECKING, the request is sent again  |
|             | an error                                | WANTED, after `SubscriptionLost`       |
| RECHECKING  | subscription_succeeded                  | CONFIRMED                              |
|             | an error                                | WANTED, after `SubscriptionLost`       |
|             | `confirm_timeout`                       | WANTED, after `SubscriptionLost`       |
|             | the same, if none was ever answered     | CONFIRMED, and no recheck any more     |
| REFUSED     | `refused_retry`                         | AUTHORISING (CONFIRMING if public)     |

A late subscription_succeeded confirms a channel in any state in which a request is unanswered.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf

import msgspec

from ..items import StopCause
from .answers import AuthAnswer, Bug, Denied, Granted, TokenRefused, Unavailable, Untrusted
from .backoff import STABLE_AFTER, Retry
from .close_codes import UNAUTHORIZED, CloseReason
from .error_correlation import EXISTING, Refusal, correlate_error
from .events import (
    AuthRequested,
    ChannelDenied,
    Output,
    ProtocolWarning,
    SubscribeSent,
    SubscriptionLost,
    SubscriptionReconfirmed,
    SubscriptionRefused,
    SubscriptionsSettled,
    SubscriptionSucceeded,
)
from .redaction import without_signatures
from .refusals import ChannelRefusals
from .subscription import SUBSCRIBED, UNANSWERED, UNDECIDED, State, Subscription
from .timing import Timing

_RETRY_AFTER_MAX = 300.0
_MAX_TIMEOUTS = 3


class Subscriptions:
    """The channels wanted on one connection; reports and requests go to `output`."""

    def __init__(
        self,
        channels: Iterable[str],
        output: Output,
        *,
        timing: Timing,
        random: Callable[[], float],
        strict: bool,
        refusals: ChannelRefusals,
    ) -> None:
        self.socket_id: str | None = None
        """What signatures are valid for; None until the connection is established."""
        self.settled = False
        """Whether `SubscriptionsSettled` was reported."""
        self._by_channel = {channel: Subscription(channel) for channel in channels}
        """In the order in which they are requested."""
        self._output = output
        """Events and requests, shared with the protocol."""
        self._timing = timing
        """How long each state waits."""
        self._random = random
        """Jitter of the delays, in [0, 1)."""
        self._strict = strict
        """Whether one refused channel ends the connection."""
        self._refusals = refusals
        """Which refusals count; outlives the connection."""
        self._due = inf
        """The earliest `due` of all, or earlier: see `_set_state`."""
        self._recheck_due = inf
        """When the confirmed channels are requested again."""
        self._rechecks_answered = False
        """Whether the server ever answered a recheck; if not, silence proves nothing."""
        self._numbered = 0
        """How many requests were signed and sent, rechecks not counted."""
        self._answered = False
        """Whether the server ever answered a request."""
        self._signatures: set[str] = set()
        """Sent on this connection; cut out of what the server says."""

    def __contains__(self, channel: str) -> bool:
        return channel in self._by_channel

    def without_signatures(self, text: str) -> str:
        """Return a text of the server without the signatures that pusher.com repeats there."""
        return without_signatures(self._signatures, text)

    # --- events

    def establish(self, socket_id: str, now: float) -> None:
        """Request all channels, now that there is a socket id."""
        self.socket_id = socket_id
        self._recheck_due = now + self._timing.recheck_interval
        for subscription in self._by_channel.values():
            self._authorise(subscription, now)

    def add(self, channel: str, now: float) -> None:
        """Request one more channel; a known one is left as it is."""
        if channel in self._by_channel:
            return
        subscription = self._by_channel[channel] = Subscription(channel)
        if self.socket_id is not None:
            self._authorise(subscription, now)

    def receive_auth(self, channel: str, socket_id: str, answer: AuthAnswer, now: float) -> None:
        """Take the answer to an `AuthRequested`; one for another socket id is discarded."""
        subscription = self._by_channel.get(channel)
        if socket_id != self.socket_id or subscription is None:
            return
        if subscription.state is not State.AUTHORISING:
            return
        match answer:
            case Granted(auth):
                self._subscribe(subscription, now, auth)
            case Denied(reason):
                self._judge_refusal(subscription, reason, now, Refusal.CLEAR)
            case TokenRefused(reason):
                self._output.end(CloseReason(reason, stop=StopCause.CREDENTIALS))
            case Untrusted(reason):
                self._output.end(CloseReason(reason, stop=StopCause.UNTRUSTED))
            case Unavailable(reason, retry_after):
                self._retry(subscription, reason, now, retry_after or 0.0)
            case Bug(traceback):
                self._output.end(CloseReason(traceback, stop=StopCause.BUG))

    def receive_success(self, channel: str | None, now: float) -> bool:
        """Take a subscription_succeeded; False if it answers no request."""
        subscription = self._by_channel.get(channel or "")
        if subscription is None or not subscription.awaits_confirmation:
            return False
        self._confirm(subscription, now)
        return True

    def receive_error(self, channel: str | None, status: object, reason: str, now: float) -> bool:
        """Take a subscription_error; False if it answers no request."""
        subscription = self._by_channel.get(channel or "")
        if subscription is None or subscription.state not in SUBSCRIBED | UNANSWERED:
            return False
        refusal = Refusal.CLEAR if status in (401, 403, UNAUTHORIZED) else None
        self._reject(subscription, reason, now, refusal)
        return True

    def receive_general_error(
        self, code: int | None, message: str, reason: str, now: float
    ) -> bool:
        """Take a `pusher:error`, which names no channel; False if it refers to none.

        `message` is the text as received, `reason` what is reported of it.
        """
        subscription, refusal = correlate_error(self._by_channel, code, message)
        if subscription is None:
            return False
        if message.startswith(EXISTING):
            self._confirm(subscription, now, certain=True)
        else:
            self._reject(subscription, reason, now, refusal)
        return True

    # --- deadlines

    def deadline(self) -> float:
        """Return the next moment at which `tick` may have something to do."""
        return min(self._due, self._recheck_due)

    def tick(self, now: float) -> None:
        """Do what is due at `now`."""
        if now >= self._recheck_due:
            self._recheck(now)
        if now >= self._due:
            for subscription in self._by_channel.values():
                if now >= subscription.due:
                    self._time_out(subscription, now)
                    if self._output.ended:
                        return
            self._due = min((s.due for s in self._by_channel.values()), default=inf)

    def _time_out(self, subscription: Subscription, now: float) -> None:
        """Leave a state whose time is over."""
        if subscription.state is State.CONFIRMING:
            self._time_out_request(subscription, now)
        elif subscription.state is State.AUTHORISING:
            waited = self._timing.auth_timeout
            self._retry(subscription, f"channel auth did not answer for {waited:g} s", now)
        elif subscription.state is State.RECHECKING:
            self._time_out_recheck(subscription, now)
        else:
            self._authorise(subscription, now)

    def _time_out_request(self, subscription: Subscription, now: float) -> None:
        """Request the channel again, or end a connection on which no request was ever answered."""
        subscription.timeouts += 1
        if subscription.timeouts >= _MAX_TIMEOUTS and not self._answered:
            reason = "the server answers no request for a channel"
            self._output.end(CloseReason(reason, retry=Retry.BACK_OFF))
            return
        waited = self._timing.confirm_timeout
        self._retry(subscription, f"the server did not confirm it for {waited:g} s", now)

    def _time_out_recheck(self, subscription: Subscription, now: float) -> None:
        """Treat silence as a loss, but only from a server that has answered rechecks before."""
        if self._rechecks_answered:
            self._lose(subscription, "the server no longer confirms it", now)
            return
        self._recheck_due = inf
        for other in self._by_channel.values():
            if other.state is State.RECHECKING:
                self._set_state(other, State.CONFIRMED)

    def _recheck(self, now: float) -> None:
        """Request every confirmed channel again, with the same signature.

        laravel-websockets can drop all subscriptions of a live connection without notice; only a
        repeated request reveals and repairs that. pusher.com answers "Existing subscription", the
        others succeed. A cache channel would send its last event again, so it is not rechecked.
        """
        self._recheck_due = now + self._timing.recheck_interval
        for subscription in self._by_channel.values():
            if subscription.state is State.CONFIRMED and subscription.can_be_rechecked:
                self._send_request(subscription)
                self._set_state(subscription, State.RECHECKING, now + self._timing.confirm_timeout)

    # --- transitions

    def _set_state(self, subscription: Subscription, state: State, due: float = inf) -> None:
        """Enter a state that stops waiting at `due`.

        `_due` may stay too early for a subscription that no longer waits: an event of one of
        hundreds of channels should not cost a look at all of them.
        """
        subscription.state, subscription.due = state, due
        self._due = min(self._due, due)

    def _authorise(self, subscription: Subscription, now: float) -> None:
        if not subscription.authorised:
            self._subscribe(subscription, now, None)
            return
        assert self.socket_id is not None
        self._set_state(subscription, State.AUTHORISING, now + self._timing.auth_timeout)
        self._output.events.append(AuthRequested(subscription.channel, self.socket_id))

    def _subscribe(self, subscription: Subscription, now: float, auth: str | None) -> None:
        self._numbered += 1
        subscription.request = _subscribe_message(subscription.channel, auth)
        subscription.number = self._numbered
        self._send_request(subscription)
        if auth:
            self._signatures.add(auth.rpartition(":")[2])
        self._set_state(subscription, State.CONFIRMING, now + self._timing.confirm_timeout)

    def _send_request(self, subscription: Subscription) -> None:
        self._output.events.append(SubscribeSent(subscription.channel))
        self._output.texts.append(subscription.request)
        subscription.unanswered += 1

    def _confirm(self, subscription: Subscription, now: float, *, certain: bool = False) -> None:
        before = subscription.state
        self._set_state(subscription, State.CONFIRMED)
        self._answered = True
        subscription.unanswered, subscription.refusal = 0, None
        if before in SUBSCRIBED:
            self._rechecks_answered |= before is State.RECHECKING
            self._output.events.append(SubscriptionReconfirmed(subscription.channel, certain))
            return
        subscription.confirmed_at = now
        self._refusals.confirmed(subscription.channel)
        self._output.events.append(SubscriptionSucceeded(subscription.channel))
        self._check_settled()

    def _reject(
        self, subscription: Subscription, reason: str, now: float, refusal: Refusal | None
    ) -> None:
        """Take an error as the answer to a request, or as the loss of a subscription."""
        self._answered = True
        if refusal is not Refusal.PERHAPS:
            subscription.unanswered = max(0, subscription.unanswered - 1)
            self._output.events.append(ChannelDenied(subscription.channel))
        if subscription.state in SUBSCRIBED:
            self._lose(subscription, reason, now)
        elif refusal:
            self._judge_refusal(subscription, reason, now, refusal)
        else:
            self._retry(subscription, reason, now)

    def _judge_refusal(
        self, subscription: Subscription, reason: str, now: float, refusal: Refusal
    ) -> None:
        """Refuse a channel, or request it again while the refusal may be temporary."""
        if self._refusals.believed(subscription.channel, now, clear=refusal is Refusal.CLEAR):
            self._refuse(subscription, reason, now)
        else:
            self._retry(subscription, reason, now, self._timing.refusal_lasting / 6)

    def _refuse(self, subscription: Subscription, reason: str, now: float) -> None:
        self._set_state(subscription, State.REFUSED, now + self._timing.refused_retry)
        reported, subscription.refusal = subscription.refusal, reason
        # The refusal of an only channel is reported by the end of the connection.
        if reason != reported and len(self._by_channel) > 1:
            self._output.events.append(SubscriptionRefused(subscription.channel, reason))
        self._check_settled()

    def _lose(self, subscription: Subscription, reason: str, now: float) -> None:
        """Report a subscription as lost and request it again.

        The delay grows unless the channel was subscribed for a while.
        """
        if now - subscription.confirmed_at >= STABLE_AFTER:
            subscription.tries = 0
        self._output.events.append(SubscriptionLost(subscription.channel))
        self._retry(subscription, reason, now)

    def _retry(
        self, subscription: Subscription, reason: str, now: float, at_least: float = 0.0
    ) -> None:
        """Request a channel again, after a delay with jitter that doubles up to 30 s."""
        delay = max(
            min(at_least, _RETRY_AFTER_MAX),
            (0.5 + self._random() / 2) * min(30.0, 2.0**subscription.tries),
        )
        subscription.tries = min(subscription.tries + 1, 10)
        self._set_state(subscription, State.WANTED, now + delay)
        self._output.events.append(
            ProtocolWarning(f"{reason}; asking again in {delay:.1f} s", subscription.channel)
        )

    def _check_settled(self) -> None:
        """Report that every channel is confirmed or refused, once, or end with the refusals."""
        # Of 500 channels the last is decided last, so this takes one look rather than 500.
        undecided = (s.state in UNDECIDED for s in reversed(self._by_channel.values()))
        if not self._strict and any(undecided):
            return
        by_state = _channels_by_state(self._by_channel)
        refused = by_state.get(State.REFUSED, [])
        if len(refused) == len(self._by_channel) or (refused and self._strict):
            reason = _refusal_reason(self._by_channel, refused)
            self._output.end(CloseReason(reason, stop=StopCause.CHANNELS_REFUSED))
        elif not self.settled and by_state.keys() <= SUBSCRIBED | {State.REFUSED}:
            self.settled = True
            confirmed = [s.channel for s in self._by_channel.values() if s.state in SUBSCRIBED]
            self._output.events.append(SubscriptionsSettled(confirmed, refused))


def _subscribe_message(channel: str, auth: str | None) -> str:
    """Return the subscribe message; `auth` is None for a public channel."""
    # Members without a value are omitted: laravel-websockets signs every member present.
    data = {"channel": channel} | ({"auth": auth} if auth else {})
    return msgspec.json.encode({"event": "pusher:subscribe", "data": data}).decode()


def _channels_by_state(subscriptions: Mapping[str, Subscription]) -> dict[State, list[str]]:
    """Return the channels of each state that occurs."""
    by_state: dict[State, list[str]] = {}
    for subscription in subscriptions.values():
        by_state.setdefault(subscription.state, []).append(subscription.channel)
    return by_state


def _refusal_reason(subscriptions: Mapping[str, Subscription], refused: Sequence[str]) -> str:
    """Return why refusals end the connection: all channels are, or --strict allows none."""
    reason = subscriptions[refused[0]].refusal
    if len(subscriptions) == 1:
        return f"{refused[0]} is refused: {reason}"
    if len(refused) == len(subscriptions):
        return f"all {len(refused)} channels are refused; {refused[0]}: {reason}"
    return f"{refused[0]} is refused, and --strict allows none: {reason}"
