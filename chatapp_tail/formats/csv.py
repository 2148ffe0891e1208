"""`-o csv`: a table after RFC 4180, in UTF-8, one row a record and the header once.

A cell that a spreadsheet would take for a formula gets an apostrophe in front: strangers write
these cells. Newlines inside of cells stay, in quotes.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from ..chatapp.events import Decoded, Record
from .escape import escape_text
from .fields import FIELDS, read

COLUMNS: dict[str, str] = {
    "received": "received",
    "sent": "sent",
    "event": "event",
    "id": "id",
    "channel": "channel",
    "license": "license",
    "messenger": "messenger",
    "direction": "direction",
    "chat_id": "chat.id",
    "chat_name": "chat.name",
    "chat_phone": "chat.phone",
    "from_id": "from.id",
    "from_name": "from.name",
    "from_phone": "from.phone",
    "type": "type",
    "text": "text",
    "status": "status",
    "error": "error",
    "tag": "tag",
    "file_name": "file.name",
    "file_link": "file.link",
    "data": "data",
}
"""Column -> field. Later versions only add columns, at the end."""

_FIELDS = tuple(FIELDS[name] for name in COLUMNS.values())


class Csv:
    """Rows; the header stands before the first, in one piece with it.

    With `escape` cells are made safe for a terminal.
    """

    def __init__(self, *, escape: bool = False) -> None:
        self._header = _encoded(COLUMNS)
        self._clean: Callable[[str], str] = escape_text if escape else str

    def __call__(self, _: Decoded, kept: Sequence[Record]) -> list[bytes]:
        """Return one piece a record."""
        rows = [_encoded(map(self._clean, _cells(record))) for record in kept]
        if rows:
            rows[0], self._header = self._header + rows[0], b""
        return rows


def _encoded(cells: Iterable[str]) -> bytes:
    row = ",".join(map(_quoted, cells))
    return f"{row}\r\n".encode("utf-8", "backslashreplace")


def _quoted(cell: str) -> str:
    # The one rule of RFC 4180; Python's csv walks every character and takes four times as long.
    if '"' in cell or "," in cell or "\n" in cell or "\r" in cell:
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _cells(record: Record) -> list[str]:
    item = read(record.data)
    return [defused(field(record, item)) for field in _FIELDS]


# OWASP's list, the full-width forms too. A cell that begins with apostrophes before one of them
# gets one more, so that taking one away always gives back what was there.
_is_formula = re.compile("'*(?:[\t\r\n]|\\s*[=+\\-@＝＋－＠])").match
# A number alone computes nothing: ids of groups are negative, phones begin with a plus.
_is_number = re.compile(r"[+-][0-9]+(?:\.[0-9]+)?").fullmatch


def defused(cell: str) -> str:
    """Return a cell with an apostrophe in front if a spreadsheet would run it as a formula."""
    # Nearly every cell begins with a letter or a digit, and is seen to be harmless at once.
    if cell[:1].isalnum() or not _is_formula(cell) or _is_number(cell):
        return cell
    return f"'{cell}"
