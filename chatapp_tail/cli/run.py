"""Assembles the parts of a tail and runs it."""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from importlib import import_module
from math import inf
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from .. import spool
from ..chatapp.api import Api
from ..chatapp.channels import license_and_messenger, with_short_names
from ..chatapp.license_poller import LicensePoller
from ..chatapp.secret import Secret
from ..chatapp.tokens import StaticToken, TokenSource
from ..errors import ChatAppTailError, DestinationFailed, ExitStatus, OutputError
from ..escape import escape_line
from ..formats.meta import encode_meta
from ..history.checkpoint import Checkpoint
from ..history.setup import BackfillSetup, set_up_backfill
from ..items import Connecting, ConnectionWarning, Gap, Ready, Status, StopCause
from ..pusher.connection import Connection, Endpoint
from ..pusher.transport import import_websocket
from ..redaction import redact
from ..reporting.notices import Level, LogFormat, Notices
from ..reporting.progress import HistoryProgress, ShowProgress
from ..reporting.summary import Summary
from ..reporting.systemd import Notifier
from ..sinks.stdout import Stdout
from ..tail.deadlines import Heartbeat
from ..tail.intake import DirectIntake, Intake, JournaledIntake
from ..tail.line_writer import LineWriter, count_of_events
from ..tail.loop import End, Listener, OpenOutput, Tail
from ..tail.output import Output
from ..tail.pipeline import Pipeline
from ..threads import Waker
from .access import connect_api
from .config import Settings
from .process import STDERR_TIMEOUT, one_line, open_stderr
from .signals import interrupted_by_signals
from .stderr import StderrWriter

if TYPE_CHECKING:
    from ..tail.delivery_report import DeliveryReport
    from .destination import Destination

_IMPORT_DELAY = 3.0
"""Seconds after all channels are ready at which the modules below are imported."""
_NEEDED_LATER = (
    "chatapp_tail.history.reader",
    "chatapp_tail.history.rate_limit",
    "chatapp_tail.history.recovery",
    "filelock",
)

_SET_BACK = (
    "the clock was set back since the last run, so nobody knows when that ended; history is read"
    " from the newest message on, and messages may come twice"
)


def run(settings: Settings) -> ExitStatus:
    """Tail until the end; return the exit status, having printed the reason where there is one."""
    stderr = open_stderr()
    notices = Notices(stderr.write, settings.level, settings.log_format)
    stderr.line_of = notices.warning_line
    try:
        return _run(settings, notices, stderr)
    except ChatAppTailError as error:
        notices.end(one_line(error), error.exit_status)
        return error.exit_status
    finally:
        stderr.finish(STDERR_TIMEOUT)
        stderr.close()


def _run(settings: Settings, notices: Notices, stderr: StderrWriter) -> ExitStatus:
    with ExitStack() as stack:
        checkpoint = None
        if settings.resume:
            checkpoint = stack.enter_context(closing(Checkpoint(settings.resume)))
        token: TokenSource | None = None
        if settings.sandbox:
            settings, token = _with_sandbox(settings, stack)
        _, api, _ = connect_api(
            settings.api_url,
            ca_file=settings.connection.ca_file,
            proxy=settings.connection.proxy,
            token_file=settings.token_file,
            profile=settings.profile,
            source=token,
            endpoints=settings.connection.endpoints,
            warn=notices.warn,
        )
        if settings.selection.needs_licenses:
            from .lookup import with_channels  # 1 ms, only for those who need it

            settings = with_channels(settings, lambda: api.licenses(retry=False), notices.say)
        systemd = Notifier(os.environ)
        stack.callback(systemd.stopping)
        tail, say_summary = _assemble(settings, api, notices, systemd, checkpoint, stderr.retry)

        def say_stuck() -> None:
            # The journal, which knows how many there are, is for the thread that hangs.
            left = "" if tail.keeps else f"at least {tail.events_left:,} "
            reason = f"ended with {left}events not written: a write or a read hangs"
            notices.end(reason, ExitStatus.OUTPUT_FAILED)

        received = stack.enter_context(interrupted_by_signals(tail, say_stuck))
        end = _end_of(tail)
        if not end.reader_gone and settings.level >= Level.INFO:
            say_summary()
        if end.reason:
            status = 128 + received[0] if received else end.status
            notices.end(_explain(end, settings.connection.channels), status)
        return end.status


