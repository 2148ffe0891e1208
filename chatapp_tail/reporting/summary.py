"""Counts records, reconnects and gaps, for the summary at the end of a run."""

import time
from collections import Counter

from .. import items
from ..chatapp.channels import short_name

_LISTED = 8
"""Counts listed in the sentence."""
_MAX_TALLIES = 1000
"""Pairs of event and channel with a count of their own; a server may send any number."""
_OTHERS = ("others", "others")


class Tally:
    """A count of records that can be passed around."""

    __slots__ = ("records",)

    def __init__(self) -> None:
        self.records = 0


class _Tallies(dict[tuple[str, str | None], Tally]):
    """(event, channel) -> its tally; all pairs beyond the maximum share one."""

    def __missing__(self, key: tuple[str, str | None]) -> Tally:
        if len(self) >= _MAX_TALLIES:
            key = _OTHERS
            if key in self:
                return self[key]
        tally = self[key] = Tally()
        return tally


class Summary:
    """Counts per event and channel, and of filtered records, reconnects and gaps."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.tallies = _Tallies()
        """Records shown."""
        self.filtered = 0
        """Records filtered out, or events where their name decides."""
        self._reconnects = 0
        self._gaps = 0
        self._recovered = 0
        """Messages of gaps that came from history."""
        self._lost = False
        """Whether an established connection was lost and all channels are not yet ready again."""

    def note(self, status: items.Status | items.Gap) -> None:
        """Count reconnects and gaps."""
        match status:
            case items.Lost(lasted=float()):
                self._lost = True
            case items.Ready():
                self._reconnects += self._lost
                self._lost = False
            case items.Gap():
                self._gaps += status.reason != items.ASKED
                self._recovered += status.recovered

    def figures(self, spool_peak: int) -> dict[str, object]:
        """Return the counts by name; `seconds` is the run's duration, `spool_peak` is in bytes."""
        events: Counter[str] = Counter()
        channels: Counter[str] = Counter()
        for (event, channel), tally in self.tallies.items():
            events[event] += tally.records
            channels[channel or "none"] += tally.records
        return {
            "seconds": round(time.monotonic() - self._began, 3),
            "records": events.total(),
            "events": dict(events.most_common()),
            "channels": dict(channels.most_common()),
            "filtered": self.filtered,
            "reconnects": self._reconnects,
            "gaps": self._gaps,
            "recovered": self._recovered,
            "spool_peak": spool_peak,
        }

    def sentence(self, spool_peak: int) -> str:
        """Return the counts as one line for people."""
        figures = self.figures(spool_peak)
        records = sum(tally.records for tally in self.tallies.values())
        parts = [_counted(records, "record") + _most(figures["events"])]
        channels = figures["channels"]
        if isinstance(channels, dict) and len(channels) > 1:
            short = {short_name(name): count for name, count in channels.items()}
            parts.append(_counted(len(short), "channel") + _most(short))
        if self.filtered:
            parts.append(f"{self.filtered} filtered out")
        if self._reconnects:
            parts.append(_counted(self._reconnects, "reconnect"))
        if self._gaps:
            parts.append(_counted(self._gaps, "gap"))
        if self._recovered:
            parts.append(f"{_counted(self._recovered, 'message')} recovered from history")
        if spool_peak >= 1024 * 1024:
            parts.append(f"{spool_peak / 1024 / 1024:.0f} MiB waited at the most")
        return f"{format_duration(time.monotonic() - self._began)}: {'; '.join(parts)}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _most(counts: object) -> str:
    """Return the largest counts in parentheses."""
    if not isinstance(counts, dict) or not counts:
        return ""
    shown = [f"{name} {count}" for name, count in list(counts.items())[:_LISTED]]
    return f" ({', '.join(shown)}{', ...' if len(counts) > _LISTED else ''})"


def format_duration(seconds: float) -> str:
    """Return a duration for people: `0.4 s`, `12 s`, `3m 12s`, `2h 05m`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02}s"
    return f"{minutes // 60}h {minutes % 60:02}m"
