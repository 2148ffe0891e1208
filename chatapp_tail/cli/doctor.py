"""`chatapp-tail doctor`: finds out why a tail would not work, one check a line."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from ..chatapp.selection import Selection
from ..errors import ExitStatus
from ..formats.escape import escape_line
from ..formats.meta import encode_record
from ..proxies import Proxy
from ..pusher.connection import Endpoint, Settings
from ..redaction import redact
from .access import open_access
from .checks import Check, CheckFailed, Patient
from .choices import Choice
from .options import (
    access_options,
    endpoint_options,
    licence_options,
    option,
    profile_option,
    token_file_option,
    ws_urls,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `seconds` is how long the check took."""

    check: str
    ok: bool
    found: str
    seconds: float
    advice: str = ""
    status: ExitStatus = ExitStatus.DONE


@click.command()
@licence_options
@option(
    "-o",
    "--output",
    of="doctor",
    type=Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json is one object a line.",
)
@endpoint_options
@access_options
@token_file_option
@profile_option
def doctor(
    licenses: tuple[int, ...],
    messengers: tuple[str, ...],
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

    One line a check; what fails comes with the next step. The exit status is the one a tail would
    end with. Without --license and --messenger the account's first line is tried.
    """
    certificates = str(ca_file) if ca_file else None
    endpoints = ws_urls(endpoints)
    http, api, origin = open_access(
        api_url,
        ca_file=certificates,
        proxy=proxy,
        token_file=token_file,
        profile=profile,
        endpoints=endpoints,
    )
    selection = Selection(licenses, messengers, everything=not (licenses or messengers))
    settings = Settings(endpoints, app_key, (), ca_file=certificates, proxy=proxy)
    show = _show_json if output == "json" else _show_text
    show(Finding("configuration", True, f"{settings.endpoints[0]}, token from {origin}", 0.0))
    patient = Patient(settings, selection, api, http)
    try:
        for finding in _examine(patient):
            show(finding)
            if not finding.ok:
                return finding.status
    finally:
        if patient.observation:
            patient.observation.close()
    return ExitStatus.DONE


def _examine(patient: Patient) -> Iterator[Finding]:
    for name, check in patient.checks():
        yield _finding(name, check)


def _finding(name: str, check: Check) -> Finding:
    began = time.monotonic()
    try:
        found = check()
    except CheckFailed as failed:
        seconds = time.monotonic() - began
        return Finding(name, False, failed.found, seconds, failed.advice, failed.status)
    return Finding(name, True, found, time.monotonic() - began)


def _show_text(finding: Finding) -> None:
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    tick, cross = ("✓", "✗") if utf8 else ("ok", "FAILED")
    mark = tick if finding.ok else cross
    found = escape_line(redact(finding.found))
    click.echo(f"{mark} {finding.check:<18} {finding.seconds * 1000:6.0f} ms  {found}")
    if finding.advice:
        click.echo(f"  next: {escape_line(finding.advice)}")


def _show_json(finding: Finding) -> None:
    record = {
        "check": finding.check,
        "ok": finding.ok,
        "found": finding.found,
        "milliseconds": round(finding.seconds * 1000, 1),
        "advice": finding.advice or None,
        "exit_status": int(finding.status),
    }
    click.echo(encode_record(record).decode())