def _end_of(tail: Tail) -> End:
    """Run a tail; an output failure becomes an End too, so that a signal does not hide it."""
    try:
        return tail.run()
    except OutputError as error:
        return End(error.exit_status, reason=str(error))
    except DestinationFailed as error:
        return End(error.exit_status, reason=f"{error}; {_fate(tail)}")


def _fate(tail: Tail) -> str:
    """Return what becomes of the events that a destination did not acknowledge."""
    events = count_of_events(tail.undelivered)
    if tail.keeps:
        return f"{events} kept for the next run with this --resume name"
    return f"at least {events} not delivered"


def _assemble(
    settings: Settings,
    api: Api,
    notices: Notices,
    systemd: Notifier,
    checkpoint: Checkpoint | None,
    retry_notices: Callable[[], float],
) -> tuple[Tail, Callable[[], None]]:
    """Return the tail, and a function that prints the summary."""
    summary = Summary()
    alarm = Waker()
    reader = settings.destination.name if settings.destination else "the reader of stdout"
    queue = spool.Spool(settings.spool_limit, alarm, reader=reader)
    filling = set_up_backfill(
        settings.connection.channels,
        api,
        alarm,
        checkpoint,
        since=settings.since,
        everything=settings.selection.everything,
        wait=settings.backfill_wait,
    )
    if checkpoint and checkpoint.set_back and filling.backfill:
        notices.say(ConnectionWarning(time.time_ns(), _SET_BACK))
    progress = _progress_of(filling, settings, notices)
    connection = Connection(
        settings.connection,
        api.authorise,
        queue.put,
        watch=filling.backfill.watch if filling.backfill else lambda _: None,
        start_positions=filling.start_positions,
        trace=settings.level >= Level.TRACE,
    )
    if settings.selection.everything:
        LicensePoller(api, settings.selection, connection, queue.put).start()

    report = None
    if destination := settings.destination:
        for warning in destination.warnings:
            notices.warn(warning)
        report = destination.report(notices.inform, details=settings.level >= Level.DEBUG)
        pipeline, open_output = _to_destination(
            destination, settings, summary, filling, checkpoint, report
        )
    else:
        pipeline, open_output = _to_stdout(settings, summary, filling, checkpoint)

    def say_summary() -> None:
        sentence, figures = summary.sentence(queue.peak), summary.figures(queue.peak)
        if report:
            sentence, figures = f"{sentence}; {report.sentence()}", figures | report.figures()
        notices.summary(sentence, figures)

    intake: Intake = DirectIntake(queue)
    if checkpoint:
        intake = JournaledIntake(queue, checkpoint, settings.spool_limit)
    tail = Tail(
        connection,
        intake,
        alarm,
        pipeline=pipeline,
        listeners=[notices.say, summary.note, systemd.say, _importing_ahead(api)],
        meta=encode_meta if settings.meta else None,
        limits=settings.limits,
        open_output=open_output,
        heartbeat=Heartbeat(systemd.interval, systemd.beat) if systemd.interval else None,
        on_request=say_summary,
        backfill=filling.backfill,
        progress=lambda held: min(progress(held), retry_notices()),
        checkpoint=checkpoint,
    )
    return tail, say_summary


def _to_stdout(
    settings: Settings,
    summary: Summary,
    filling: BackfillSetup,
    checkpoint: Checkpoint | None,
) -> tuple[Pipeline[Any], OpenOutput]:
    """Return what makes lines, and what writes them."""
    pipeline = settings.view.pipeline(
        summary,
        dict(os.environ),
        filling.deduplicator,
        times=filling.times,
        track_written=checkpoint is not None,
    )

    def open_output(wait: Callable[[], bool]) -> Output[Any]:
        stdout = Stdout(sys.stdout.fileno(), resumed=checkpoint is not None)
        count = settings.limits.count
        return LineWriter(stdout, pipeline, checkpoint, count=count, wait_for_room=wait)

    return pipeline, open_output


