"""What the commands' options share: types, names of variables, options of several commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..chatapp.channels import parse_channel, parse_messenger
from ..chatapp.http import parse_url
from ..proxies import Proxy
from ..pusher.connection import Endpoint
from .types import Checked, parse_app_key, parse_duration, parse_license, parse_size

F = TypeVar("F", bound=Callable[..., Any])

WS_URLS = ("wss://socket.chatapp.online:6001", "wss://api.chatapp.online:6001")
API_URL = "https://api.chatapp.online"
APP_KEY = "ChatsAppApiProdKey"

LICENSE = Checked("n", parse_license)
MESSENGER = Checked("type", parse_messenger)
CHANNEL = Checked("name", parse_channel)
DURATION = Checked("duration", parse_duration)
SIZE = Checked("size", parse_size)
PROXY = Checked("url", Proxy.parse)
WS_URL = Checked("url", Endpoint.parse)
HTTP_URL = Checked("url", parse_url)
KEY = Checked("key", parse_app_key)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
EVENT = click.STRING
POSITIVE = click.IntRange(min=1)


def option(
    *names: str, of: str | None = None, also_from: str | None = None, **settings: Any
) -> Callable[[F], F]:
    """Declare an option that is also read from CHATAPP_TAIL_… (and from `also_from`).

    The variable of an option of another command has that command's name in it.
    """
    long = next(name for name in names if name.startswith("--"))
    path = f"{of}-{long[2:]}" if of else long[2:]
    variable = "CHATAPP_TAIL_" + path.upper().replace("-", "_")
    variables = [variable, also_from] if also_from else [variable]
    return click.option(*names, envvar=variables, **settings)


def access_options(command: F) -> F:
    """Add the options of every command that asks the API."""
    for add in reversed(_ACCESS):
        command = add(command)
    return command


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
        type=FILE,
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
