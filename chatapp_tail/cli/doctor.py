"""`chatapp-tail doctor`: check everything a tail needs, one line per check."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
from msgspec.structs import replace

from ..chatapp.selection import Selection
from ..errors import CredentialsError
from ..escape import escape_line
from ..formats.meta import encode_record
from ..net import Proxy
from ..pusher.connection import Endpoint, Settings
from ..redaction import redact
from .access import ApiAccess, connect_api
from .checks import DoctorChecks
from .findings import Check, CheckFailed, CheckResult
from .options import (
    access_options,
    channel_option,
    endpoint_options,
    licence_options,
    option,
    profile_option,
    token_file_option,
    ws_urls,
)
from .params import Choice


@click.command()
@licence_options
@channel_option
@option(
    "-o",
    "--output",
    of="doctor",
    type=Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json is one object per line.",
)
@endpoint_options
@access_options
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
    ca_file: Path | None,
    proxy: Proxy | None,
    token_file: Path | None,
    profile: str,
) -> int:
    """Check everything a tail needs, from the configuration to a ping that is answered.

    One line per check; each failure says what to do next. A failure that a tail would survive is a
    warning. The exit status is the one a tail would end with. Without --license, --messenger and
    --channel the account's first line is tried.
    """
    show = _show_json if output == "json" else _show_text
    certificates = str(ca_file) if ca_file else None
    selection = Selection(licenses=licenses, messengers=messengers, names=channels)
    selection = replace(selection, everything=selection.is_empty)
    settings = Settings(
        endpoints=ws_urls(endpoints),
        app_key=app_key,
        channels=(),
        ca_file=certificates,
        proxy=proxy,
    )
    findings = _examine(
        settings,
        selection,
        lambda: connect_api(
            api_url,
            ca_file=certificates,
            proxy=proxy,
            token_file=token_file,
            profile=profile,
            endpoints=settings.endpoints,
        ),
    )
    shown = list[CheckResult]()
    for finding in findings:
        show(finding)
        shown.append(finding)
    if output == "text":
        click.echo(_verdict(shown))
    return shown[-1].status


def _examine(
    settings: Settings, selection: Selection, open_api: Callable[[], ApiAccess]
) -> Iterator[CheckResult]:
    """Yield what is found, up to what a tail would end with."""
    try:
        http, api, origin = open_api()
    except CredentialsError as error:
        advice = "do that, and then run chatapp-tail doctor again"
        yield CheckResult("configuration", False, str(error), 0.0, advice, error.exit_status)
        return
    urls = ", then ".join(map(str, settings.endpoints))
    yield CheckResult("configuration", True, f"{urls}, token from {origin}", 0.0)
    patient = DoctorChecks(settings, selection, api, http)
    try:
        for name, check in patient.checks():
            finding = _finding(name, check)
            yield finding
            if finding.ends:
                return
    finally:
        if patient.observation:
            patient.observation.close()


def _finding(name: str, check: Check) -> CheckResult:
    began = time.monotonic()
    try:
        found = check()
    except CheckFailed as failed:
        seconds = time.monotonic() - began
        return CheckResult(name, False, failed.found, seconds, failed.advice, failed.status)
    return CheckResult(name, True, found, time.monotonic() - began)


def _verdict(findings: Sequence[CheckResult]) -> str:
    problem = any(finding.ends for finding in findings)
    warnings = sum(not (finding.ok or finding.ends) for finding in findings)
    said = "1 problem" if problem else "no problem" if warnings else "all good"
    return said + (f", {warnings} warning{'s' * (warnings > 1)}" if warnings else "")


def _show_text(finding: CheckResult) -> None:
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    tick, warning, cross = ("✓", "⚠", "✗") if utf8 else ("ok", "WARNING", "FAILED")
    mark = tick if finding.ok else cross if finding.ends else warning
    found = escape_line(redact(finding.found))
    click.echo(f"{mark} {finding.check:<18} {finding.seconds * 1000:6.0f} ms  {found}")
    if finding.advice:
        click.echo(f"  next: {escape_line(finding.advice)}")


def _show_json(finding: CheckResult) -> None:
    record = {
        "check": finding.check,
        "ok": finding.ok,
        "found": finding.found,
        "milliseconds": round(finding.seconds * 1000, 1),
        "advice": finding.advice or None,
        "exit_status": int(finding.status),
    }
    click.echo(encode_record(record).decode())
