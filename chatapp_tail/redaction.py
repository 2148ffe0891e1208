"""Cuts known secrets out of what leaves the program, when others repeat them.

Servers and proxies quote in their errors what they were sent. So a secret is made known here where
it comes in, and notices, records of `--meta` and findings of `doctor` are redacted where they go
out; records of events never are.
"""

import json
from base64 import b64encode
from collections import deque
from urllib.parse import quote

_SHORTEST = 6
"""Characters; what is shorter stands in ordinary text by chance."""
_RECENT = 2048

_lasting: set[str] = set()
_recent: deque[str] = deque(maxlen=_RECENT)


def register(secret: str) -> None:
    """Make a token or a password known, in each form in which it may be repeated."""
    if secret not in _lasting and len(secret) >= _SHORTEST:
        _lasting.update(_forms(secret))


def register_signature(signature: str) -> None:
    """Make known what is good for one connection only; the latest thousands are remembered."""
    if len(signature) >= _SHORTEST:
        _recent.append(signature)


def register_credentials(username: str, password: str) -> None:
    """Make known what a proxy is told: the password, and both as Basic credentials (RFC 7617)."""
    register(password)
    register(b64encode(f"{username}:{password}".encode()).decode())


def redact(text: str) -> str:
    """Return a text without any secret that is known."""
    found = [secret for secret in (*_lasting.copy(), *_recent.copy()) if secret in text]
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return text


def _forms(secret: str) -> set[str]:
    """Return a secret as it is, percent-encoded, and as JSON writes it, PHP's included."""
    as_json = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    slashed = {form.replace("/", "\\/") for form in as_json}
    encoded = quote(secret, safe="", errors="replace")
    return {secret, encoded, encoded.lower()} | as_json | slashed
