"""Reads the Retry-After header, seconds or a date (RFC 9110, 10.2.3), and such dates elsewhere."""

import time
from datetime import UTC
from email.utils import parsedate_to_datetime


def parse_retry_after(text: str) -> float | None:
    """Return the seconds to wait from now, None when the header is missing or unreadable."""
    if text.isdecimal() and text.isascii():
        return float(text)
    moment = parse_http_date(text)
    return None if moment is None else max(0.0, moment - time.time())


def parse_http_date(text: str) -> float | None:
    """Return seconds since the epoch for a date of HTTP in any of its forms, None for no date."""
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)  # the asctime form, which is in GMT
        return moment.timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
