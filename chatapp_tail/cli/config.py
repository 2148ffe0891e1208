"""The command line as given → what will run: all of it validated and compiled, no network yet."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from ..chatapp.selection import Selection
from ..errors import UsageError
from ..filters import KeepEvent, KeepRecord, by_event, by_record
from ..filters.grep import Grep, compile_grep
from ..formats import Format, Output
from ..formats.colors import ColorMode, color_system
from ..formats.times import TimeStyle, make_clock, timezone_for
from ..history.dedup import Deduplicator
from ..history.message_times import MessageTimes
from ..net import Proxy
from ..pusher.connection import Endpoint, Timing
from ..pusher.connection import Settings as ConnectionSettings
from ..reporting.notices import Level, LogFormat
from ..reporting.summary import Summary
from ..tail.loop import Limits
from ..tail.pipeline import Pipeline
from .access import check_proxy

NOTHING_SELECTED = """nothing is selected; choose what to tail:
  chatapp-tail --license 1229 --messenger telegram    one messenger of one licence
  chatapp-tail --channel company/2224                 a channel by its name
  chatapp-tail --all                                  every messenger of every licence
(to try it without an account: chatapp-tail --sandbox --license 1229 --messenger telegram)"""


class ViewArguments(msgspec.Struct, frozen=True):
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
    color: ColorMode
    time_style: TimeStyle


class View(msgspec.Struct, frozen=True):
    """What was typed, compiled; `output` is never `auto`, `terminal` whether stdout is one."""

    keep_event: KeepEvent
    keep_record: KeepRecord | None
    grep: Grep | None
    output: Output
    template: str | None
    color: ColorMode
    time_style: TimeStyle
    terminal: bool

    def pipeline(
        self,
        summary: Summary,
        environment: dict[str, str],
        deduplicator: Deduplicator | None = None,
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
            deduplicator,
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
            make_clock(self.time_style),
            escape=self.terminal,
            encoding=sys.stdout.encoding if self.terminal else "utf-8",
        )

    def _pretty(self, environment: dict[str, str]) -> Format:
        from ..formats.pretty import Pretty

        return Pretty(
            width=_width,
            color_system=color_system(self.color, environment, terminal=self.terminal),
            encoding=sys.stdout.encoding,
            clock=make_clock(self.time_style),
            timezone=timezone_for(self.time_style),
            highlight=self.grep.spans if self.grep else None,
        )


def compile_view(typed: ViewArguments, *, terminal: bool) -> View:
    """Return the filters and the format compiled; UsageError points at what is wrong."""
    grep = compile_grep(typed.patterns) if typed.patterns else None
    output = typed.output
    if output is Output.AUTO:
        output = Output.PRETTY if terminal else Output.JSON
    view = View(
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
        view._template()
    return view


def _width() -> int:
    from shutil import get_terminal_size  # 2 ms, which JSON in a pipe need not wait for

    return get_terminal_size().columns


class Arguments(msgspec.Struct, frozen=True):
    """The options as click hands them over, each already of its type."""

    licenses: tuple[int, ...]
    messengers: tuple[str, ...]
    channels: tuple[str, ...]
    view: ViewArguments
    count: int | None
    duration: float | None
    idle: float | None
    endpoints: tuple[Endpoint, ...]
    api_url: str
    app_key: str
    ca_file: Path | None
    token_file: Path | None
    profile: str
    sandbox: bool
    everything: bool
    proxy: Proxy | None
    ping_interval: float
    pong_timeout: float
    connect_timeout: float
    max_retries: int | None
    strict: bool
    spool_limit: int
    meta: bool
    since: int | None
    resume: str | None
    backfill: bool
    backfill_wait: float
    quiet: bool
    verbose: int
    log_format: LogFormat


class Settings(msgspec.Struct, frozen=True):
    """What will run. The channels of `connection` are those known without asking the API.

    `since` is in nanoseconds since the epoch. `backfill_wait` None: gaps are not filled.
    """

    connection: ConnectionSettings
    selection: Selection
    api_url: str
    token_file: Path | None
    profile: str
    sandbox: bool
    view: View
    limits: Limits
    meta: bool
    since: int | None
    resume: str | None
    backfill_wait: float | None
    spool_limit: int
    level: Level
    log_format: LogFormat


def compile_settings(typed: Arguments, *, stdout_is_terminal: bool, watched: bool) -> Settings:
    """Return what will run; UsageError says what is missing.

    `watched` tells whether a person sees stderr, and so whether progress is worth saying.
    """
    _check_proxies(typed)
    _check_history(typed)
    selection = Selection(typed.licenses, typed.messengers, typed.channels, typed.everything)
    if selection.is_empty:
        raise UsageError(NOTHING_SELECTED)
    view = _showing(typed, stdout_is_terminal)
    fills = typed.backfill and view.keep_event("message")
    if (wanted := _wanted_history(typed)) and not fills:
        raise UsageError(f"{wanted} fetches only messages, but your filters exclude them all")
    return Settings(
        selection=selection,
        connection=ConnectionSettings(
            endpoints=typed.endpoints,
            app_key=typed.app_key,
            channels=selection.known_channels(),
            ca_file=str(typed.ca_file) if typed.ca_file else None,
            proxy=typed.proxy,
            connect_timeout=typed.connect_timeout,
            timing=Timing(typed.ping_interval, typed.pong_timeout),
            max_retries=typed.max_retries,
            strict=typed.strict,
        ),
        api_url=typed.api_url,
        token_file=typed.token_file,
        profile=typed.profile,
        sandbox=typed.sandbox,
        view=view,
        limits=Limits(typed.count, typed.duration, typed.idle),
        meta=typed.meta,
        since=typed.since,
        resume=typed.resume,
        backfill_wait=typed.backfill_wait if fills else None,
        spool_limit=typed.spool_limit,
        # A program that reads NDJSON on stderr wants to know of progress as much as a person.
        level=_level(typed, watched or typed.log_format is LogFormat.JSON),
        log_format=typed.log_format,
    )


def _check_proxies(typed: Arguments) -> None:
    api = urlsplit(typed.api_url)
    places = [(each.scheme, each.host) for each in typed.endpoints]
    for scheme, host in (*places, (api.scheme, api.hostname or "")):
        check_proxy(scheme, host, typed.proxy)


def _wanted_history(typed: Arguments) -> str:
    """Return the option that asks for what was before the start, if one does."""
    if typed.since is not None:
        return "--since"
    return "--resume" if typed.resume else ""


def _check_history(typed: Arguments) -> None:
    wanted = _wanted_history(typed)
    if not wanted:
        return
    if not typed.backfill:
        raise UsageError(f"{wanted} and --no-backfill contradict each other")
    if typed.sandbox:
        raise UsageError(
            f"--sandbox starts over each time, so it has no history for {wanted}; start it with"
            " chatapp-tail sandbox and tail that"
        )


def _showing(typed: Arguments, terminal: bool) -> View:
    asked = typed.view
    if typed.meta and asked.output not in (Output.AUTO, Output.JSON):
        raise UsageError(f"--meta adds JSON records, so it needs -o json, not {asked.output}")
    if typed.meta:
        asked = replace(asked, output=Output.JSON)
    return compile_view(asked, terminal=terminal)


def _level(typed: Arguments, watched: bool) -> Level:
    if typed.quiet:
        return Level.QUIET
    if typed.verbose:
        return Level.FRAMES if typed.verbose > 1 else Level.DETAIL
    return Level.PROGRESS if watched else Level.TROUBLE