def _to_destination(
    destination: "Destination",
    settings: Settings,
    summary: Summary,
    filling: BackfillSetup,
    checkpoint: Checkpoint | None,
    report: "DeliveryReport",
) -> tuple[Pipeline[Any], OpenOutput]:
    """Return what makes deliveries, and what gives them to the destination."""
    view = settings.view
    make = destination.format(lambda: view.format(dict(os.environ)))
    pipeline: Pipeline[Any] = view.pipeline_of(
        make, summary, filling.deduplicator, times=filling.times
    )

    def open_output(wait: Callable[[], bool]) -> Output[Any]:
        lines = None
        if destination.shows:
            stdout = Stdout(sys.stdout.fileno(), resumed=False)
            lines = LineWriter(stdout, pipeline, None, count=None, wait_for_room=wait)
        return destination.open_forwarder(
            make,
            checkpoint,
            report,
            stdout=lines,
            count=settings.limits.count,
            wait_for_room=wait,
        )

    return pipeline, open_output


def _progress_of(filling: BackfillSetup, settings: Settings, notices: Notices) -> ShowProgress:
    """Return a function that shows how far history is read, if gaps are filled."""
    if filling.reader is None:
        return lambda _: inf
    with_bar = sys.stderr.isatty() and settings.log_format is LogFormat.TEXT
    bar = with_bar and settings.level > Level.QUIET
    return HistoryProgress(filling.reader, notices.say, bar=bar)


def _importing_ahead(api: Api) -> Listener:
    """Return a listener that imports modules while the program would only wait.

    During the first dial, 15 ms of CPU, and 70 with requests for a proxy, fit beside DNS, TCP and
    TLS. Modules for gaps, renewals and the end follow some seconds after all channels are ready, so
    that they delay neither the first events nor a short run.
    """
    later = threading.Timer(_IMPORT_DELAY, _import_all, (api,))
    later.daemon = True

    def listen(status: Status | Gap) -> None:
        if isinstance(status, Connecting):
            import_websocket()
            api.prepare()
        elif isinstance(status, Ready):
            spool.import_tempfile()
            if not later.ident:
                later.start()

    return listen


def _import_all(api: Api) -> None:
    """Import the modules that a gap, a renewal and the end of a long run need.

    Later an upgrade may have replaced them, or no descriptor may be left to read them. A failure
    here is ignored; the code that needs the module reports it.
    """
    with suppress(ImportError, OSError):
        api.prepare_all()
        for module in (*_NEEDED_LATER, *(("rich.progress",) if sys.stderr.isatty() else ())):
            import_module(module)


def _with_sandbox(settings: Settings, stack: ExitStack) -> tuple[Settings, TokenSource]:
    from .sandbox import RATE_INSIDE, open_sandbox

    sandbox = stack.enter_context(open_sandbox(rate=RATE_INSIDE))
    connection = replace(
        settings.connection,
        endpoints=(Endpoint.parse(sandbox.ws_url),),
        app_key=sandbox.app_key,
        ca_file=None,
        proxy=None,
    )
    inside = replace(settings, connection=connection, api_url=sandbox.api_url)
    return inside, StaticToken(Secret(sandbox.token))


def _explain(end: End, channels: Sequence[str]) -> str:
    """Return the last line: the attempt, its result and the next step."""
    reason = with_short_names(escape_line(redact(end.reason)), channels)
    match end.cause:
        case StopCause.CREDENTIALS:
            return reason
        case StopCause.CHANNELS_REFUSED:
            return f"{reason}; {_advice_for_refused(channels)}, and whose token it is"
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


def _advice_for_refused(channels: Sequence[str]) -> str:
    if any(None in license_and_messenger(channel) for channel in channels):
        return "check the name of the channel"
    return "check licence and messenger type (case matters)"
