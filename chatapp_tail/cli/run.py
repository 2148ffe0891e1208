"""Joins the parts of a tail and runs it."""

import os
import shutil
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import Literal, assert_never

from .. import spool
from ..chatapp.api import Api
from ..chatapp.tokens import Secret, advice_when_refused
from ..errors import ChatAppTailError, ExitStatus, OutputError
from ..formats import Format, Output
from ..formats.escape import escape_line
from ..formats.meta import encode_meta
from ..notices import Level, Notices
from ..pusher.connection import Connection
from ..pusher.items import StopCause
from ..systemd import Notifier
from ..tail import End, Heartbeat, Tail
from ..waker import Waker
from .process import interrupted_by_signals, write_line
from .redaction import redact
from .settings import Settings


def run(settings: Settings) -> ExitStatus:
    """Tail until the end; returns the exit status, having said why where that helps."""
    notices = Notices(write_line, settings.level, settings.log_format)
    try:
        return _run(settings, notices)
    except ChatAppTailError as error:
        notices.end(str(error), error.exit_status)
        return error.exit_status


def _run(settings: Settings, notices: Notices) -> ExitStatus:
    if sys.stdout is None:
        raise OutputError("stdout is closed; give it a file, a pipe or a terminal")
    with ExitStack() as stack:
        if settings.token is None:
            settings = _with_sandbox(settings, stack)
        assert settings.token is not None
        tail = _assemble(settings, settings.token, notices)
        stack.enter_context(interrupted_by_signals(tail))
        end = tail.run()
        if end.cause:
            notices.end(_explain(end, settings.token), end.status)
        return end.status


def _assemble(settings: Settings, token: Secret, notices: Notices) -> Tail:
    def trace(direction: str, text: str) -> None:
        notices.frame(direction, redact(text))

    alarm = Waker()
    queue = spool.Spool(settings.spool_limit, alarm)
    wanted = settings.connection
    api = Api(settings.api_url, token, ca_file=wanted.ca_file, proxy=wanted.proxy)
    traced = settings.level >= Level.FRAMES
    systemd = Notifier(os.environ)
    return Tail(
        Connection(wanted, api.authorise, queue.put, trace if traced else None),
        queue,
        alarm,
        keep_event=settings.keep_event,
        format=_format(settings.output),
        listeners=[notices.say, systemd.say],
        meta=encode_meta if settings.meta else None,
        limits=settings.limits,
        stdout=sys.stdout.fileno(),
        heartbeat=Heartbeat(systemd.interval, systemd.beat) if systemd.interval else None,
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


def _with_sandbox(settings: Settings, stack: ExitStack) -> Settings:
    from .sandbox import RATE_INSIDE, open_sandbox

    sandbox = stack.enter_context(open_sandbox(rate=RATE_INSIDE))
    connection = replace(
        settings.connection,
        endpoints=sandbox.endpoints,
        app_key=sandbox.app_key,
        ca_file=None,
        proxy=None,
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
