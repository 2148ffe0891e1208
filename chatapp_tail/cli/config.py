"""The command line as given → what will run: all of it validated and compiled, no network yet."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, assert_never
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from ..chatapp.records import DecodedEvent, Record
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
from ..tail.deadlines import Limits
from ..tail.pipeline import Pipeline
from .access import check_proxy
from .options import ForwardBody

if TYPE_CHECKING:
    from .destination import Destination

L = TypeVar("L")

NOTHING_SELECTED = """nothing is selected; choose what to tail:
  chatapp-tail --license 1229 --messenger telegram    one messenger of one licence
  chatapp-tail --channel company/2224                 a channel by its name
  chatapp-tail --all                                  every messenger of every licence
(to try it without an account: chatapp-tail --sandbox --license 1229 --messenger telegram)"""


class ViewArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The options that a tail and `replay` have in common: what to show, and how.

    The help of an option says what it means.
    Filter: `events`, `excluded_events`, `incoming`, `outgoing`, `chats`, `patterns` (--grep),
    `excluded_patterns` (--grep-not) and `where`. Output: `output` (--json and --format included),
    `template` (--format), `color` and `time_style` (--time).
    """

    events: Sequence[str]
    excluded_events: Sequence[str]
    incoming: bool
    outgoing: bool
    chats: Sequence[str]
    patterns: Sequence[str]
    excluded_patterns: Sequence[str]
    where: Sequence[str]
    output: Output
    template: str | None
    color: ColorMode
    time_style: TimeStyle


class DeliveryArguments(ViewArguments, frozen=True, kw_only=True):
    """The options of destinations, which a tail and `replay` have in common as well."""

    forward_to: str | None
    forward_to_typed: bool
    """Whether it is on the command line, which other users can read."""
    forward_headers: tuple[tuple[str, str], ...]
    forward_body: ForwardBody
    forward_secret_file: Path | None
    forward_timeout: float
    forward_retry_for: float | None
    forward_ca_file: str | None
    create_stream: bool
    nats_creds: Path | None
    exec_command: str | None
    exec_timeout: float
    jobs: int | None
    dead_letters: Path | None


class Arguments(DeliveryArguments, frozen=True, kw_only=True):
    """All options of a tail, each already of its type; times in seconds, sizes in bytes.

    The help of an option says what it means.
    Select: `licenses`, `messengers`, `channels` (by full name) and `everything` (--all).
    Output: `meta` and `spool_limit`. Limit: `count` (of lines), `duration` (--for) and `idle`.
    History: `since` (nanoseconds since the epoch), `resume` (the name of the checkpoint),
    `backfill` (unless --no-backfill) and `backfill_wait`.
    Connection: `endpoints` (--ws-url), `app_key`, `api_url`, `ca_file`, `proxy`, `ping_interval`,
    `pong_timeout`, `connect_timeout`, `max_retries` (0 with --no-reconnect), `strict` and
    `sandbox`. Credentials: `token_file` and `profile`.
    Logging: `quiet`, `verbose` (how often it is given) and `log_format`.
    """

    licenses: tuple[int, ...]
    messengers: tuple[str, ...]
    channels: tuple[str, ...]
    count: int | None
    duration: float | None
    idle: float | None
    endpoints: tuple[Endpoint, ...]
    api_url: str
    app_key: str
    ca_file: str | None
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


class View(msgspec.Struct, frozen=True):
    """What to show and how, compiled; `output` is never `auto`."""

    keep_event: KeepEvent
    keep_record: KeepRecord | None
    grep: Grep | None
    output: Output
    template: str | None
    color: ColorMode
    time_style: TimeStyle
    terminal: bool
    """Whether stdout is one."""

    def pipeline(
        self,
        summary: Summary,
        environment: dict[str, str],
        deduplicator: Deduplicator | None = None,
        *,
        times: MessageTimes | None = None,
        track_written: bool = False,
    ) -> Pipeline[bytes]:
        """Return filters and the lines' format joined."""
        return self.pipeline_of(
            self.format(environment),
            summary,
            deduplicator,
            times=times,
            track_written=track_written,
        )

    def pipeline_of(
        self,
        format: Callable[[DecodedEvent, Sequence[Record]], list[L]],  # noqa: A002 - the domain's word
        summary: Summary,
        deduplicator: Deduplicator | None = None,
        *,
        times: MessageTimes | None = None,
        track_written: bool = False,
    ) -> Pipeline[L]:
        """Return filters and a format joined."""
        return Pipeline(
            self.keep_event,
            self.keep_record,
            format,
            summary,
            deduplicator,
            times=times,
            track_written=track_written,
        )

    def format(self, environment: dict[str, str]) -> Format:
        """Return the format; one that is heavy is loaded only now."""
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


def compile_view(arguments: ViewArguments, *, terminal: bool) -> View:
    """Return the filters and the format compiled; UsageError points at what is wrong."""
    grep = compile_grep(arguments.patterns) if arguments.patterns else None
    view = View(
        keep_event=by_event(arguments.events, arguments.excluded_events),
        keep_record=by_record(
            incoming=arguments.incoming,
            outgoing=arguments.outgoing,
            chats=arguments.chats,
            grep=grep,
            grep_not=compile_grep(arguments.excluded_patterns, "--grep-not"),
            where=arguments.where,
        ),
        grep=grep,
        output=_effective_output(arguments.output, terminal),
        template=arguments.template,
        color=arguments.color,
        time_style=arguments.time_style,
        terminal=terminal,
    )
    if view.output is Output.TEMPLATE:
        # A typo in a template is an error now, not when the first event comes.
        view._template()
    return view


