"""Removes signatures from frames and errors before they are displayed or stored."""

import re
from collections.abc import Iterable

_SIGNATURE = r'("auth"\s*:\s*")(?:[^"\\]|\\.)*"'
_hide_signature = re.compile(r"[0-9a-f]{64}").sub


def redact(frame: str) -> str:
    """Return a frame without the signature of a subscription."""
    return re.sub(_SIGNATURE, r'\1[secret]"', frame)


def without_signatures(signatures: Iterable[str], text: str) -> str:
    """Return a text of the server without signatures, known ones and what looks like one."""
    for signature in signatures:
        text = text.replace(signature, "[signature]")
    return _hide_signature("[signature]", text)
