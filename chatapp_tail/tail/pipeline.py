"""What happens to an event between its frame and its lines: filter, format, count."""

from collections.abc import Sequence

from ..chatapp.records import Decoded, Record, Source, decode
from ..filters import KeepEvent, KeepRecord
from ..formats import Format
from ..history.dedup import Deduplicator
from ..history.message_times import MessageTimes
from ..items import ChannelEvent
from ..reporting.summary import Summary, Tally


class Pipeline:
    """The same for live events and saved ones.

    `deduplicator` remembers what can come in two ways, `times` what the messages' times tell of the
    service's clock; with `collects`, what is shown can be taken.
    """

    def __init__(
        self,
        keep_event: KeepEvent,
        keep_record: KeepRecord | None,
        format: Format,  # noqa: A002 - the domain's word
        summary: Summary,
        deduplicator: Deduplicator | None = None,
        *,
        times: MessageTimes | None = None,
        collects: bool = False,
    ) -> None:
        self._keep_event = keep_event
        self._keep_record = keep_record
        self._format = format
        self._summary = summary
        self._deduplicator = deduplicator
        self._times = times
        self._collects = collects
        self._shown: list[tuple[int, Sequence[Record]]] = []
        self._tally = Tally()

    def process_live(self, event: ChannelEvent) -> list[bytes]:
        """Return the lines of a live event; one whose name is filtered is not even decoded."""
        if not self._keep_event(event.event):
            self._summary.filtered += 1
            return []
        decoded = decode(event)
        if self._times is not None and event.event == "message":
            self._times.note(decoded.records[-1])
        return self._render(decoded)

    def process_saved(self, decoded: Decoded) -> list[bytes]:
        """Return the lines of an event decoded before."""
        if not self._keep_event(decoded.records[0].event):
            self._summary.filtered += 1
            return []
        return self._render(decoded)

    def process_history(self, event: ChannelEvent) -> list[bytes]:
        """Return the lines of a message that came from history; none if it is from before."""
        decoded = decode(event, Source.BACKFILL)
        if self._times is not None and not self._times.wants(decoded.records[0]):
            return []
        return self._render(decoded)

    def take_written(self, left_out: int) -> list[Record]:
        """Return the records of the lines returned since the last call, without the last few lines.

        A line that holds several records, as those of `-o raw` do, goes with all of them.
        """
        shown, self._shown = self._shown, []
        while shown and left_out >= shown[-1][0]:
            left_out -= shown.pop()[0]
        records = [record for _, records in shown for record in records]
        return records[: len(records) - left_out]

    def leave_out(self, lines: int) -> None:
        """Do not count the last lines returned; all of them are of one event."""
        self._tally.records -= lines

    def _render(self, decoded: Decoded) -> list[bytes]:
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
        if self._collects:
            self._shown.append((len(lines), kept))
        return lines
