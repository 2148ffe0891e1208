"""How an option is declared, and the options of several commands; the tail's own: `command.py`."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from ..chatapp.channels import EXAMPLES as CHANNEL_EXAMPLES
from ..chatapp.channels import parse_channel, parse_messenger
from ..formats import Output, TimeStyle
from ..formats.colors import ColorMode
from .help import GroupedOption
from .params import (
    EnumChoice,
    ParsedType,
    Text,
    parse_app_key,
    parse_ca_file,
    parse_checkpoint,
    parse_count,
    parse_duration,
    parse_factor,
    parse_forward_url,
    parse_header,
    parse_http_url,
    parse_jobs,
    parse_license,
    parse_profile,
    parse_proxy,
    parse_retries,
    parse_retry_for,
    parse_since,
    parse_size,
    parse_ws_url,
)

if TYPE_CHECKING:
    from ..pusher.connection import Endpoint

F = TypeVar("F", bound=Callable[..., Any])


class ForwardBody(StrEnum):
    """The values of `--forward-body`."""

    WEBHOOK = "webhook"
    RECORD = "record"


WS_URLS = ("wss://socket.chatapp.online:6001", "wss://api.chatapp.online:6001")
API_URL = "https://api.chatapp.online"
APP_KEY = "ChatsAppApiProdKey"

DURATION = ParsedType("duration", parse_duration)
SINCE = ParsedType("time", parse_since)
CHECKPOINT = ParsedType("name", parse_checkpoint)
SIZE = ParsedType("size", parse_size)
SPEED = ParsedType("factor", parse_factor)
TEXT = Text("text", str)
COUNT = ParsedType("n", parse_count)
RETRIES = ParsedType("n", parse_retries)


def option(
    *names: str,
    group: str | None = None,
    of: str | None = None,
    also_from: str | None = None,
    **settings: Any,
) -> Callable[[F], F]:
    """Declare an option that is also read from CHATAPP_TAIL_... (and from `also_from`).

    `group` is its heading in the help of the tail. The variable of an option of another command
    has the name of that command, `of`, in it. The help shows a `default`.
    """
    long = next(name for name in names if name.startswith("--"))
    path = f"{of}-{long[2:]}" if of else long[2:]
    variable = "CHATAPP_TAIL_" + path.upper().replace("-", "_")
    variables = [variable, also_from] if also_from else [variable]
    settings.setdefault("show_default", "default" in settings)
    return click.option(*names, cls=GroupedOption, group=group, envvar=variables, **settings)


def _all(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that adds options, in this order."""

    def add(command: F) -> F:
        for add_option in reversed(options):
            command = add_option(command)
        return command

    return add


def is_on_command_line(ctx: click.Context, name: str) -> bool:
    """Return whether a parameter was given on the command line, not by a variable."""
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def resolve_output(
    ctx: click.Context, output: Output, as_json: bool, template: str | None
) -> Output:
    """Return the effective output; the command line takes precedence over variables."""
    given = ["as_json"] * as_json + ["template"] * (template is not None)
    names = [name for name in given if is_on_command_line(ctx, name)]
    if not names and not is_on_command_line(ctx, "output"):
        names = given
    if len(names) > 1:
        raise click.UsageError("--json and --format contradict each other.")
    if names:
        return _with_output(ctx, output, names[0])
    if output is Output.TEMPLATE and template is None:
        raise click.UsageError("-o template needs a --format.")
    return output


def _with_output(ctx: click.Context, output: Output, name: str) -> Output:
    """Return what --json or --format means beside --output."""
    meant = Output.JSON if name == "as_json" else Output.TEMPLATE
    if is_on_command_line(ctx, "output") and output not in (Output.AUTO, meant):
        flag = "--json" if meant is Output.JSON else "--format"
        raise click.UsageError(f"{flag} and --output {output} contradict each other.")
    return meant


def ws_urls(given: tuple["Endpoint", ...]) -> tuple["Endpoint", ...]:
    """Return the endpoints given, else the service's own."""
    return given or tuple(map(parse_ws_url, WS_URLS))


