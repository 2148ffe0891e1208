"""Turns an event into its lines: decode, filter, remove duplicates, format, count."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ..chatapp.records import DecodedEvent, Record, Source, decode
from ..filters import KeepEvent, KeepRecord
from ..history.dedup import Deduplicator
from ..history.message_times import MessageTimes
from ..items import ChannelEvent
from ..reporting.summary import Summary, Tally

L = TypeVar("L")


class Pipeline(Generic[L]):
    """Turns live events, events of history and saved ones into lines, or into deliveries.

    `deduplicator` drops messages that come both live and from history, `times` learns the service's
    clock from messages; with `track_written`, `take_written` returns the records of lines.
    """

    def __init__(
        self,
        keep_event: KeepEvent,
        keep_record: KeepRecord | None,
        format: Callable[[DecodedEvent, Sequence[Record]], list[L]],  # noqa: A002 - the domain's word
        summary: Summary,
        deduplicator: Deduplicator | None = None,
        *,
        times: MessageTimes | None = None,
        track_written: bool = False,
    ) -> None:
        self._keep_event = keep_event
        """Decides by an event's name, before it is decoded."""
        self._keep_record = keep_record
        """Decides by a record; None keeps all."""
        self._format = format
        """Turns the records kept of an event into lines."""
        self._summary = summary
        """Counts what is shown and filtered out."""
        self._deduplicator = deduplicator
        """Drops messages already shown; None where none can come twice."""
        self._times = times
        """Learns the service's clock; None where history is not read."""
        self._track_written = track_written
        """Whether records are kept for `take_written`."""
        self._shown: list[tuple[int, Sequence[Record]]] = []
        """Per event since the last `take_written`: its number of lines, and its records."""
        self._tally = Tally()
        """The count to which the last event shown belongs."""

    def process_live(self, event: ChannelEvent) -> list[L]:
        """Return the lines of a live event; one filtered by name is not decoded."""
        if not self._keep_event(event.event):
            self._summary.filtered += 1
            return []
        decoded = decode(event)
        if self._times is not None and event.event == "message":
            self._times.note(decoded.records[-1])
        return self._render(decoded)

    def process_saved(self, decoded: DecodedEvent) -> list[L]:
        """Return the lines of an event that is decoded already."""
        if not self._keep_event(decoded.records[0].event):
            self._summary.filtered += 1
            return []
        return self._render(decoded)

    def process_history(self, event: ChannelEvent) -> list[L]:
        """Return the lines of a message from history; none if it is older than wanted."""
        decoded = decode(event, Source.BACKFILL)
        if self._times is not None and not self._times.wants(decoded.records[0]):
            return []
        return self._render(decoded)

    def take_written(self, left_out: int) -> list[Record]:
        """Return the records of the lines since the last call, except the last `left_out` lines.

        A line of several records, as with `-o raw`, is left out with all of them.
        """
        shown, self._shown = self._shown, []
        while shown and left_out >= shown[-1][0]:
            left_out -= shown.pop()[0]
        records = [record for _, records in shown for record in records]
        return records[: len(records) - left_out]

    def leave_out(self, lines: int) -> None:
        """Uncount the last `lines` lines, which are all of one event."""
        self._tally.records -= lines

    def _render(self, decoded: DecodedEvent) -> list[L]:
        kept = decoded.records
        if self._keep_record is not None:
            kept = [record for record in kept if self._keep_record(record)]
            self._summary.filtered += len(decoded.records) - len(kept)
        if self._deduplicator is not None:
            kept = self._deduplicator.drop_duplicates(kept)
        if not kept:
            return []
        self._tally = tally = self._summary.tallies[kept[0].event, kept[0].channel]
        tally.records += len(kept)
        lines = self._format(decoded, kept)
        if self._track_written:
            self._shown.append((len(lines), kept))
        return lines
