"""`-o csv`: a table after RFC 4180, in UTF-8, one row per record and the header once per file.

A cell that a spreadsheet would run as a formula gets an apostrophe in front, since strangers write
the cells. Newlines within cells are kept, in quotes.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO, NamedTuple

from ..chatapp.records import DecodedEvent, Record
from ..escape import escape_text
from .fields import FIELDS, Field, parse_item

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
    "hash": "hash",
}
"""Column -> field. Later versions only add columns, at the end."""

_FIELDS = tuple(FIELDS[name] for name in COLUMNS.values())


class Opening(NamedTuple):
    """The bytes before the first row, and how many of the columns the rows have."""

    head: bytes
    columns: int = len(COLUMNS)


class Csv:
    """Formats records as rows; `opening` is asked once, when there is a first row.

    With `escape` cells are made safe for a terminal.
    """

    def __init__(
        self, *, escape: bool = False, opening: Callable[[], Opening] = lambda: Opening(header())
    ) -> None:
        self._opening: Callable[[], Opening] | None = opening
        self._clean: Callable[[str], str] = escape_text if escape else str
        self._fields = _FIELDS

    def __call__(self, _: DecodedEvent, kept: Sequence[Record]) -> list[bytes]:
        """Return one piece per record."""
        head = self._open() if kept else b""
        rows = [_encoded(map(self._clean, _cells(record, self._fields))) for record in kept]
        if head:
            rows[0] = head + rows[0]
        return rows

    def _open(self) -> bytes:
        if self._opening is None:
            return b""
        (head, columns), self._opening = self._opening(), None
        self._fields = _FIELDS[:columns]
        return head


def header() -> bytes:
    """Return the line with the names of the columns."""
    return _encoded(COLUMNS)


def opening_for(file: BinaryIO, size: int) -> Opening:
    """Return what is written before the first row that is appended to `size` bytes of a file.

    The header, unless the file begins with one, whose columns then are kept; and the end of a row
    that was cut off, such as by SIGKILL: otherwise everything that follows would be part of its
    last cell.
    """
    begin = file.read(min(size, _BLOCK))
    if begin == BOM_UTF8:
        return Opening(header())
    has_header, columns = _HEADER_BEGIN in begin, _count_columns(begin)
    return Opening(_end_of_row(file, size) + (b"" if has_header else header()), columns)


def _count_columns(begin: bytes) -> int:
    """Return how many columns a table that begins so has, in its header, or is to have.

    Every release wrote the columns up to `data`: a header that lacks one of them was cut off.
    """
    _, found, rest = begin.partition(_HEADER_BEGIN)
    names = (found + rest.partition(b"\n")[0]).strip().decode("ascii", "replace").split(",")
    is_whole = "data" in names and names == _NAMES[: len(names)]
    return len(names) if is_whole else len(_NAMES)


def _end_of_row(file: BinaryIO, size: int) -> bytes:
    """Return the bytes that end the last row of a file, none if it has ended."""
    if _ends_in_quotes(file, size):
        return b'"\r\n'
    file.seek(size - 1)
    return b"" if file.read(1) == b"\n" else b"\r\n"


_NAMES = list(COLUMNS)
_HEADER_BEGIN = ",".join(_NAMES[:6]).encode()
_BLOCK = 256 * 1024
_ROW_BEGIN = rb"\r\n[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,}Z,"


def _ends_in_quotes(file: BinaryIO, size: int) -> bool:
    """Return whether the number of quotes is odd; in each whole row it is even."""
    file.seek(max(0, size - _BLOCK))
    last = file.read(min(size, _BLOCK))
    begins = [match.start() for match in re.finditer(_ROW_BEGIN, last)]
    # If the file ends with a whole row, that one is enough; all of a large file would take seconds.
    if last.endswith(b"\r\n") and begins and last.count(b'"', begins[-1]) % 2 == 0:
        return False
    file.seek(0)
    quotes = 0
    while size > 0 and (block := file.read(min(size, _BLOCK))):
        quotes += block.count(b'"')
        size -= len(block)
    return quotes % 2 == 1


def _encoded(cells: Iterable[str]) -> bytes:
    row = ",".join(map(_quoted, cells))
    return f"{row}\r\n".encode("utf-8", "backslashreplace")


def _quoted(cell: str) -> str:
    # The only rule of RFC 4180; Python's csv visits every character and takes four times as long.
    if '"' in cell or "," in cell or "\n" in cell or "\r" in cell:
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _cells(record: Record, fields: Iterable[Field]) -> list[str]:
    item = parse_item(record.data)
    return [escape_formula(field(record, item)) for field in fields]


# OWASP's list, with the full-width forms. A cell that begins with apostrophes before one of them
# gets one more, so that removing one always restores the original.
_is_formula = re.compile("'*(?:[\t\r\n]|\\s*[=+\\-@＝＋－＠])").match
# A number alone is not a formula: ids of groups are negative, phones begin with a plus.
_is_number = re.compile(r"[+-][0-9]+(?:\.[0-9]+)?").fullmatch


def escape_formula(cell: str) -> str:
    """Return a cell with an apostrophe in front if a spreadsheet would run it as a formula."""
    # Nearly every cell begins with a letter or a digit, and needs no further check.
    if cell[:1].isalnum() or not _is_formula(cell) or _is_number(cell):
        return cell
    return f"'{cell}"
