"""Types of option values, how an option is declared, and the options of several commands."""

from collections.abc import Callable, Sequence
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

LICENSE = ParsedType("n", parse_license)
MESSENGER = ParsedType("type", parse_messenger)
CHANNEL = ParsedType("name", parse_channel)
DURATION = ParsedType("duration", parse_duration)
SINCE = ParsedType("time", parse_since)
CHECKPOINT = ParsedType("name", parse_checkpoint)
SIZE = ParsedType("size", parse_size)
PROXY = ParsedType("url", parse_proxy, shown=False)
SPEED = ParsedType("factor", parse_factor)
WS_URL = ParsedType("url", parse_ws_url)
HTTP_URL = ParsedType("url", parse_http_url)
KEY = ParsedType("key", parse_app_key)
CA_FILE = ParsedType("file", parse_ca_file)
FORWARD_URL = ParsedType("url", parse_forward_url, shown=False)
HEADER = Text("header", parse_header, shown=False)
RETRY_FOR = ParsedType("duration", parse_retry_for)
JOBS = ParsedType("n", parse_jobs)
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
    has the name of that command, `of`, in it.
    """
    long = next(name for name in names if name.startswith("--"))
    path = f"{of}-{long[2:]}" if of else long[2:]
    variable = "CHATAPP_TAIL_" + path.upper().replace("-", "_")
    variables = [variable, also_from] if also_from else [variable]
    return click.option(*names, cls=GroupedOption, group=group, envvar=variables, **settings)


def access_options(command: F) -> F:
    """Add the options of commands that use the API."""
    return _add(_ACCESS, command)


def endpoint_options(command: F) -> F:
    """Add the options of commands that connect to the Pusher server."""
    return _add(_ENDPOINT, command)


def license_options(command: F) -> F:
    """Add the options that choose licences and messengers."""
    return _add(_LICENSE, command)


def _add(options: Sequence[Callable[[Any], Any]], command: F) -> F:
    for add in reversed(options):
        command = add(command)
    return command


def filter_options(command: F) -> F:
    """Add the options that choose records."""
    return _add(_FILTER, command)


def output_options(command: F) -> F:
    """Add the options that choose the format."""
    return _add(_OUTPUT, command)


def forward_options(command: F) -> F:
    """Add the options of destinations that acknowledge events."""
    return _add(_FORWARD, command)


def checked_forward_options(command: F) -> F:
    """Add the options of an HTTP destination that `doctor` checks."""
    return _add(_FORWARD_CHECKED, command)


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


_ACCESS = (
    option(
        "--api-url",
        group="Connection",
        also_from="CHATAPP_API_URL",
        type=HTTP_URL,
        default=API_URL,
        metavar="URL",
        show_default=True,
        help="ChatApp's HTTP API, which signs subscriptions.",
    ),
    option(
        "--ca-file",
        group="Connection",
        type=CA_FILE,
        metavar="FILE",
        help="Trust the certificate authorities in this PEM file, and no others.",
    ),
    option(
        "--proxy",
        group="Connection",
        type=PROXY,
        metavar="URL",
        help="Go through a proxy, http://, socks5:// or socks5h://[user:password@]host[:port];"
        " hosts in NO_PROXY bypass the proxy.  [default: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY]",
    ),
)

_ENDPOINT = (
    option(
        "--ws-url",
        "endpoints",
        group="Connection",
        type=WS_URL,
        multiple=True,
        also_from="CHATAPP_WS_URL",
        metavar="URL",
        help="Pusher server, as ws[s]://host:port[/prefix]; may be repeated, and then each is tried"
        f" in turn.  [default: {WS_URLS[0]}, then {WS_URLS[1]}]",
    ),
    option(
        "--app-key",
        group="Connection",
        type=KEY,
        default=APP_KEY,
        also_from="CHATAPP_APP_KEY",
        metavar="KEY",
        show_default=True,
        help="Key of the Pusher app.",
    ),
)
_LICENSE = (
    option(
        "-l",
        "--license",
        "licenses",
        group="Select",
        type=LICENSE,
        multiple=True,
        metavar="N",
        help="Licence to tail; may be repeated.",
    ),
    option(
        "-m",
        "--messenger",
        "messengers",
        group="Select",
        type=MESSENGER,
        multiple=True,
        metavar="TYPE",
        help="Messenger type, such as telegram or grWhatsApp; may be repeated. All combinations"
        " with the licences are tailed; if only one of the two is given, all of the other.",
    ),
)

_FILTER = (
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
_OUTPUT = (
    option(
        "-o",
        "--output",
        group="Output",
        type=EnumChoice(Output),
        default=Output.AUTO.value,
        show_default=True,
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
        show_default=True,
        help="Colours in pretty output; auto heeds NO_COLOR and FORCE_COLOR.",
    ),
    option(
        "--time",
        "time_style",
        group="Output",
        type=EnumChoice(TimeStyle),
        default=TimeStyle.LOCAL.value,
        show_default=True,
        help="How pretty output and templates show the time.",
    ),
)

_FORWARD_TO = option(
    "--forward-to",
    group="Forward",
    type=FORWARD_URL,
    metavar="URL",
    help="Send each event to this http or https URL until it is acknowledged; 3000/webhook"
    " means http://localhost:3000/webhook.",
)
_HEADER = option(
    "-H",
    "--header",
    "forward_headers",
    group="Forward",
    type=HEADER,
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Header of each request, such as 'Authorization: Bearer ...'; may be repeated.",
)
_FORWARD_SECRET_FILE = option(
    "--forward-secret-file",
    group="Forward",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Sign requests by Standard Webhooks with the secrets (whsec_...) in FILE, one per"
    " line.  [default: CHATAPP_TAIL_FORWARD_SECRET]",
)
_FORWARD_CA_FILE = option(
    "--forward-ca-file",
    group="Forward",
    type=CA_FILE,
    metavar="FILE",
    help="Trust the certificate authorities in this PEM file for --forward-to.",
)
_FORWARD_CHECKED = (_FORWARD_TO, _HEADER, _FORWARD_SECRET_FILE, _FORWARD_CA_FILE)
_FORWARD = (
    _FORWARD_TO,
    _HEADER,
    option(
        "--forward-body",
        group="Forward",
        type=EnumChoice(ForwardBody),
        default=ForwardBody.WEBHOOK.value,
        show_default=True,
        help="webhook is ChatApp's own: all new items of a chat; record is one record, as -o json"
        " writes it.",
    ),
    _FORWARD_SECRET_FILE,
    option(
        "--forward-timeout",
        group="Forward",
        type=DURATION,
        default="30s",
        show_default=True,
        metavar="DURATION",
        help="How long one request may take.",
    ),
    option(
        "--forward-retry-for",
        group="Forward",
        type=RETRY_FOR,
        metavar="DURATION",
        help="Give an event up after so long without success, as a dead letter; 0 tries once."
        "  [default: never]",
    ),
    _FORWARD_CA_FILE,
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
        show_default=True,
        metavar="DURATION",
        help="How long one run of the command may take.",
    ),
    option(
        "-j",
        "--jobs",
        group="Forward",
        type=JOBS,
        metavar="N",
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

channel_option = option(
    "-c",
    "--channel",
    "channels",
    group="Select",
    type=CHANNEL,
    multiple=True,
    metavar="NAME",
    help=f"Channel: {CHANNEL_EXAMPLES} or a full Pusher name; may be repeated.",
)
profile_option = option(
    "--profile",
    group="Credentials",
    type=ParsedType("name", parse_profile),
    default="default",
    metavar="NAME",
    show_default=True,
    help="Which stored login to use, for people with several accounts.",
)
token_file_option = option(
    "--token-file",
    group="Credentials",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the access token from FILE rather than from CHATAPP_TOKEN or the stored login.",
)
