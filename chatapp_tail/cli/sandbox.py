"""`chatapp-tail sandbox`, and the sandbox inside `--sandbox`."""

import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..errors import ExitStatus, UsageError
from .options import option
from .signals import KilledBySignal

if TYPE_CHECKING:
    from ..sandbox import Sandbox

RATE_INSIDE = 4.0
"""Live events per second of `--sandbox`: a rate that a person can read."""


@contextmanager
def open_sandbox(**options: Any) -> "Iterator[Sandbox]":
    """Run a sandbox; UsageError when its packages are missing or its port is taken."""
    try:
        from ..sandbox import Sandbox
    except ImportError as error:
        raise _missing(error) from error
    sandbox = Sandbox(**options)
    try:
        sandbox.start()
    except ImportError as error:
        raise _missing(error) from error
    except OSError as error:
        names = [name for name in ("port", "api_port") if options.get(name)]
        ports = " or ".join(f"--{name.replace('_', '-')} {options[name]}" for name in names)
        raise UsageError(
            f"cannot start the sandbox: {os.strerror(error.errno or 0)}: {ports}; choose another"
        ) from error
    try:
        yield sandbox
    finally:
        sandbox.stop()


def _missing(error: ImportError) -> UsageError:
    return UsageError(f"the sandbox needs the package {error.name}; pip install websockets trustme")


def serve(**options: Any) -> ExitStatus:
    """Run a sandbox until SIGINT or SIGTERM."""
    signals = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with open_sandbox(**options) as sandbox:
        click.echo(_instructions(sandbox))
        received = signal.sigwait(signals)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    raise KilledBySignal(received)


def _instructions(sandbox: "Sandbox") -> str:
    where = {"CHATAPP_WS_URL": sandbox.ws_url, "CHATAPP_API_URL": sandbox.api_url}
    if sandbox.ca_file:
        where["CHATAPP_TAIL_CA_FILE"] = str(sandbox.ca_file)
    account = {
        "CHATAPP_EMAIL": sandbox.email,
        "CHATAPP_APP_ID": sandbox.app_id,
        "CHATAPP_PASSWORD": sandbox.password,
    }
    return f"""\
A sandbox ChatApp is running; Ctrl-C ends it. In another shell:

{_exports(where)}

Either log in with the made-up account:

{_exports(account)}
  chatapp-tail login
  chatapp-tail lines
  chatapp-tail doctor
  chatapp-tail --all

Or use a token:

{_exports({"CHATAPP_TOKEN": sandbox.token})}
  chatapp-tail --license 1229 --messenger telegram"""


def _exports(variables: dict[str, str]) -> str:
    return "\n".join(f"  export {name}={shlex.quote(value)}" for name, value in variables.items())


@click.command()
@option(
    "--port",
    of="sandbox",
    type=click.IntRange(0, 65535),
    default=6001,
    metavar="N",
    help="Port of the WebSocket on 127.0.0.1; 0 takes a free one.",
)
@option(
    "--api-port",
    of="sandbox",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=False,
    metavar="N",
    help="Port of the HTTP API.  [default: a free one]",
)
@option(
    "--rate",
    of="sandbox",
    type=click.FloatRange(min=0),
    default=1.0,
    metavar="R",
    help="Live events per second; 0 for none.",
)
@option("--tls", of="sandbox", is_flag=True, help="Serve wss and https, with its own certificate.")
@option("--seed", of="sandbox", type=int, metavar="N", help="Random seed, for reproducible events.")
def sandbox(port: int, api_port: int, rate: float, tls: bool, seed: int | None) -> int:
    """Run an embedded ChatApp on 127.0.0.1 with made-up events.

    It prints the environment variables to set, and runs until Ctrl-C.
    """
    return serve(port=port, api_port=api_port, rate=rate, tls=tls, seed=seed)
