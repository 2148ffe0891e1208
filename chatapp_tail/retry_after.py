"""Reads the Retry-After header: seconds, or a date (RFC 9110, section 10.2.3)."""

import time
from email.utils import parsedate_to_datetime


def parse_retry_after(text: str) -> float | None:
    """Return the seconds to wait from now, None when the header is missing or unreadable."""
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
