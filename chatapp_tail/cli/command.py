"""The command line itself: `chatapp-tail [options]` and its other commands."""

import sys
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from ..formats import Output
from .help import GroupedHelp, LazyCommand
from .options import (
    CHECKPOINT,
    COUNT,
    DURATION,
    RETRIES,
    SINCE,
    SIZE,
    access_options,
    channel_option,
    endpoint_options,
    filter_options,
    forward_options,
    is_on_command_line,
    license_options,
    option,
    output_options,
    profile_option,
    resolve_output,
    token_file_option,
    warn_of_password,
    ws_urls,
)
from .params import Choice

if TYPE_CHECKING:
    from ..pusher.connection import Endpoint

LOG_FORMATS = ("text", "json")
"""The values of `notices.LogFormat`, without importing it."""

EXAMPLES = """\
Show the events of ChatApp messengers as they happen: pretty on a terminal, one
JSON object per line in a pipe.

\b
Examples:
  chatapp-tail --license 1229 --messenger telegram --sandbox
      made-up events; needs no account
  CHATAPP_TOKEN='$2y$10$...' chatapp-tail -l 1229 -m telegram
      one messenger of one licence; quote the token, it holds dollar signs
  chatapp-tail -l 1229 -m telegram -e message | jq -r .data.message.text
      the texts of messages, for a script
  chatapp-tail -c company/2224 -c 1229/grWhatsApp -n 10
      channels by name; stop after ten records
"""


@click.group(
    cls=GroupedHelp,
    invoke_without_command=True,
    help=EXAMPLES,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 80,
    },
)
@license_options
@channel_option
@option(
    "--all",
    "everything",
    group="Select",
    is_flag=True,
    help="Every messenger of every licence of the account, and any added later.",
)
@filter_options
@output_options
@forward_options
@option(
    "--meta",
    group="Output",
    is_flag=True,
    help="Also write status and gap records (JSON output only).",
)
@option(
    "--since",
    group="History",
    type=SINCE,
    help="Start in the past: an age (2h) or a date and time (2026-11-22T08:00). History contains"
    " messages only.",
)
@option(
    "--resume",
    group="History",
    type=CHECKPOINT,
    is_flag=False,
    flag_value="default",
    metavar="[NAME]",
    help="Continue where the last run with this name stopped, including messages sent in between.",
)
@option(
    "--backfill-wait",
    group="History",
    type=DURATION,
    default="10s",
    help="How long to hold live events while messages missed in a gap are fetched.",
)
@option(
    "--no-backfill",
    group="History",
    is_flag=True,
    help="Do not fetch missed messages from history.",
)
@option("-n", "--count", group="Limit", type=COUNT, metavar="N", help="Stop after N lines.")
@option(
    "--for",
    "duration",
    group="Limit",
    type=DURATION,
    help="Stop after a time, such as 30s, 5m or 2h; with --count, exit status 124 if the count was"
    " not reached.",
)
@option(
    "--idle",
    group="Limit",
    type=DURATION,
    help="Stop when nothing was printed for this long; with --count, exit status 124 as for --for.",
)
@endpoint_options
@access_options
@option(
    "--ping-interval",
    group="Connection",
    type=DURATION,
    default="15s",
    help="Time between pings; the server may ask for less.",
)
@option(
    "--pong-timeout",
    group="Connection",
    type=DURATION,
    default="10s",
    help="How long an answer to a ping may take before the connection is considered dead.",
)
@option(
    "--connect-timeout",
    group="Connection",
    type=DURATION,
    default="10s",
    help="Timeout of a connection attempt.",
)
@option(
    "--no-reconnect",
    group="Connection",
    is_flag=True,
    help="End with status 4 when the connection fails or is lost.",
)
@option(
    "--max-retries",
    group="Connection",
    type=RETRIES,
    help="End with status 4 after N consecutive failed retries.  [default: retry forever]",
)
@option(
    "--strict",
    group="Connection",
    is_flag=True,
    help="End with status 5 when any channel is refused, or a licence or messenger is not in the"
    " account.",
)
@option(
    "--spool-limit",
    group="Output",
    type=SIZE,
    default="1GiB",
    help="Most data buffered on disk for a slow reader of stdout; beyond it the program ends with"
    " status 7.",
)
@option(
    "--sandbox",
    group="Connection",
    is_flag=True,
    help="Tail an embedded ChatApp with made-up events.",
)
@token_file_option
@profile_option
@option("-q", "--quiet", group="Logging", is_flag=True, help="Print only fatal errors on stderr.")
@option(
    "-v",
    "--verbose",
    group="Logging",
    count=True,
    help="More detail on stderr; -vv also logs every frame, with secrets redacted.",
)
@option(
    "--log-format",
    group="Logging",
    type=Choice(LOG_FORMATS),
    default=LOG_FORMATS[0],
    help="Notices on stderr as text or as one JSON object per line.",
)
@click.version_option(__version__, message="chatapp-tail %(version)s")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int | None:
    """Tail, unless another command is given."""
    if ctx.invoked_subcommand is not None:
        _refuse_options_before(ctx, ctx.invoked_subcommand)
        return None
    return _tail(ctx, **options)


def _refuse_options_before(ctx: click.Context, other: str) -> None:
    """Raise UsageError when options of the tail precede another command, which ignores them."""
    before = [
        param.opts[-1]
        for param in ctx.command.params
        if param.name and is_on_command_line(ctx, param.name)
    ]
    if before:
        raise click.UsageError(
            f"{before[0]} before {other} would do nothing; put the options after it:"
            f" chatapp-tail {other} {before[0]} ..."
        )


def _tail(
    ctx: click.Context,
    *,
    output: Output,
    as_json: bool,
    template: str | None,
    endpoints: tuple["Endpoint", ...],
    no_reconnect: bool,
    no_backfill: bool,
    max_retries: int | None,
    log_format: str,
    **options: Any,
) -> int:
    # What is needed from here on takes three times as long to import as all of --help.
    from ..reporting.notices import LogFormat
    from .config import Arguments, compile_settings

    if no_reconnect and max_retries:
        raise click.UsageError("--no-reconnect and --max-retries contradict each other.")
    arguments = Arguments(
        output=resolve_output(ctx, output, as_json, template),
        template=template,
        endpoints=ws_urls(endpoints),
        backfill=not no_backfill,
        max_retries=0 if no_reconnect else max_retries,
        log_format=LogFormat(log_format),
        **options,
    )
    settings = compile_settings(
        arguments,
        stdout_is_terminal=sys.stdout is not None and sys.stdout.isatty(),
        watched=sys.stderr.isatty(),
    )
    from .run import run

    warn_of_password(ctx, arguments.forward_to)
    return run(settings)


for other in (
    LazyCommand("doctor", "doctor", "Find out why a tail does not work."),
    LazyCommand("lines", "lines", "List licences and messengers."),
    LazyCommand("login", "login", "Log in once; tokens are stored and renewed automatically."),
    LazyCommand("login", "logout", "Forget the stored login."),
    LazyCommand("replay", "replay", "Replay saved records."),
    LazyCommand("sandbox", "sandbox", "Run an embedded ChatApp for testing."),
    LazyCommand("schema", "schema", "Print the JSON Schema of the records."),
):
    command.add_command(other)
