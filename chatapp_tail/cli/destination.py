"""Destinations that acknowledge: their options compiled, and what delivers to them."""

import os
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from ..chatapp.records import DecodedEvent, Record
from ..errors import UsageError
from ..files import state_directory
from ..formats import Format, Output
from ..formats.ndjson import encode
from ..formats.webhook import webhook_body
from ..history.checkpoint import Checkpoint
from ..net import is_loopback, without_secrets
from ..sinks.dead_letters import DeadLetters, dead_letters_path
from ..sinks.delivery import Sink
from ..sinks.exec import ExecSink, name_of
from ..sinks.http import HttpSettings, HttpSink
from ..sinks.http_request import parse_secrets
from ..sinks.nats import NatsSink, check_installed
from ..sinks.nats_url import NATS_SCHEMES, NatsSettings, parse_nats_url
from ..tail.delivery_report import DeliveryReport, Say
from ..tail.forwarder import DeliveryFormat, Forwarder
from ..tail.line_writer import LineWriter
from .access import check_proxy, warn_if_open_to_others
from .options import ForwardBody

if TYPE_CHECKING:
    from ..net import Proxy
    from .config import DeliveryArguments

_REQUESTS_AT_ONCE = 8
_SECRET_VARIABLE = "CHATAPP_TAIL_FORWARD_SECRET"


class Command(msgspec.Struct, frozen=True):
    """`--exec`: a shell command, which runs for each record."""

    command: str
    jobs: int
    timeout: float
    retry_for: float


class Destination(msgspec.Struct, frozen=True):
    """Where events are delivered, and how."""

    target: HttpSettings | NatsSettings | Command
    """What acknowledges."""
    per_record: bool
    """Whether each record is a delivery of its own, rather than each chat of a frame."""
    dead_letters: Path | None
    """File that keeps what is refused."""
    shows: bool
    """Whether stdout shows events as well."""
    warnings: Sequence[str] = ()
    """What is unsafe about it."""

    @property
    def name(self) -> str:
        """What the destination is called, without secrets."""
        if isinstance(self.target, Command):
            return name_of(self.target.command)
        if isinstance(self.target, NatsSettings):
            return self.target.url.name
        return without_secrets(self.target.url)

    def open_sink(self) -> Sink:
        """Return what delivers."""
        if isinstance(self.target, Command):
            return ExecSink(
                self.target.command,
                jobs=self.target.jobs,
                timeout=self.target.timeout,
                retry_for=self.target.retry_for,
            )
        if isinstance(self.target, NatsSettings):
            return NatsSink(self.target)
        return HttpSink(self.target)

    def report(self, say: Say, *, details: bool = False) -> DeliveryReport:
        """Return what tells a person of deliveries, with `details` of each."""
        kept_in = str(self.dead_letters) if self.dead_letters else None
        return DeliveryReport(say, self.name, kept_in=kept_in, details=details)

    def format(self, format_lines: Callable[[], Format]) -> DeliveryFormat:
        """Return the format that makes deliveries, and lines if stdout shows events."""
        lines = format_lines() if self.shows else None
        body = _record_body if self.per_record else webhook_body
        if isinstance(self.target, NatsSettings):
            body = _message_body
        return DeliveryFormat(body, per_record=self.per_record, format_lines=lines)

    def open_forwarder(
        self,
        make: DeliveryFormat,
        checkpoint: Checkpoint | None,
        report: DeliveryReport,
        *,
        stdout: LineWriter | None,
        count: int | None,
        wait_for_room: Callable[[], bool],
    ) -> Forwarder:
        """Return the output that delivers."""
        return Forwarder(
            self.open_sink(),
            make,
            stdout,
            checkpoint,
            DeadLetters(self.dead_letters) if self.dead_letters else None,
            report,
            count=count,
            wait_for_room=wait_for_room,
        )


def _record_body(_: DecodedEvent, records: list[Record]) -> bytes:
    return encode(records[0])


def _message_body(_: DecodedEvent, records: list[Record]) -> bytes:
    return encode(records[0])[:-1]  # without the end of the line


