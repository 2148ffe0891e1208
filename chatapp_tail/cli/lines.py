"""`chatapp-tail lines`: the licences of the account and their messengers."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click
import msgspec

from ..chatapp.licenses import License, Messenger, write_completion_cache
from ..errors import ExitStatus
from ..escape import escape_line
from .access import connect_api
from .options import access_options, option, profile_option, token_file_option
from .params import Choice

HEADINGS = ("licence", "messenger", "phone", "active", "until", "name", "messenger name")
_LEAST = {HEADINGS.index("phone"): 15, HEADINGS.index("name"): 8, len(HEADINGS) - 1: 8}
"""Column that may be cut, since it need not be typed -> its minimum width."""
_BETWEEN = "  "


@click.command()
@option(
    "-o",
    "--output",
    of="lines",
    type=Choice(["auto", "table", "json"]),
    default="auto",
    help="auto is a table on a terminal and json, one object per line, otherwise.",
)
@access_options
@token_file_option
@profile_option
def lines(output: str, **access: Any) -> int:
    """List the licences of your account, and the messengers of each.

    Use the licence and messenger columns as values for --license and --messenger.
    """
    _, api, _ = connect_api(**access)
    licenses = api.licenses()
    write_completion_cache(licenses)
    if output == "table" or (output == "auto" and sys.stdout.isatty()):
        from shutil import get_terminal_size

        shown = format_table(licenses, get_terminal_size().columns, sys.stdout.encoding)
    else:
        shown = format_json(licenses)
    for line in shown:
        click.echo(line)
    return ExitStatus.DONE


def messenger_rows(
    licenses: Sequence[License],
) -> Iterator[tuple[License, Messenger | None]]:
    """Yield every messenger with its licence; a licence without any comes with None."""
    for license_ in licenses:
        if not license_.messengers:
            yield license_, None
        for messenger in license_.messengers:
            yield license_, messenger


def format_json(licenses: Sequence[License]) -> Iterator[str]:
    """Yield one JSON object per line: license, messenger, name, phone, active, until (UTC)."""
    for license_, messenger in messenger_rows(licenses):
        record = {
            "license": license_.id,
            "messenger": messenger and messenger.type,
            "name": license_.name,
            "messenger_name": messenger and messenger.name,
            "phone": messenger and messenger.phone,
            "active": license_.active,
            "until": license_.until and _day(license_.until, "%Y-%m-%dT%H:%M:%SZ"),
        }
        yield msgspec.json.encode(record).decode()


def format_table(licenses: Sequence[License], columns: int, encoding: str) -> Iterator[str]:
    """Yield a heading and one line per messenger; names are cut so that it fits into `columns`."""
    from rich.cells import cell_len, set_cell_size

    rows = [HEADINGS, *(_cells(*row) for row in messenger_rows(licenses))]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    _fit(widths, columns - len(_BETWEEN) * (len(widths) - 1))
    mark = _cut_mark(encoding)

    def fitted(cell: str, width: int) -> str:
        cut = cell_len(cell) > width
        return set_cell_size(cell, width - cell_len(mark)) + mark if cut else cell

    for row in rows:
        cells = map(fitted, row, widths)
        padded = (set_cell_size(cell, width) for cell, width in zip(cells, widths, strict=True))
        yield _BETWEEN.join(padded).rstrip()


def _fit(widths: list[int], room: int) -> None:
    """Make the widest column narrower until all fit, or none may be cut further."""
    for column, least in _LEAST.items():
        widths[column] = min(widths[column], max(room, least))
    while sum(widths) > room:
        cuttable = [column for column, least in _LEAST.items() if widths[column] > least]
        if not cuttable:
            return
        widths[max(cuttable, key=widths.__getitem__)] -= 1


def _cut_mark(encoding: str) -> str:
    try:
        "…".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "~"
    return "…"


def _cells(license_: License, messenger: Messenger | None) -> tuple[str, ...]:
    active = {True: "yes", False: "no", None: "?"}[license_.active]
    until = "?" if license_.until is None else _day(license_.until, "%Y-%m-%d")
    kind, phone, name = ("none", "", "")
    if messenger is not None:
        kind, phone, name = messenger.type, messenger.phone or "", messenger.name or ""
    cells = (str(license_.id), kind, phone, active, until, license_.name or "", name)
    return tuple(map(escape_line, cells))


def _day(moment: int, form: str) -> str:
    try:
        return time.strftime(form, time.gmtime(moment))
    except (OSError, OverflowError, ValueError):
        return str(moment)
