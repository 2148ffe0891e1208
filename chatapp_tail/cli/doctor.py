"""`chatapp-tail doctor`: check everything a tail needs, one line per check."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import click
from msgspec.structs import replace

from ..chatapp.selection import Selection
from ..errors import CredentialsError, UsageError
from ..escape import escape_line
from ..formats.meta import encode_record
from ..net import Proxy
from ..pusher.connection import Endpoint, Settings
from ..redaction import redact
from .access import ApiAccess, connect_api
from .check_result import Check, CheckFailed, CheckResult
from .checks import DoctorChecks
from .options import (
    access_options,
    channel_option,
    checked_forward_options,
    endpoint_options,
    license_options,
    option,
    profile_option,
    token_file_option,
    ws_urls,
)
from .params import Choice


@click.command()
@license_options
@channel_option
@option(
    "-o",
    "--output",
    of="doctor",
    type=Choice(["text", "json"]),
    default="text",
    help="json is one object per line.",
)
@endpoint_options
@access_options
@checked_forward_options
@token_file_option
@profile_option
def doctor(
    licenses: tuple[int, ...],
    messengers: tuple[str, ...],
    channels: tuple[str, ...],
    output: str,
    endpoints: tuple[Endpoint, ...],
    app_key: str,
    api_url: str,
    ca_file: str | None,
    proxy: Proxy | None,
    forward_to: str | None,
    forward_headers: tuple[tuple[str, str], ...],
    forward_secret_file: Path | None,
    forward_ca_file: str | None,
    token_file: Path | None,
    profile: str,
) -> int:
    """Check everything a tail needs, from the configuration to a ping that is answered.

    One line per check; each failure says what to do next. A failure that a tail would survive is a
    warning. The exit status is the one a tail would end with. Without --license, --messenger and
    --channel the account's first line is tried. With --forward-to the destination is sent a HEAD
    request, which delivers nothing.
    """
    show = _show_json if output == "json" else _show_text
    selection = Selection(licenses=licenses, messengers=messengers, names=channels)
    selection = replace(selection, everything=selection.is_empty)
    settings = Settings(
        endpoints=ws_urls(endpoints),
        app_key=app_key,
        channels=(),
        ca_file=ca_file,
        proxy=proxy,
    )
    forward = _examine_destination(
        forward_to, forward_headers, forward_secret_file, forward_ca_file, proxy
    )
    tail = _examine(
        settings,
        selection,
        lambda: connect_api(
            api_url,
            ca_file=ca_file,
            proxy=proxy,
            token_file=token_file,
            profile=profile,
            endpoints=settings.endpoints,
        ),
    )
    shown = list[CheckResult]()
    for result in chain(forward, tail):
        show(result)
        shown.append(result)
        if result.ends:
            break
    if output == "text":
        click.echo(_verdict(shown))
    return shown[-1].status


def _examine_destination(
    url: str | None,
    headers: tuple[tuple[str, str], ...],
    secret_file: Path | None,
    ca_file: str | None,
    proxy: Proxy | None,
) -> Iterator[CheckResult]:
    """Yield the results of a destination, if there is one."""
    if url is None:
        return
    from ..sinks.nats_url import NATS_SCHEMES
    from .forward_checks import ForwardArguments, forward_checks

    if url.partition("://")[0] in NATS_SCHEMES:
        raise UsageError(
            "doctor checks destinations of HTTP only; a tail itself checks a stream of NATS when it"
            " starts"
        )
    arguments = ForwardArguments(url, headers, secret_file, ca_file, proxy)
    for name, check in forward_checks(arguments):
        yield _result_of(name, check)


def _examine(
    settings: Settings, selection: Selection, open_api: Callable[[], ApiAccess]
) -> Iterator[CheckResult]:
    """Yield the results of a tail without a destination, up to the first that would end it."""
    try:
        http, api, origin = open_api()
    except CredentialsError as error:
        advice = "do that, and then run chatapp-tail doctor again"
        yield CheckResult("configuration", False, str(error), 0.0, advice, error.exit_status)
        return
    urls = ", then ".join(map(str, settings.endpoints))
    yield CheckResult("configuration", True, f"{urls}, token from {origin}", 0.0)
    checks = DoctorChecks(settings, selection, api, http)
    try:
        for name, check in checks.in_order():
            result = _result_of(name, check)
            yield result
            if result.ends:
                return
    finally:
        if checks.probe:
            checks.probe.close()


def _result_of(name: str, check: Check) -> CheckResult:
    began = time.monotonic()
    try:
        detail = check()
    except CheckFailed as failed:
        seconds = time.monotonic() - began
        return CheckResult(name, False, failed.detail, seconds, failed.advice, failed.status)
    return CheckResult(name, True, detail, time.monotonic() - began)


def _verdict(results: Sequence[CheckResult]) -> str:
    problem = any(result.ends for result in results)
    warnings = sum(not (result.ok or result.ends) for result in results)
    verdict = "1 problem" if problem else "no problem" if warnings else "all good"
    return verdict + (f", {warnings} warning{'s' * (warnings > 1)}" if warnings else "")


def _show_text(result: CheckResult) -> None:
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    tick, warning, cross = ("✓", "⚠", "✗") if utf8 else ("ok", "WARNING", "FAILED")
    mark = tick if result.ok else cross if result.ends else warning
    detail = escape_line(redact(result.detail))
    click.echo(f"{mark} {result.check:<18} {result.seconds * 1000:6.0f} ms  {detail}")
    if result.advice:
        click.echo(f"  next: {escape_line(result.advice)}")


def _show_json(result: CheckResult) -> None:
    record = {
        "check": result.check,
        "ok": result.ok,
        "found": result.detail,
        "milliseconds": round(result.seconds * 1000, 1),
        "advice": result.advice or None,
        "exit_status": int(result.status),
    }
    click.echo(encode_record(record).decode())
