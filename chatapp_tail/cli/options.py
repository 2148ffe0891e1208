"""What the commands' options share: types, names of variables, options of several commands."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from ..chatapp.channels import parse_channel, parse_messenger
from ..chatapp.http import parse_url
from ..proxies import Proxy
from ..pusher.connection import Endpoint
from .types import Checked, parse_app_key, parse_ca_file, parse_duration, parse_license, parse_size

F = TypeVar("F", bound=Callable[..., Any])

WS_URLS = ("wss://socket.chatapp.online:6001", "wss://api.chatapp.online:6001")
API_URL = "https://api.chatapp.online"
APP_KEY = "ChatsAppApiProdKey"

LICENSE = Checked("n", parse_license)
MESSENGER = Checked("type", parse_messenger)
CHANNEL = Checked("name", parse_channel)
DURATION = Checked("duration", parse_duration)
SIZE = Checked("size", parse_size)
PROXY = Checked("url", Proxy.parse, shown=False)
WS_URL = Checked("url", Endpoint.parse)
HTTP_URL = Checked("url", parse_url)
KEY = Checked("key", parse_app_key)
CA_FILE = Checked("file", parse_ca_file)
EVENT = click.STRING
POSITIVE = click.IntRange(min=1)


def option(
    *names: str, of: str | None = None, also_from: str | None = None, **settings: Any
) -> Callable[[F], F]:
    """Declare an option that is also read from CHATAPP_TAIL_... (and from `also_from`).

    The variable of an option of another command has that command's name in it.
    """
    long = next(name for name in names if name.startswith("--"))
    path = f"{of}-{long[2:]}" if of else long[2:]
    variable = "CHATAPP_TAIL_" + path.upper().replace("-", "_")
    variables = [variable, also_from] if also_from else [variable]
    return click.option(*names, envvar=variables, **settings)


def access_options(command: F) -> F:
    """Add the options of every command that asks the API."""
    return _add(_ACCESS, command)


def endpoint_options(command: F) -> F:
    """Add the options of every command that connects to the Pusher server."""
    return _add(_ENDPOINT, command)


def licence_options(command: F) -> F:
    """Add the options that choose licences and messengers."""
    return _add(_LICENCE, command)


def _add(options: Sequence[Callable[[Any], Any]], command: F) -> F:
    for add in reversed(options):
        command = add(command)
    return command


def ws_urls(given: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """Return the endpoints given, else the service's own."""
    return given or tuple(map(Endpoint.parse, WS_URLS))


_ACCESS = (
    option(
        "--api-url",
        also_from="CHATAPP_API_URL",
        type=HTTP_URL,
        default=API_URL,
        metavar="URL",
        show_default=True,
        help="ChatApp's HTTP API, which signs subscriptions.",
    ),
    option(
        "--ca-file",
        type=CA_FILE,
        metavar="FILE",
        help="Trust the certificate authorities in this PEM file, and no others.",
    ),
    option(
        "--proxy",
        type=PROXY,
        metavar="URL",
        help="Go through a proxy, http://, socks5:// or socks5h://[user:password@]host[:port];"
        " hosts in NO_PROXY are excepted.  [default: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY]",
    ),
)

_ENDPOINT = (
    option(
        "--ws-url",
        "endpoints",
        type=WS_URL,
        multiple=True,
        also_from="CHATAPP_WS_URL",
        metavar="URL",
        help="Pusher server, as ws[s]://host:port[/prefix]; may be repeated, and then each is tried"
        f" in turn.  [default: {WS_URLS[0]}, then {WS_URLS[1]}]",
    ),
    option(
        "--app-key",
        type=KEY,
        default=APP_KEY,
        also_from="CHATAPP_APP_KEY",
        metavar="KEY",
        show_default=True,
        help="Key of the Pusher app.",
    ),
)
_LICENCE = (
    option(
        "-l",
        "--license",
        "licenses",
        type=LICENSE,
        multiple=True,
        metavar="N",
        help="Licence to tail; may be repeated.",
    ),
    option(
        "-m",
        "--messenger",
        "messengers",
        type=MESSENGER,
        multiple=True,
        metavar="TYPE",
        help="Messenger type, such as telegram or grWhatsApp; may be repeated. Every licence is"
        " combined with every messenger.",
    ),
)

profile_option = option(
    "--profile",
    default="default",
    metavar="NAME",
    show_default=True,
    help="Which stored login to use, for people with several accounts.",
)
token_file_option = option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the access token from FILE rather than from CHATAPP_TOKEN or the stored login.",
)
