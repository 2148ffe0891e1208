"""What was typed → what will run: everything validated and compiled, no network yet."""

from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from ..chatapp.selection import Selection
from ..errors import UsageError
from ..formats import Output
from ..net import Proxy
from ..pusher.connection import Endpoint, Timing
from ..pusher.connection import Settings as ConnectionSettings
from ..reporting.notices import Level, LogFormat
from ..tail.loop import Limits
from .access import check_proxy
from .showing import Showing, TypedShowing, compile_showing

NOTHING_SELECTED = """nothing is selected; choose what to tail:
  chatapp-tail --license 1229 --messenger telegram    one messenger of one licence
  chatapp-tail --channel company/2224                 a channel by its name
  chatapp-tail --all                                  every messenger of every licence
(to try it without an account: chatapp-tail --sandbox --license 1229 --messenger telegram)"""


class Typed(msgspec.Struct, frozen=True):
    """The options as click hands them over, each already of its type."""

    licenses: tuple[int, ...]
    messengers: tuple[str, ...]
    channels: tuple[str, ...]
    showing: TypedShowing
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
    showing: Showing
    limits: Limits
    meta: bool
    since: int | None
    resume: str | None
    backfill_wait: float | None
    spool_limit: int
    level: Level
    log_format: LogFormat


def compile_settings(typed: Typed, *, stdout_is_terminal: bool, watched: bool) -> Settings:
    """Return what will run; UsageError says what is missing.

    `watched` tells whether a person sees stderr, and so whether progress is worth saying.
    """
    _check_proxies(typed)
    _check_history(typed)
    selection = Selection(typed.licenses, typed.messengers, typed.channels, typed.everything)
    if selection.is_empty:
        raise UsageError(NOTHING_SELECTED)
    showing = _showing(typed, stdout_is_terminal)
    fills = typed.backfill and showing.keep_event("message")
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
        showing=showing,
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


def _check_proxies(typed: Typed) -> None:
    api = urlsplit(typed.api_url)
    places = [(each.scheme, each.host) for each in typed.endpoints]
    for scheme, host in (*places, (api.scheme, api.hostname or "")):
        check_proxy(scheme, host, typed.proxy)


def _wanted_history(typed: Typed) -> str:
    """Return the option that asks for what was before the start, if one does."""
    if typed.since is not None:
        return "--since"
    return "--resume" if typed.resume else ""


def _check_history(typed: Typed) -> None:
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


def _showing(typed: Typed, terminal: bool) -> Showing:
    asked = typed.showing
    if typed.meta and asked.output not in (Output.AUTO, Output.JSON):
        raise UsageError(f"--meta adds JSON records, so it needs -o json, not {asked.output}")
    if typed.meta:
        asked = replace(asked, output=Output.JSON)
    return compile_showing(asked, terminal=terminal)


def _level(typed: Typed, watched: bool) -> Level:
    if typed.quiet:
        return Level.QUIET
    if typed.verbose:
        return Level.FRAMES if typed.verbose > 1 else Level.DETAIL
    return Level.PROGRESS if watched else Level.TROUBLE
