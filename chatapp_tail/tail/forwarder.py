"""The output of `--forward-to` and `--exec`: gives deliveries to a sink and settles them."""

import select
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from math import inf

from ..chatapp.records import DecodedEvent, Record, chat_of
from ..errors import DestinationFailed
from ..formats import Format
from ..history.checkpoint import Checkpoint
from ..history.journal import Ahead
from ..sinks.dead_letters import DeadLetters
from ..sinks.delivery import (
    Advice,
    Delivered,
    Delivery,
    Failed,
    Outcome,
    Refused,
    Retried,
    Sink,
    Trouble,
)
from .delivery_report import DeliveryReport
from .ledger import Ledger
from .line_writer import LineWriter, count_of_events

_MOST_UNSETTLED = 4096
"""Deliveries under way at most; beyond, nothing more is taken from the spool."""
_MOST_BYTES = 16 * 1024 * 1024
"""Bytes under way at most, approximately."""

MakeBody = Callable[[DecodedEvent, list[Record]], bytes]
"""(a frame, those of its records that are wanted) -> the body of their delivery."""


class DeliveryFormat:
    """Turns the records kept of a frame into deliveries: one per chat, or one per record.

    `format_lines` makes the lines that are shown on stdout as well, None for no lines.
    """

    def __init__(
        self, make_body: MakeBody, *, per_record: bool, format_lines: Format | None
    ) -> None:
        self._make_body = make_body
        self._per_record = per_record
        self._format_lines = format_lines
        self._lines: list[bytes] = []
        """Lines for stdout that were not taken yet."""
        self._number = 0
        """The last delivery's."""

    def __call__(self, decoded: DecodedEvent, kept: Sequence[Record]) -> list[Delivery]:
        """Return the deliveries; see `take_lines` for the lines."""
        if self._format_lines:
            self._lines += self._format_lines(decoded, kept)
        return [self._deliver(key, decoded, records) for key, records in self._grouped(kept)]

    def take_lines(self) -> list[bytes]:
        """Return the lines since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def _grouped(self, kept: Sequence[Record]) -> Iterable[tuple[str, list[Record]]]:
        if self._per_record:
            return [(_key(record), [record]) for record in kept]
        return [(key, list(records)) for key, records in groupby(kept, _key)]

    def _deliver(self, key: str, decoded: DecodedEvent, records: list[Record]) -> Delivery:
        self._number += 1
        return Delivery(self._number, key, records, self._make_body(decoded, records))


def _key(record: Record) -> str:
    return f"{record.channel}:{chat_of(record)}"


class Forwarder:
    """Gives deliveries to `sink`, at most `count`, and settles what it says is done.

    `stdout` shows their lines as well; None for no lines. `wait_for_room` waits for outcomes;
    OutputStalled when it gives up.
    """

    def __init__(
        self,
        sink: Sink,
        make: DeliveryFormat,
        stdout: LineWriter | None,
        checkpoint: Checkpoint | None,
        dead_letters: DeadLetters | None,
        report: DeliveryReport,
        *,
        count: int | None,
        wait_for_room: Callable[[], bool],
    ) -> None:
        self.progress = 0
        """Outcomes that settled a delivery."""
        self._sink = sink
        self._make = make
        self._stdout = stdout
        self._checkpoint = checkpoint
        self._dead_letters = dead_letters
        self._report = report
        self._ledger = Ledger(self._commit)
        self._wait_for_room = wait_for_room
        self._showing = False
        """Whether stdout is being written: then its room is waited for, else outcomes are."""
        self._wanted = inf if count is None else count
        """Deliveries that are still to be given."""

    @property
    def just_polled(self) -> bool:
        """Whether the loop has polled since the last write to stdout."""
        return self._stdout is not None and self._stdout.just_polled

    @just_polled.setter
    def just_polled(self, value: bool) -> None:
        if self._stdout:
            self._stdout.just_polled = value

    @property
    def batch_size(self) -> float:
        """One: each event is given as soon as it is there."""
        return 1

    @property
    def complete(self) -> bool:
        """Whether as many deliveries are settled as are wanted."""
        return self._wanted <= 0 and not self._ledger

    @property
    def unsettled(self) -> int:
        """How many deliveries are under way."""
        return len(self._ledger)

    def begin(self) -> None:
        """End a partial line on stdout, and say where events go."""
        if self._stdout:
            self._stdout.begin()
        self._report.begin()

    def write(self, deliveries: list[Delivery], position: int = 0) -> bool:
        """Give deliveries; return once there is room for more. Those beyond the count are left."""
        self._show(self._make.take_lines())
        given = deliveries[: int(min(self._wanted, len(deliveries)))]
        self._wanted -= len(given)
        if given:
            # An event beyond the count is left to the next run, whole.
            self._ledger.give(given, position if len(given) == len(deliveries) else 0)
            self._report.given += len(given)
            self._sink.give(given)
            self._collect()
        while self._is_full():
            self._wait_for_room()
        return bool(given)

    def write_meta(self, line: bytes) -> None:
        """Write a line of stdout, if it is used."""
        if self._stdout:
            self._showing = True
            self._stdout.write_meta(line)
            self._showing = False

    def relink(self, channel: str) -> None:
        """Tell the destination, in its turn among the deliveries."""
        self._sink.relink(channel)

    def after(self, action: Callable[[], None]) -> None:
        """Call `action` once everything that was given so far is settled."""
        self._ledger.after(action)

    def register(self, waits: "select.poll", *, for_room: bool) -> None:
        """Wait for outcomes, and for stdout where it is used."""
        waits.register(self._sink, select.POLLIN)
        if self._stdout:
            self._stdout.register(waits, for_room=for_room and self._showing)

    def ready(self, descriptor: int, events: int) -> bool:
        """Take the outcomes there are; return whether there may be room."""
        if descriptor == self._sink.fileno():
            return self._collect()
        return self._stdout is not None and self._stdout.ready(descriptor, events)

    def finish(self) -> None:
        """Wait until every delivery is settled."""
        while self._ledger:
            self._wait_for_room()

    def explain_stall(self, left: int, seconds: str) -> str:
        """Return that the destination acknowledged nothing."""
        events = count_of_events(left)
        kept = "" if self._checkpoint else "; with --resume they would be kept for the next run"
        took = f"{self._sink.name} took nothing for {seconds}"
        return f"ended with {events} not delivered: {took}{kept}"

    def close(self) -> None:
        """Give up what is not delivered."""
        self._sink.close()
        self._report.end()
        if self._stdout:
            self._stdout.close()

    def _show(self, lines: list[bytes]) -> None:
        if self._stdout and lines:
            self._showing = True
            self._stdout.write(lines)
            self._showing = False

    def _is_full(self) -> bool:
        if self._wanted <= 0:
            return len(self._ledger) > 0
        return len(self._ledger) >= _MOST_UNSETTLED or self._ledger.size >= _MOST_BYTES

    def _collect(self) -> bool:
        """Take the outcomes there are; return whether any settled a delivery."""
        settled = [number for outcome in self._sink.take() for number in self._settled_by(outcome)]
        if settled:
            self.progress += len(settled)
            self._ledger.settle(settled)
        return bool(settled)

    def _settled_by(self, outcome: Outcome) -> list[int]:
        """Report an outcome; return the number of the delivery that it settles."""
        if isinstance(outcome, Refused) and self._dead_letters:
            self._dead_letters.append([outcome], self._sink.name)
        self._report.note(outcome)
        match outcome:
            case Delivered(delivery) | Refused(delivery):
                return [delivery.number]
            case Failed():
                raise DestinationFailed(outcome.status, outcome.reason)
            case Retried() | Trouble() | Advice():
                return []

    def _commit(self, records: list[Record], position: int, ahead: list[Ahead]) -> None:
        if self._checkpoint:
            messages = [record for record in records if record.event == "message"]
            self._checkpoint.commit(messages, position, ahead)