def _effective_output(output: Output, terminal: bool) -> Output:
    if output is not Output.AUTO:
        return output
    return Output.PRETTY if terminal else Output.JSON


def _width() -> int:
    from shutil import get_terminal_size  # 2 ms, which JSON in a pipe need not wait for

    return get_terminal_size().columns


class Settings(msgspec.Struct, frozen=True):
    """What will run: the options validated, compiled and grouped by their users."""

    connection: ConnectionSettings
    """Its channels are those known without asking the API."""
    selection: Selection
    """All selected channels; some of them only the API can tell."""
    api_url: str
    """Base URL of ChatApp's HTTP API."""
    token_file: Path | None
    """File with the access token, if one is given."""
    profile: str
    """Name of the stored login."""
    sandbox: bool
    """Whether to start an embedded ChatApp, whose addresses and token replace the given ones."""
    view: View
    """Filters and format."""
    limits: Limits
    """When to stop."""
    meta: bool
    """Whether to write status and gap records."""
    since: int | None
    """Where history starts, in nanoseconds since the epoch."""
    resume: str | None
    """Name of the checkpoint."""
    backfill_wait: float | None
    """Seconds for which live events wait for a gap; None when gaps are not filled."""
    spool_limit: int
    """Bytes buffered on disk at most."""
    destination: "Destination | None"
    """Where events are delivered; None for stdout alone."""
    level: Level
    """Which notices are shown."""
    log_format: LogFormat
    """Whether notices are text or JSON."""


def compile_settings(arguments: Arguments, *, stdout_is_terminal: bool, watched: bool) -> Settings:
    """Return what will run; UsageError says what is missing.

    `watched` tells whether a person reads stderr, where progress is then reported.
    """
    _check_proxies(arguments)
    _check_history(arguments)
    selection = _selection(arguments)
    view = _view(arguments, stdout_is_terminal)
    return Settings(
        connection=_connection(arguments, selection),
        selection=selection,
        api_url=arguments.api_url,
        token_file=arguments.token_file,
        profile=arguments.profile,
        sandbox=arguments.sandbox,
        view=view,
        limits=Limits(count=arguments.count, duration=arguments.duration, idle=arguments.idle),
        meta=arguments.meta,
        since=arguments.since,
        resume=arguments.resume,
        backfill_wait=_backfill_wait(arguments, view),
        spool_limit=arguments.spool_limit,
        destination=_destination(arguments, terminal=stdout_is_terminal),
        level=_level(arguments, watched),
        log_format=arguments.log_format,
    )


def _destination(arguments: Arguments, *, terminal: bool) -> "Destination | None":
    if arguments.forward_to is None and arguments.exec_command is None:
        return None
    from .destination import compile_destination

    return compile_destination(
        arguments, terminal=terminal, resume=arguments.resume, proxy=arguments.proxy
    )


def _check_proxies(arguments: Arguments) -> None:
    api = urlsplit(arguments.api_url)
    servers = [(endpoint.scheme, endpoint.host) for endpoint in arguments.endpoints]
    for scheme, host in (*servers, (api.scheme, api.hostname or "")):
        check_proxy(scheme, host, arguments.proxy)


def _check_history(arguments: Arguments) -> None:
    option = _history_option(arguments)
    if not option:
        return
    if not arguments.backfill:
        raise UsageError(f"{option} and --no-backfill contradict each other")
    if arguments.sandbox:
        raise UsageError(
            f"--sandbox starts over each time, so it has no history for {option}; start it with"
            " chatapp-tail sandbox and tail that"
        )


def _history_option(arguments: Arguments) -> str:
    """Return the option that requests messages from before the start, if one does."""
    if arguments.since is not None:
        return "--since"
    return "--resume" if arguments.resume else ""


def _selection(arguments: Arguments) -> Selection:
    selection = Selection(
        licenses=arguments.licenses,
        messengers=arguments.messengers,
        names=arguments.channels,
        everything=arguments.everything,
    )
    if selection.is_empty:
        raise UsageError(NOTHING_SELECTED)
    return selection


def _view(arguments: Arguments, terminal: bool) -> View:
    if not arguments.meta:
        return compile_view(arguments, terminal=terminal)
    if arguments.output not in (Output.AUTO, Output.JSON):
        raise UsageError(f"--meta adds JSON records, so it needs -o json, not {arguments.output}")
    return compile_view(replace(arguments, output=Output.JSON), terminal=terminal)


def _connection(arguments: Arguments, selection: Selection) -> ConnectionSettings:
    return ConnectionSettings(
        endpoints=arguments.endpoints,
        app_key=arguments.app_key,
        channels=selection.known_channels(),
        ca_file=arguments.ca_file,
        proxy=arguments.proxy,
        connect_timeout=arguments.connect_timeout,
        timing=Timing(ping_interval=arguments.ping_interval, pong_timeout=arguments.pong_timeout),
        max_retries=arguments.max_retries,
        strict=arguments.strict,
    )


def _backfill_wait(arguments: Arguments, view: View) -> float | None:
    """Return how long live events wait for messages of a gap; None when gaps are not filled."""
    if arguments.backfill and view.keep_event("message"):
        return arguments.backfill_wait
    if option := _history_option(arguments):
        raise UsageError(f"{option} fetches only messages, but your filters exclude them all")
    return None


def _level(arguments: Arguments, watched: bool) -> Level:
    if arguments.quiet:
        return Level.QUIET
    if arguments.verbose:
        return Level.TRACE if arguments.verbose > 1 else Level.DEBUG
    # A program that reads JSON notices needs progress as a person does.
    if watched or arguments.log_format is LogFormat.JSON:
        return Level.INFO
    return Level.WARNING