access_options = _all(
    option(
        "--api-url",
        group="Connection",
        also_from="CHATAPP_API_URL",
        type=ParsedType("url", parse_http_url),
        default=API_URL,
        help="ChatApp's HTTP API, which signs subscriptions.",
    ),
    option(
        "--ca-file",
        group="Connection",
        type=ParsedType("file", parse_ca_file),
        help="Trust the certificate authorities in this PEM file, and no others.",
    ),
    option(
        "--proxy",
        group="Connection",
        type=ParsedType("url", parse_proxy, shown=False),
        help="Go through a proxy, http://, socks5:// or socks5h://[user:password@]host[:port];"
        " hosts in NO_PROXY bypass the proxy.  [default: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY]",
    ),
)
"""Options of commands that use the API."""

endpoint_options = _all(
    option(
        "--ws-url",
        "endpoints",
        group="Connection",
        type=ParsedType("url", parse_ws_url),
        multiple=True,
        also_from="CHATAPP_WS_URL",
        help="Pusher server, as ws[s]://host:port[/prefix]; may be repeated, and then each is tried"
        f" in turn.  [default: {WS_URLS[0]}, then {WS_URLS[1]}]",
    ),
    option(
        "--app-key",
        group="Connection",
        type=ParsedType("key", parse_app_key),
        default=APP_KEY,
        also_from="CHATAPP_APP_KEY",
        help="Key of the Pusher app.",
    ),
)
"""Options of commands that connect to the Pusher server."""
license_options = _all(
    option(
        "-l",
        "--license",
        "licenses",
        group="Select",
        type=ParsedType("n", parse_license),
        multiple=True,
        help="Licence to tail; may be repeated.",
    ),
    option(
        "-m",
        "--messenger",
        "messengers",
        group="Select",
        type=ParsedType("type", parse_messenger),
        multiple=True,
        help="Messenger type, such as telegram or grWhatsApp; may be repeated. All combinations"
        " with the licences are tailed; if only one of the two is given, all of the other.",
    ),
)
"""Options that choose licences and messengers."""

filter_options = _all(
    option(
        "-e",
        "--event",
        "events",
        group="Filter",
        multiple=True,
        metavar="NAME",
        help="Only events of this name (message, messageStatus, chatTag, ...); may be repeated.",
    ),
    option(
        "-E",
        "--exclude-event",
        "excluded_events",
        group="Filter",
        multiple=True,
        metavar="NAME",
        help="Hide events of this name; may be repeated.",
    ),
    option(
        "--incoming",
        group="Filter",
        is_flag=True,
        help="Hide outgoing messages; events that are not messages are still shown.",
    ),
    option(
        "--outgoing",
        group="Filter",
        is_flag=True,
        help="Hide incoming messages; events that are not messages are still shown.",
    ),
    option(
        "--chat",
        "chats",
        group="Filter",
        type=TEXT,
        multiple=True,
        metavar="ID",
        help="Only this chat: its id, hash, phone, username or name; may be repeated.",
    ),
    option(
        "-g",
        "--grep",
        "patterns",
        group="Filter",
        type=TEXT,
        multiple=True,
        metavar="REGEX",
        help="Only messages whose text or caption matches; case-insensitive unless the pattern has"
        " a capital. May be repeated.",
    ),
    option(
        "--grep-not",
        "excluded_patterns",
        group="Filter",
        type=TEXT,
        multiple=True,
        metavar="REGEX",
        help="Hide messages whose text or caption matches; case as for --grep. May be repeated.",
    ),
    option(
        "-w",
        "--where",
        group="Filter",
        type=TEXT,
        multiple=True,
        metavar="JMESPATH",
        help="Only records for which this is true, such as \"data.type=='failed'\"; may be"
        " repeated.",
    ),
)
"""Options that choose records."""
output_options = _all(
    option(
        "-o",
        "--output",
        group="Output",
        type=EnumChoice(Output),
        default=Output.AUTO.value,
        help="auto is pretty on a terminal and json otherwise; raw is each frame's data as ChatApp"
        " sends it; template needs --format.",
    ),
    option("--json", "as_json", group="Output", is_flag=True, help="Same as -o json."),
    option(
        "-f",
        "--format",
        "template",
        group="Output",
        metavar="TEMPLATE",
        help="One line per record, such as '{time} {chat}: {text}'.",
    ),
    option(
        "--color",
        group="Output",
        type=EnumChoice(ColorMode),
        default=ColorMode.AUTO.value,
        help="Colours in pretty output; auto heeds NO_COLOR and FORCE_COLOR.",
    ),
    option(
        "--time",
        "time_style",
        group="Output",
        type=EnumChoice(TimeStyle),
        default=TimeStyle.LOCAL.value,
        help="How pretty output and templates show the time.",
    ),
)
"""Options that choose the format."""

