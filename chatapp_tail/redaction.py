"""Removes known secrets from output that repeats them.

Servers and proxies quote requests in their errors. So secrets are registered where they come in,
and notices, records of `--meta` and findings of `doctor` are redacted where they are written;
records of events never are.
"""

import json
from base64 import b64encode
from collections import deque
from urllib.parse import quote

_SHORTEST = 6
"""Characters; a shorter secret may occur in ordinary text by chance."""
_RECENT = 2048

_lasting: set[str] = set()
_recent: deque[str] = deque(maxlen=_RECENT)


def register(secret: str) -> None:
    """Register a token or a password in every form in which it may be repeated."""
    if secret not in _lasting and len(secret) >= _SHORTEST:
        _lasting.update(_forms(secret))


def register_signature(signature: str) -> None:
    """Register the signature for one connection; only the latest thousands are kept."""
    if len(signature) >= _SHORTEST:
        _recent.append(signature)


def register_credentials(username: str, password: str) -> None:
    """Register the credentials of a proxy: the password, and the Basic scheme (RFC 7617)."""
    register(password)
    register(b64encode(f"{username}:{password}".encode()).decode())


def redact(text: str) -> str:
    """Return a text without any registered secret."""
    secrets = [secret for secret in (*_lasting.copy(), *_recent.copy()) if secret in text]
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return text


def _forms(secret: str) -> set[str]:
    """Return a secret as it is, percent-encoded, and as JSON writes it, PHP's included."""
    as_json = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    slashed = {form.replace("/", "\\/") for form in as_json}
    encoded = quote(secret, safe="", errors="replace")
    return {secret, encoded, encoded.lower()} | as_json | slashed
