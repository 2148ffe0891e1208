"""Reads the Retry-After header: seconds, or a date (RFC 9110, section 10.2.3)."""

import time
from datetime import UTC
from email.utils import parsedate_to_datetime


def parse_retry_after(text: str) -> float | None:
    """Return the seconds to wait from now, None when the header is missing or unreadable."""
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)  # the asctime form, which is in GMT
        return max(0.0, moment.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