checked_forward_options = _all(
    option(
        "--forward-to",
        group="Forward",
        type=ParsedType("url", parse_forward_url, shown=False),
        help="Send each event to this http or https URL until it is acknowledged; 3000/webhook"
        " means http://localhost:3000/webhook. nats://HOST/PREFIX or tls://HOST/PREFIX publishes to"
        " a stream of NATS JetStream.",
    ),
    option(
        "-H",
        "--header",
        "forward_headers",
        group="Forward",
        type=Text("header", parse_header, shown=False),
        multiple=True,
        metavar="'NAME: VALUE'",
        help="Header of each request, such as 'Authorization: Bearer ...'; may be repeated.",
    ),
    option(
        "--forward-secret-file",
        group="Forward",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Sign requests by Standard Webhooks with the secrets (whsec_...) in FILE, one per"
        " line.  [default: CHATAPP_TAIL_FORWARD_SECRET]",
    ),
    option(
        "--forward-ca-file",
        group="Forward",
        type=ParsedType("file", parse_ca_file),
        metavar="FILE",
        help="Trust the certificate authorities in this PEM file for --forward-to.",
    ),
)
"""Options of an HTTP destination, which `doctor` checks as well."""

forward_options = _all(
    checked_forward_options,
    option(
        "--forward-body",
        group="Forward",
        type=EnumChoice(ForwardBody),
        default=ForwardBody.WEBHOOK.value,
        help="webhook is ChatApp's own: all new items of a chat; record is one record, as -o json"
        " writes it.",
    ),
    option(
        "--forward-timeout",
        group="Forward",
        type=DURATION,
        default="30s",
        help="How long one request may take.",
    ),
    option(
        "--forward-retry-for",
        group="Forward",
        type=ParsedType("duration", parse_retry_for),
        help="Give an event up after so long without success, as a dead letter; 0 tries once."
        "  [default: never]",
    ),
    option(
        "--create-stream",
        group="Forward",
        is_flag=True,
        help="Make a stream of NATS where none takes the subjects.",
    ),
    option(
        "--nats-creds",
        group="Forward",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="Credentials for NATS, as nsc writes them.",
    ),
    option(
        "--exec",
        "exec_command",
        group="Forward",
        type=TEXT,
        metavar="COMMAND",
        help="Run a shell command for each record, with the record on its stdin; exit status 75 has"
        " it run again.",
    ),
    option(
        "--exec-timeout",
        group="Forward",
        type=DURATION,
        default="30s",
        help="How long one run of the command may take.",
    ),
    option(
        "-j",
        "--jobs",
        group="Forward",
        type=ParsedType("n", parse_jobs),
        help="Most requests or commands at once; those of one chat keep their order.  [default: 8"
        " requests, 1 command]",
    ),
    option(
        "--dead-letters",
        group="Forward",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Keep what the destination refuses in FILE, for replay.  [default with --resume: a"
        " file in the state directory]",
    ),
)
"""Options of destinations that acknowledge events."""

channel_option = option(
    "-c",
    "--channel",
    "channels",
    group="Select",
    type=ParsedType("name", parse_channel),
    multiple=True,
    help=f"Channel: {CHANNEL_EXAMPLES} or a full Pusher name; may be repeated.",
)
profile_option = option(
    "--profile",
    group="Credentials",
    type=ParsedType("name", parse_profile),
    default="default",
    help="Which stored login to use, for people with several accounts.",
)
token_file_option = option(
    "--token-file",
    group="Credentials",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the access token from FILE rather than from CHATAPP_TOKEN or the stored login.",
)
