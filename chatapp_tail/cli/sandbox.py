"""`chatapp-tail sandbox`, and the sandbox inside `--sandbox`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from ..errors import ExitStatus, UsageError
from ..pusher.connection import Endpoint
from .process import DeathBySignal

RATE_INSIDE = 4.0
"""Live events a second of `--sandbox`: lively, and still readable."""


@dataclass(frozen=True, slots=True)
class OpenSandbox:
    """Where a running sandbox is, and what it accepts."""

    endpoints: tuple[Endpoint, ...]
    api_url: str
    app_key: str
    token: str
    ca_file: str | None


@contextmanager
def open_sandbox(**options: Any) -> Iterator[OpenSandbox]:
    """Run a sandbox; UsageError when its packages are missing or its port is taken."""
    try:
        from ..sandbox import Sandbox
    except ImportError as error:
        raise UsageError(
            f"the sandbox needs the package {error.name}; pip install 'chatapp-tail[sandbox]'"
        ) from error
    sandbox = Sandbox(**options)
    try:
        sandbox.start()
    except OSError as error:
        raise UsageError(
            f"cannot start the sandbox on port {options.get('port', 0)}: {error.strerror};"
            " choose another with --port"
        ) from error
    try:
        yield OpenSandbox(
            (Endpoint.parse(sandbox.ws_url),),
            sandbox.api_url,
            sandbox.app_key,
            sandbox.token,
            str(sandbox.ca_file) if sandbox.ca_file else None,
        )
    finally:
        sandbox.stop()


def serve(**options: Any) -> ExitStatus:
    """Run a sandbox until SIGINT or SIGTERM."""
    signals = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with open_sandbox(**options) as sandbox:
        click.echo(_instructions(sandbox))
        received = signal.sigwait(signals)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    raise DeathBySignal(received)


def _instructions(sandbox: OpenSandbox) -> str:
    variables = {
        "CHATAPP_WS_URL": str(sandbox.endpoints[0]),
        "CHATAPP_API_URL": sandbox.api_url,
        "CHATAPP_TOKEN": sandbox.token,
    }
    if sandbox.ca_file:
        variables["CHATAPP_TAIL_CA_FILE"] = sandbox.ca_file
    exports = "\n".join(f"  export {name}='{value}'" for name, value in variables.items())
    return (
        "A sandbox ChatApp is running; Ctrl-C ends it. In another shell:\n\n"
        f"{exports}\n\n"
        "  chatapp-tail --license 1229 --messenger telegram"
    )
