"""Removes signatures from frames before they are displayed or stored."""

import re

_SIGNATURE = r'("auth"\s*:\s*")(?:[^"\\]|\\.)*"'


def redact(frame: str) -> str:
    """Return a frame without the signature of a subscription."""
    return re.sub(_SIGNATURE, r'\1[secret]"', frame)