def compile_destination(
    arguments: "DeliveryArguments",
    *,
    terminal: bool,
    resume: str | None = None,
    proxy: "Proxy | None" = None,
) -> Destination:
    """Return the destination; UsageError says what contradicts or is missing."""
    if arguments.forward_to and arguments.exec_command:
        raise UsageError(
            "--forward-to and --exec are two destinations; run two tails, with two --resume names"
        )
    chosen = arguments.output is not Output.AUTO
    if arguments.exec_command and chosen:
        raise UsageError("with --exec, stdout belongs to the command: leave -o, --json and -f out")
    target = _target(arguments, resume, proxy)
    return Destination(
        target=target,
        per_record=not isinstance(target, HttpSettings)
        or arguments.forward_body is ForwardBody.RECORD,
        dead_letters=arguments.dead_letters or (dead_letters_path(resume) if resume else None),
        shows=(terminal or chosen) and not isinstance(target, Command),
        warnings=[] if isinstance(target, Command) else _warnings(arguments),
    )


def _target(
    arguments: "DeliveryArguments", resume: str | None, proxy: "Proxy | None"
) -> HttpSettings | NatsSettings | Command:
    if (arguments.forward_to or "").startswith(tuple(f"{scheme}://" for scheme in NATS_SCHEMES)):
        return _nats(arguments, resume)
    if arguments.create_stream or arguments.nats_creds:
        raise UsageError("--create-stream and --nats-creds need --forward-to nats://HOST/PREFIX")
    return _command(arguments) if arguments.exec_command else _http(arguments, proxy)


def _nats(arguments: "DeliveryArguments", resume: str | None) -> NatsSettings:
    of_http = {
        "--header": arguments.forward_headers,
        "--forward-secret-file": arguments.forward_secret_file,
        "--forward-retry-for": arguments.forward_retry_for,
        "--jobs": arguments.jobs,
    }
    if given := [name for name, value in of_http.items() if value]:
        raise UsageError(f"{given[0]} does nothing for NATS; leave it out")
    directory = state_directory()
    settings = NatsSettings(
        parse_nats_url(arguments.forward_to or ""),
        creds=arguments.nats_creds,
        ca_file=arguments.forward_ca_file,
        create_stream=arguments.create_stream,
        state=directory / "nats" / f"{resume}.json" if resume and directory else None,
    )
    check_installed(settings)
    return settings


def _command(arguments: "DeliveryArguments") -> Command:
    return Command(
        arguments.exec_command or "",
        jobs=arguments.jobs or 1,
        timeout=arguments.exec_timeout,
        retry_for=_retry_for(arguments),
    )


def _http(arguments: "DeliveryArguments", proxy: "Proxy | None") -> HttpSettings:
    url = arguments.forward_to or ""
    check_forward_proxy(url, proxy)
    return HttpSettings(
        url=url,
        headers=list(arguments.forward_headers),
        secrets=read_secrets(arguments.forward_secret_file),
        timeout=arguments.forward_timeout,
        retry_for=_retry_for(arguments),
        jobs=arguments.jobs or _REQUESTS_AT_ONCE,
        ca_file=arguments.forward_ca_file,
        proxy=proxy,
    )


def check_forward_proxy(url: str, proxy: "Proxy | None") -> None:
    """Raise UsageError when the proxy for a URL cannot be used."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not is_loopback(host):
        check_proxy(parts.scheme, host, proxy)


def _warnings(arguments: "DeliveryArguments") -> list[str]:
    warnings: list[str] = []
    url = arguments.forward_to or ""
    parts = urlsplit(url)
    if arguments.forward_to_typed and parts.password:
        warnings.append(
            "other users of this machine can read the password in --forward-to; give the URL in"
            " CHATAPP_TAIL_FORWARD_TO instead"
        )
    if parts.scheme in ("http", "nats") and not is_loopback(parts.hostname or ""):
        name = without_secrets(url)
        warnings.append(f"{name} is not encrypted: events can be read and changed on the way")
    if arguments.forward_secret_file:
        warn_if_open_to_others(arguments.forward_secret_file, warnings.append)
    return warnings


def _retry_for(arguments: "DeliveryArguments") -> float:
    return inf if arguments.forward_retry_for is None else arguments.forward_retry_for


def read_secrets(file: Path | None) -> list[bytes]:
    """Return the secrets in a file, or else in the variable; UsageError without repeating them."""
    if file is None:
        secret = os.environ.get(_SECRET_VARIABLE)
        return parse_secrets(secret) if secret else []
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"cannot read --forward-secret-file {file}: {reason}") from error
    return parse_secrets(text)
