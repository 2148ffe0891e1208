"""What happens to an event between its frame and its lines: filter, format, count."""

from .chatapp.events import Decoded, decode
from .filters import KeepEvent, KeepRecord
from .formats import Format
from .pusher.items import ChannelEvent
from .summary import Summary


class Pipeline:
    """The same for live events and saved ones."""

    def __init__(
        self,
        keep_event: KeepEvent,
        keep_record: KeepRecord | None,
        format: Format,  # noqa: A002 - the domain's word
        summary: Summary,
    ) -> None:
        self._keep_event = keep_event
        self._keep_record = keep_record
        self._format = format
        self._summary = summary

    def of_event(self, event: ChannelEvent) -> list[bytes]:
        """Return the lines of a live event; one whose name is filtered is not even decoded."""
        if not self._keep_event(event.event):
            self._summary.filtered += 1
            return []
        return self._of_kept(decode(event))

    def of_saved(self, decoded: Decoded) -> list[bytes]:
        """Return the lines of an event decoded before."""
        if not self._keep_event(decoded.records[0].event):
            self._summary.filtered += 1
            return []
        return self._of_kept(decoded)

    def _of_kept(self, decoded: Decoded) -> list[bytes]:
        kept = decoded.records
        if self._keep_record is not None:
            kept = [record for record in kept if self._keep_record(record)]
            self._summary.filtered += len(decoded.records) - len(kept)
            if not kept:
                return []
        self._summary.shown[kept[0].event, kept[0].channel] += len(kept)
        return self._format(decoded, kept)
