"""What was typed → what will run: everything validated and compiled, no network yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..chatapp import channels
from ..chatapp.tokens import Secret, load_token
from ..errors import UsageError
from ..filters import KeepEvent, by_event
from ..formats import Output
from ..notices import Level, LogFormat
from ..proxies import Proxy
from ..pusher.connection import Endpoint, Timing
from ..pusher.connection import Settings as ConnectionSettings
from ..tail import Limits

NOTHING_SELECTED = """nothing is selected; choose what to tail:
  chatapp-tail --license 1229 --messenger telegram    one messenger of one licence
  chatapp-tail --channel company/2224                 a channel by its name
  chatapp-tail --sandbox --license 1229 --messenger telegram    made-up events, no account"""


@dataclass(frozen=True, slots=True)
class Typed:
    """The options as click hands them over, each already of its type."""

    licenses: tuple[int, ...]
    messengers: tuple[str, ...]
    channels: tuple[str, ...]
    events: tuple[str, ...]
    excluded_events: tuple[str, ...]
    count: int | None
    duration: float | None
    output: Output
    endpoints: tuple[Endpoint, ...]
    api_url: str
    app_key: str
    ca_file: Path | None
    token_file: Path | None
    sandbox: bool
    proxy: Proxy | None
    ping_interval: float
    pong_timeout: float
    connect_timeout: float
    max_retries: int | None
    strict: bool
    spool_limit: int
    meta: bool
    quiet: bool
    verbose: int
    log_format: LogFormat


@dataclass(frozen=True, slots=True)
class Settings:
    """What will run. `token` is None only with the sandbox, which has its own."""

    connection: ConnectionSettings
    api_url: str
    token: Secret | None
    keep_event: KeepEvent
    limits: Limits
    output: Output
    meta: bool
    spool_limit: int
    level: Level
    log_format: LogFormat


def compile_settings(
    typed: Typed, environment: Mapping[str, str], *, stdout_is_terminal: bool, watched: bool
) -> Settings:
    """Return what will run; UsageError or CredentialsError says what is missing.

    `watched` tells whether a person sees stderr, and so whether progress is worth saying.
    """
    return Settings(
        connection=ConnectionSettings(
            endpoints=typed.endpoints,
            app_key=typed.app_key,
            channels=_selected(typed),
            ca_file=str(typed.ca_file) if typed.ca_file else None,
            proxy=typed.proxy,
            connect_timeout=typed.connect_timeout,
            timing=Timing(typed.ping_interval, typed.pong_timeout),
            max_retries=typed.max_retries,
            strict=typed.strict,
        ),
        api_url=typed.api_url,
        token=None if typed.sandbox else load_token(typed.token_file, environment),
        keep_event=by_event(typed.events, typed.excluded_events),
        limits=Limits(typed.count, typed.duration),
        output=_output(typed, stdout_is_terminal),
        meta=typed.meta,
        spool_limit=typed.spool_limit,
        # A program that reads NDJSON on stderr wants to know of progress as much as a person.
        level=_level(typed, watched or typed.log_format is LogFormat.JSON),
        log_format=typed.log_format,
    )


def _selected(typed: Typed) -> tuple[str, ...]:
    if not (typed.licenses or typed.messengers or typed.channels):
        raise UsageError(NOTHING_SELECTED)
    if typed.licenses and not typed.messengers:
        raise UsageError("--license needs --messenger too, such as --messenger telegram")
    if typed.messengers and not typed.licenses:
        raise UsageError("--messenger needs --license too, such as --license 1229")
    return channels.select(typed.licenses, typed.messengers, typed.channels)


def _output(typed: Typed, stdout_is_terminal: bool) -> Output:
    if typed.output is not Output.AUTO:
        if typed.meta and typed.output is not Output.JSON:
            raise UsageError(f"--meta adds JSON records, so it needs -o json, not {typed.output}")
        return typed.output
    return Output.PRETTY if stdout_is_terminal and not typed.meta else Output.JSON


def _level(typed: Typed, watched: bool) -> Level:
    if typed.quiet:
        return Level.QUIET
    if typed.verbose:
        return Level.FRAMES if typed.verbose > 1 else Level.DETAIL
    return Level.PROGRESS if watched else Level.TROUBLE
