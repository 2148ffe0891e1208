"""`chatapp-tail login` and `logout`: the stored login, whose tokens are renewed automatically."""

import os
import sys
import time
from pathlib import Path

import click

from ..chatapp.licenses import write_completion_cache
from ..chatapp.secret import Secret
from ..chatapp.token_store import Login, TokenStore
from ..chatapp.tokens import make_tokens
from ..errors import CredentialsError, ExitStatus, UsageError
from ..net import Proxy
from .access import open_http, warn_if_open_to_others
from .options import access_options, option, profile_option
from .process import print_error
from .signals import interruptible_prompt

PASSWORD_VARIABLE = "CHATAPP_PASSWORD"


@click.command()
@option(
    "--email", of="login", also_from="CHATAPP_EMAIL", metavar="EMAIL", help="Email of the account."
)
@option("--app-id", of="login", also_from="CHATAPP_APP_ID", metavar="ID", help="ChatApp's appId.")
@option(
    "--password-file",
    of="login",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help=f"Read the password from a file, or from standard input with -.  [default:"
    f" {PASSWORD_VARIABLE}, otherwise you are prompted]",
)
@option("--status", of="login", is_flag=True, help="Show who is logged in, and for how long.")
@access_options
@profile_option
def login(
    email: str | None,
    app_id: str | None,
    password_file: Path | None,
    status: bool,
    api_url: str,
    ca_file: str | None,
    proxy: Proxy | None,
    profile: str,
) -> int:
    """Log in with email, password and appId, and store the tokens (not the password).

    You are prompted for options that are not given. The tokens are stored in a file only you can
    read, and renewed automatically when the service refuses them.
    """
    store = TokenStore()
    if status:
        return _show_status(store, profile)
    email = email or _ask("Email", "--email")
    # The password comes last: a typing error before it does not require it again.
    app_id = app_id or _ask("appId", "--app-id")
    password = _password(password_file)
    if password_file and str(password_file) != "-":
        warn_if_open_to_others(password_file)
    http = open_http(api_url, ca_file=ca_file, proxy=proxy)
    with store.locked():
        # Only 100 logins per day are allowed, so check first that this one can be stored.
        store.check()
        pair = make_tokens(http, email, password, app_id)
        store.save(profile, Login(email, app_id, api_url, pair))
    print_error(f"logged in as {email}; the login is kept in {store.path}")
    return ExitStatus.DONE


@click.command()
@profile_option
def logout(profile: str) -> int:
    """Forget the stored login of a profile."""
    store = TokenStore()
    with store.locked():
        removed = store.remove(profile)
    write_completion_cache([])
    print_error(
        f"the login of profile {profile} is removed from {store.path}"
        if removed
        else f"there was no login of profile {profile}"
    )
    return ExitStatus.DONE


def _show_status(store: TokenStore, profile: str) -> int:
    stored = store.load(profile)
    if stored is None:
        raise CredentialsError(f"profile {profile} is not logged in: run chatapp-tail login")
    click.echo(f"account  {stored.email} (appId {stored.app_id}) at {stored.api_url}")
    click.echo(f"stored   {store.path}, profile {profile}")
    click.echo(f"access   {_remaining(stored.pair.access_end)}, then it is renewed automatically")
    if 0 < stored.pair.refresh_end <= time.time():
        click.echo("login    over: run chatapp-tail login")
    else:
        click.echo(
            f"login    {_remaining(stored.pair.refresh_end)}, longer if it is used meanwhile"
        )
    click.echo("(by the times stored with it; chatapp-tail doctor asks the service)")
    return ExitStatus.DONE


def _remaining(end: int) -> str:
    if not end:
        return "good for a time unknown"
    seconds = end - time.time()
    if seconds <= 0:
        return "over"
    days, rest = divmod(int(seconds), 86400)
    return f"good for {days} d {rest // 3600} h" if days else f"good for {rest // 3600} h"


def _ask(what: str, option_name: str) -> str:
    _need_terminal(option_name)
    with interruptible_prompt():
        answer: str = click.prompt(what, err=True)
    return answer


def _password(password_file: Path | None) -> Secret:
    if password_file is not None:
        return Secret(_read_password(password_file))
    if password := os.environ.get(PASSWORD_VARIABLE):
        return Secret(password)
    _need_terminal("--password-file")
    with interruptible_prompt():
        return Secret(click.prompt("Password", hide_input=True, err=True))


def _read_password(path: Path) -> str:
    if str(path) == "-" and sys.stdin is None:
        raise UsageError("cannot read the password: standard input is closed")
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the password from {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"cannot read the password from {path}: it is not text") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise UsageError(f"there is no password in {path}")
    return password


def _need_terminal(option_name: str) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            f"login needs {option_name}, or a terminal to ask on; for scripts give --email,"
            " --app-id and --password-file"
        )
