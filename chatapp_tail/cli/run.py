"""Joins the parts of a tail and runs it."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

from msgspec.structs import replace

from .. import spool
from ..chatapp.api import Api
from ..chatapp.channels import short_name
from ..chatapp.lines_cache import remember_lines
from ..chatapp.secret import Secret
from ..chatapp.tokens import GivenToken, TokenSource
from ..checkpoint import Checkpoint
from ..errors import ChannelsError, ChatAppTailError, ExitStatus
from ..formats.escape import escape_line
from ..formats.meta import encode_meta
from ..notices import Level, Notices
from ..pusher.connection import Connection
from ..pusher.items import Connecting, Gap, Ready, Status, StopCause
from ..pusher.link import import_websocket
from ..summary import Summary
from ..systemd import Notifier
from ..tail import End, Heartbeat, Listener, Tail
from ..waker import Waker
from .access import open_access
from .filling import open_filling
from .line_watch import LineWatch
from .process import interrupted_by_signals, write_line
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
    with ExitStack() as stack:
        checkpoint = None
        if settings.resume:
            checkpoint = stack.enter_context(closing(Checkpoint(settings.resume)))
        token: TokenSource | None = None
        if settings.sandbox:
            settings, token = _with_sandbox(settings, stack)
        _, api, _ = open_access(
            settings.api_url,
            ca_file=settings.connection.ca_file,
            proxy=settings.connection.proxy,
            token_file=settings.token_file,
            profile=settings.profile,
            source=token,
        )
        if settings.selection.needs_licenses:
            settings = _with_channels(settings, api)
        systemd = Notifier(os.environ)
        stack.callback(systemd.stopping)
        tail, say_summary = _assemble(settings, api, notices, systemd, checkpoint)
        stack.enter_context(interrupted_by_signals(tail))
        end = tail.run()
        if not end.reader_gone and settings.level >= Level.PROGRESS:
            say_summary()
        if end.cause:
            notices.end(_explain(end, settings.connection.channels), end.status)
        return end.status


def _with_channels(settings: Settings, api: Api) -> Settings:
    """Look up what was meant by a licence or a messenger alone, or by --all."""
    licenses = api.licenses()
    if not settings.sandbox:
        remember_lines(licenses)
    channels = settings.selection.channels(licenses)
    if not channels:
        raise ChannelsError(settings.selection.explain_nothing(licenses))
    return replace(settings, connection=replace(settings.connection, channels=channels))


def _assemble(
    settings: Settings,
    api: Api,
    notices: Notices,
    systemd: Notifier,
    checkpoint: Checkpoint | None,
) -> tuple[Tail, Callable[[], None]]:
    """Return the tail, and what says how it went: when asked by a signal, and at the end."""
    summary = Summary()
    alarm = Waker()
    queue = spool.Spool(settings.spool_limit, alarm)
    filling = open_filling(settings, api, alarm, checkpoint, notices.say)
    connection = Connection(
        settings.connection,
        api.authorise,
        filling.before(queue.put),
        uncovered=filling.uncovered,
        trace=settings.level >= Level.FRAMES,
    )
    if settings.selection.everything:
        LineWatch(api, settings.selection, connection, queue.put).start()

    def say_summary() -> None:
        notices.summary(summary.sentence(queue.peak), summary.figures(queue.peak))

    tail = Tail(
        connection,
        queue,
        alarm,
        pipeline=settings.showing.pipeline(
            summary,
            dict(os.environ),
            filling.doubles,
            times=filling.times,
            collects=checkpoint is not None,
        ),
        listeners=[notices.say, summary.note, systemd.say, _importing_ahead(api)],
        meta=encode_meta if settings.meta else None,
        limits=settings.limits,
        stdout=sys.stdout.fileno(),
        heartbeat=Heartbeat(systemd.interval, systemd.beat) if systemd.interval else None,
        on_request=say_summary,
        backfill=filling.backfill,
        progress=filling.progress,
        checkpoint=checkpoint,
    )
    return tail, say_summary


def _importing_ahead(api: Api) -> Listener:
    """Return what imports, while the first dial waits for the network, what comes after it.

    15 ms of CPU, and 70 when requests is needed, that DNS, TCP and TLS leave time for. And once
    all is ready, what only a hard time needs.
    """

    def listen(status: Status | Gap) -> None:
        if isinstance(status, Connecting):
            import_websocket()
            api.prepare()
        elif isinstance(status, Ready):
            spool.import_tempfile()

    return listen


def _with_sandbox(settings: Settings, stack: ExitStack) -> tuple[Settings, TokenSource]:
    from .sandbox import RATE_INSIDE, open_sandbox

    sandbox = stack.enter_context(open_sandbox(rate=RATE_INSIDE))
    connection = replace(
        settings.connection,
        endpoints=sandbox.endpoints,
        app_key=sandbox.app_key,
        ca_file=None,
        proxy=None,
    )
    inside = replace(settings, connection=connection, api_url=sandbox.api_url)
    return inside, GivenToken(Secret(sandbox.token))


def _explain(end: End, channels: Sequence[str]) -> str:
    """Return the last line: what was tried, what came back, what to do next."""
    reason = escape_line(end.reason)
    for channel in channels:
        reason = reason.replace(channel, short_name(channel))
    match end.cause:
        case StopCause.CREDENTIALS:
            return reason
        case StopCause.CHANNELS_REFUSED:
            return (
                f"{reason}; check licence and messenger type (case matters), and whose token it is"
            )
        case StopCause.SERVER_REFUSED:
            return f"the server refused the connection: {reason}; check --app-key and --ws-url"
        case StopCause.UNREACHABLE:
            return f"gave up on {reason}; check --ws-url and the network"
        case StopCause.UNTRUSTED:
            return f"{reason}; if you trust its authority, name it with --ca-file"
        case StopCause.BUG:
            return f"a bug in chatapp-tail, please report it:\n{end.reason}"
        case _:
            return reason
