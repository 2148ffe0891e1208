"""`chatapp-tail lines`: the licences of the account and their messengers."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from ..chatapp.lines import License, Messenger
from ..chatapp.lines_cache import remember_lines
from ..errors import ExitStatus
from ..formats.escape import escape_line
from ..proxies import Proxy
from .access import open_access
from .choices import Choice
from .options import access_options, option, profile_option, token_file_option

HEADINGS = ("licence", "messenger", "phone", "active", "until", "name")


@click.command()
@option(
    "-o",
    "--output",
    of="lines",
    type=Choice(["auto", "table", "json"]),
    default="auto",
    show_default=True,
    help="auto is a table on a terminal and json, one object a line, otherwise.",
)
@access_options
@token_file_option
@profile_option
def lines(
    output: str,
    api_url: str,
    ca_file: Path | None,
    proxy: Proxy | None,
    token_file: Path | None,
    profile: str,
) -> int:
    """List the licences of your account, and the messengers of each.

    What stands under licence and messenger is what --license and --messenger take.
    """
    _, api, _ = open_access(
        api_url,
        ca_file=str(ca_file) if ca_file else None,
        proxy=proxy,
        token_file=token_file,
        profile=profile,
    )
    licenses = api.licenses()
    remember_lines(licenses)
    if output == "table" or (output == "auto" and sys.stdout.isatty()):
        _print_table(licenses)
    else:
        for line in format_json(licenses):
            click.echo(line)
    return ExitStatus.DONE


def each_line(licenses: Sequence[License]) -> Iterator[tuple[License, Messenger | None]]:
    """Yield every messenger with its licence; a licence without any comes with None."""
    for each in licenses:
        if not each.messengers:
            yield each, None
        for messenger in each.messengers:
            yield each, messenger


def format_json(licenses: Sequence[License]) -> Iterator[str]:
    """Yield one JSON object a line: license, messenger, name, phone, active, until (UTC)."""
    for each, messenger in each_line(licenses):
        record = {
            "license": each.id,
            "messenger": messenger and messenger.type,
            "name": each.name,
            "messenger_name": messenger and messenger.name,
            "phone": messenger and messenger.phone,
            "active": each.active,
            "until": each.until and _day(each.until, "%Y-%m-%dT%H:%M:%SZ"),
        }
        yield msgspec.json.encode(record).decode()


def _print_table(licenses: Sequence[License]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*HEADINGS, box=box.SIMPLE_HEAD, pad_edge=False)
    for each, messenger in each_line(licenses):
        table.add_row(*(Text(escape_line(cell)) for cell in _cells(each, messenger)))
    Console(file=sys.stdout, highlight=False).print(table)


def _cells(each: License, messenger: Messenger | None) -> tuple[str, ...]:
    active = {True: "yes", False: "no", None: "?"}[each.active]
    until = "?" if each.until is None else _day(each.until, "%Y-%m-%d")
    name = (messenger and messenger.name) or each.name or ""
    if messenger is None:
        return (str(each.id), "none", "", active, until, name)
    return (str(each.id), messenger.type, messenger.phone or "", active, until, name)


def _day(moment: int, form: str) -> str:
    try:
        return time.strftime(form, time.gmtime(moment))
    except (OSError, OverflowError, ValueError):
        return str(moment)
