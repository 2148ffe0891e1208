"""Joins the parts of a tail and runs it."""

import shutil
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import Literal, assert_never

from .. import spool
from ..chatapp.api import Api
from ..chatapp.tokens import Secret, advice_when_refused
from ..errors import ExitStatus, OutputError
from ..formats import Format, Output
from ..formats.escape import escape_line
from ..notices import Level, Notices
from ..pusher.connection import Connection
from ..pusher.items import StopCause
from ..tail import End, Tail
from ..waker import Waker
from .process import complain, interrupted_by_signals
from .redaction import redact
from .settings import Settings

_SPOOL_LIMIT = 1024**3


def run(settings: Settings) -> ExitStatus:
    """Tail until the end; returns the exit status, having said why where that helps."""
    if sys.stdout is None:
        raise OutputError("stdout is closed; give it a file, a pipe or a terminal")
    with ExitStack() as stack:
        if settings.token is None:
            settings = _with_sandbox(settings, stack)
        assert settings.token is not None
        tail = _assemble(settings, settings.token)
        stack.enter_context(interrupted_by_signals(tail))
        end = tail.run()
        if end.cause:
            complain(_explain(end, settings.token))
        return end.status


def _assemble(settings: Settings, token: Secret) -> Tail:
    alarm = Waker()
    queue = spool.Spool(_SPOOL_LIMIT, alarm)
    api = Api(settings.api_url, token, settings.connection.ca_file)
    trace = _trace if settings.level >= Level.FRAMES else None
    return Tail(
        Connection(settings.connection, api.authorise, queue.put, trace),
        queue,
        alarm,
        keep_event=settings.keep_event,
        format=_format(settings.output),
        notices=Notices(complain, settings.level),
        limits=settings.limits,
        stdout=sys.stdout.fileno(),
    )


def _format(output: Output) -> Format:
    match output:
        case Output.JSON:
            from ..formats.ndjson import format_ndjson

            return format_ndjson
        case Output.RAW:
            from ..formats.raw import format_raw

            return format_raw
        case Output.PRETTY:
            from ..formats.pretty import Pretty

            return Pretty(
                width=lambda: shutil.get_terminal_size().columns,
                color_system=_color_system(),
                encoding=sys.stdout.encoding,
            )
        case Output.AUTO:
            raise AssertionError("auto is resolved when settings are compiled")
        case _:
            assert_never(output)


def _color_system() -> Literal["standard", "256", "truecolor"] | None:
    from rich.console import Console

    match Console(file=sys.stdout).color_system:
        case "standard" | "256" | "truecolor" as known:
            return known
        case _:
            return None


def _trace(direction: str, text: str) -> None:
    complain(f"{direction} {escape_line(redact(text))}")


def _with_sandbox(settings: Settings, stack: ExitStack) -> Settings:
    from .sandbox import RATE_INSIDE, open_sandbox

    sandbox = stack.enter_context(open_sandbox(rate=RATE_INSIDE))
    connection = replace(
        settings.connection, endpoints=sandbox.endpoints, app_key=sandbox.app_key, ca_file=None
    )
    return replace(
        settings, connection=connection, api_url=sandbox.api_url, token=Secret(sandbox.token)
    )


def _explain(end: End, token: Secret) -> str:
    """Return the last line: what was tried, what came back, what to do next."""
    reason = escape_line(end.reason)
    match end.cause:
        case StopCause.CREDENTIALS:
            return f"the token is refused: {reason}; {advice_when_refused(token)}"
        case StopCause.CHANNELS_REFUSED:
            return (
                f"{reason}; check licence and messenger type (case matters), and whose token it is"
            )
        case StopCause.SERVER_REFUSED:
            return f"the server refused the connection: {reason}; check --app-key and --ws-url"
        case StopCause.UNREACHABLE:
            return f"gave up on {reason}; check --ws-url and the network"
        case StopCause.BUG:
            return f"a bug in chatapp-tail, please report it:\n{end.reason}"
        case _:
            return reason
