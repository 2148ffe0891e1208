"""What to show and how: filters and formats as typed → compiled, for live and saved events."""

import sys
from collections.abc import Sequence
from typing import assert_never

import msgspec

from ..filters import Grep, KeepEvent, KeepRecord, by_event, by_record, compile_grep
from ..formats import Format, Output
from ..formats.colors import When, color_system
from ..formats.times import TimeStyle, clock_of, zone_of
from ..history.dedup import Doubles
from ..history.message_times import MessageTimes
from ..reporting.summary import Summary
from ..tail.pipeline import Pipeline


class TypedShowing(msgspec.Struct, frozen=True):
    """The options as typed."""

    events: Sequence[str]
    excluded_events: Sequence[str]
    incoming: bool
    outgoing: bool
    chats: Sequence[str]
    patterns: Sequence[str]
    where: Sequence[str]
    output: Output
    template: str | None
    color: When
    time_style: TimeStyle


class Showing(msgspec.Struct, frozen=True):
    """What was typed, compiled; `output` is never `auto`, `terminal` whether stdout is one."""

    keep_event: KeepEvent
    keep_record: KeepRecord | None
    grep: Grep | None
    output: Output
    template: str | None
    color: When
    time_style: TimeStyle
    terminal: bool

    def pipeline(
        self,
        summary: Summary,
        environment: dict[str, str],
        doubles: Doubles | None = None,
        *,
        times: MessageTimes | None = None,
        collects: bool = False,
    ) -> Pipeline:
        """Return filters and format joined; formats that are heavy are loaded only now."""
        return Pipeline(
            self.keep_event,
            self.keep_record,
            self._format(environment),
            summary,
            doubles,
            times=times,
            collects=collects,
        )

    def _format(self, environment: dict[str, str]) -> Format:
        match self.output:
            case Output.JSON:
                from ..formats.ndjson import format_ndjson

                return format_ndjson
            case Output.RAW:
                from ..formats.raw import format_raw

                return format_raw
            case Output.CSV:
                return self._csv()
            case Output.TEMPLATE:
                return self._template()
            case Output.PRETTY:
                return self._pretty(environment)
            case Output.AUTO:
                raise AssertionError("auto is resolved when settings are compiled")
            case _:
                assert_never(self.output)

    def _csv(self) -> Format:
        from ..formats.csv import Csv
        from ..formats.csv_append import csv_opening

        return Csv(escape=self.terminal, opening=lambda: csv_opening(sys.stdout.fileno()))

    def _template(self) -> Format:
        from ..formats.template import Template

        return Template(
            self.template or "",
            clock_of(self.time_style),
            escape=self.terminal,
            encoding=sys.stdout.encoding if self.terminal else "utf-8",
        )

    def _pretty(self, environment: dict[str, str]) -> Format:
        from ..formats.pretty import Pretty

        return Pretty(
            width=_width,
            color_system=color_system(self.color, environment, terminal=self.terminal),
            encoding=sys.stdout.encoding,
            clock=clock_of(self.time_style),
            timezone=zone_of(self.time_style),
            highlight=self.grep.spans if self.grep else None,
        )


def compile_showing(typed: TypedShowing, *, terminal: bool) -> Showing:
    """Return the filters and the format compiled; UsageError points at what is wrong."""
    grep = compile_grep(typed.patterns) if typed.patterns else None
    output = typed.output
    if output is Output.AUTO:
        output = Output.PRETTY if terminal else Output.JSON
    showing = Showing(
        by_event(typed.events, typed.excluded_events),
        by_record(
            incoming=typed.incoming,
            outgoing=typed.outgoing,
            chats=typed.chats,
            grep=grep,
            where=typed.where,
        ),
        grep,
        output,
        typed.template,
        typed.color,
        typed.time_style,
        terminal,
    )
    if output is Output.TEMPLATE:
        # A typo in a template is said now, not when the first event comes.
        showing._template()
    return showing


def _width() -> int:
    from shutil import get_terminal_size  # 2 ms, which JSON in a pipe need not wait for

    return get_terminal_size().columns
