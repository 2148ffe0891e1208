"""Says how deliveries to a destination go, and counts them for the summary."""

import time
from collections.abc import Callable
from math import inf

from ..chatapp.channels import short_name
from ..chatapp.records import Record, chat_of
from ..reporting.notices import Level, when
from ..reporting.summary import format_duration
from ..sinks.delivery import Advice, Delivered, Delivery, Failed, Outcome, Refused, Retried, Trouble
from .line_writer import count_of_events

_DEAD_EVERY = 10.0
"""Seconds between two notices of dead letters; the counts in between are in the next."""

Say = Callable[[Level, str], None]


class DeliveryReport:
    """Tells `say` what a person should know of the destination `name`, and counts.

    `kept_in` names the file of the dead letters, None where refused deliveries are not kept. With
    `details`, each delivery is said.
    """

    def __init__(self, say: Say, name: str, *, kept_in: str | None, details: bool = False) -> None:
        self.given = 0
        """Deliveries that were given to the destination."""
        self._details = details
        self._say = say
        self._name = name
        self._kept_in = kept_in
        self._counts = {"delivered": 0, "retried": 0, "dead": 0}
        self._trouble = ""
        """The last trouble said, empty while deliveries succeed."""
        self._unsaid = 0
        """Dead letters since the last notice of one."""
        self._unsaid_reason = ""
        """The reason of the last of them."""
        self._dead_due = -inf
        """When the next notice of a dead letter may be said (monotonic)."""

    def begin(self) -> None:
        """Say where events go."""
        self._say(Level.INFO, f"forwarding to {self._name}")

    @property
    def waiting(self) -> int:
        """Deliveries under way."""
        return self.given - self._counts["delivered"] - self._counts["dead"]

    def note(self, outcome: Outcome) -> None:
        """Count an outcome and say it if it is news."""
        match outcome:
            case Delivered(delivery, answer, seconds, attempts):
                self._note_delivered(delivery, answer, seconds, attempts)
            case Refused(delivery, _, reason):
                self._note_refused(delivery, reason)
            case Retried(delivery, reason, retry_in):
                self._counts["retried"] += 1
                self._say_detail(delivery, f"{reason}; trying again {when(retry_in)}")
            case Trouble(reason, retry_in):
                self._note_trouble(reason, retry_in)
            case Advice(text):
                self._say(Level.WARNING, f"{self._name}: {text}")
            case Failed():
                return  # the error is the last line

    def figures(self) -> dict[str, object]:
        """Return the counts by name."""
        return {"destination": self._name, **self._counts, "waiting": self.waiting}

    def sentence(self) -> str:
        """Return the counts for people, to be joined to the summary."""
        parts = [f"{self._counts['delivered']} delivered"]
        if self._counts["retried"]:
            parts.append(f"{self._counts['retried']} retried")
        if self._counts["dead"]:
            parts.append(_dead_letters(self._counts["dead"]))
        if self.waiting:
            parts.append(f"{self.waiting} waiting")
        return ", ".join(parts)

    def end(self) -> None:
        """Say of the dead letters since the last notice of one how many there are."""
        if self._unsaid:
            lost = f"{_dead_letters(self._unsaid)} more: {self._unsaid_reason}; {self._kept}"
            self._say(Level.WARNING, f"{self._name}: {lost}")
            self._unsaid = 0

    def _note_delivered(
        self, delivery: Delivery, answer: str, seconds: float, attempts: int
    ) -> None:
        self._counts["delivered"] += 1
        if self._trouble:
            self._trouble = ""
            self._say(Level.WARNING, f"{self._name}: takes events again")
        if self._details:
            tried = f" (attempt {attempts})" if attempts > 1 else ""
            took = f"{seconds * 1000:.0f} ms" if seconds < 1 else format_duration(seconds)
            self._say_detail(delivery, f"{answer} in {took}{tried}")

    def _say_detail(self, delivery: Delivery, sentence: str) -> None:
        if self._details:
            self._say(Level.DEBUG, f"→ {_what(delivery)}  {sentence}")

    def _note_trouble(self, reason: str, retry_in: float) -> None:
        self._counts["retried"] += 1
        level = Level.DEBUG if reason == self._trouble else Level.WARNING
        self._trouble = reason
        waiting = f"{count_of_events(self.waiting)} waiting"
        again = f"trying again {when(retry_in)}"
        self._say(level, f"{self._name}: {reason}; {waiting}; {again}")

    def _note_refused(self, delivery: Delivery, reason: str) -> None:
        self._counts["dead"] += 1
        now = time.monotonic()
        if now < self._dead_due:
            self._unsaid += 1
            self._unsaid_reason = reason
            return
        others = f" and {self._unsaid} more" if self._unsaid else ""
        what = f"dead letter: {_what(delivery)}{others}: {reason}"
        self._say(Level.WARNING, f"{self._name}: {what}; {self._kept}")
        self._unsaid, self._dead_due = 0, now + _DEAD_EVERY

    @property
    def _kept(self) -> str:
        if self._kept_in:
            return f"kept in {self._kept_in}"
        return "not kept, since there is no --dead-letters"


def _dead_letters(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


def _what(delivery: Delivery) -> str:
    """Return event, channel and the end of the id, such as `message 1229/telegram:696`."""
    first = delivery.records[0]
    others = f" and {len(delivery.records) - 1} more" if len(delivery.records) > 1 else ""
    return f"{first.event} {short_name(first.channel or '-')}:{_number(first)}{others}"


def _number(record: Record) -> str:
    """Return what an id has behind its channel and chat: the message's own, and the status."""
    line = f"{record.event}:{record.license}:{record.messenger}:"
    return record.id.removeprefix(line).removeprefix(f"{chat_of(record)}:")[:40]
