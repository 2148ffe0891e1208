"""`-o raw`: a frame's `data` as the vendor documents it, one frame per line."""

from collections.abc import Sequence

from ..chatapp.records import DecodedEvent, Record


def format_raw(decoded: DecodedEvent, _: Sequence[Record]) -> list[bytes]:
    """Return the whole data of the frame, even when filters kept only some of its items."""
    return [decoded.data + b"\n"]
