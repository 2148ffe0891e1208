"""The licences of an account with their messengers, and the completion cache of shells.

Older pages of the vendor say licence, newer ones line; the number is the same. The scripts in
`completions/` read the file where this module writes it, as one `LICENCE MESSENGER` per line.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from difflib import SequenceMatcher
from pathlib import Path

import msgspec

from .. import raw_json
from ..files import write_atomically
from .channels import parse_messenger


class Messenger(msgspec.Struct, frozen=True):
    """One messenger of a licence; `type` is what channels are named by."""

    type: str
    name: str | None
    phone: str | None


class License(msgspec.Struct, frozen=True):
    """One licence; `until` in seconds since the epoch."""

    id: int
    name: str | None
    active: bool | None
    until: int | None
    messengers: tuple[Messenger, ...]

    @property
    def types(self) -> list[str]:
        """Messenger types, in the service's order."""
        return [messenger.type for messenger in self.messengers]


def read_licenses(text: str) -> list[License]:
    """Return the licences in the response to `GET /v1/licenses`; ValueError when it is not JSON.

    A member that cannot be parsed (a lone surrogate, deep nesting) is left out alone.
    """
    try:
        return parse_licenses(msgspec.json.decode(text))
    except raw_json.DECODE_ERRORS:
        return parse_licenses(_read_piecewise(text))


def _read_piecewise(text: str) -> object:
    """Return the document with as much of its entries as can be parsed."""
    data = raw_json.pieces(text.strip(), "{").get("data", "null")
    if data.startswith("{"):
        data = raw_json.pieces(data, "{").get("items", "null")
    entries = raw_json.pieces(data, "[").values() if data.startswith("[") else ()
    return {"data": [_read_entry(entry) for entry in entries]}


def _read_entry(entry: str) -> object:
    with suppress(ValueError, RecursionError):
        return json.loads(entry)
    with suppress(ValueError):
        pieces = raw_json.pieces(entry, "{")
        return {name: _read_member(name, text) for name, text in pieces.items()}
    return None


def _read_member(name: str, text: str) -> object:
    if name == "messenger" and text.startswith("["):
        return [_read_entry(messenger) for messenger in raw_json.pieces(text, "[").values()]
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return None


def parse_licenses(document: object) -> list[License]:
    """Return the licences of a document; invalid entries are left out.

    `data` is an array, while other lists of the API use `data.items`: both are accepted.
    """
    data = _member(document, "data")
    entries = data if isinstance(data, list) else _list(_member(data, "items"))
    return [parsed for entry in entries if (parsed := _license(entry)) is not None]


def _license(entry: object) -> License | None:
    number = _whole(_member(entry, "licenseId"))
    if number is None:
        return None
    active = _member(entry, "active")
    messengers = [_messenger(member) for member in _list(_member(entry, "messenger"))]
    return License(
        number,
        _text(_member(entry, "licenseName")),
        active if isinstance(active, bool) else None,
        _whole(_member(entry, "licenseTo")),
        tuple(messenger for messenger in messengers if messenger is not None),
    )


def _messenger(entry: object) -> Messenger | None:
    kind = _text(_member(entry, "type"))
    if not kind:
        return None
    phone = _member(_member(entry, "info"), "phone")
    shown = str(phone) if isinstance(phone, int) else _text(phone)
    return Messenger(kind, _text(_member(entry, "name")), shown)


def explain_refusal(
    licenses: Iterable[License], license_id: int | None, messenger: str | None
) -> str:
    """Return what the account has instead of a refused messenger, the closest spelling first."""
    if license_id is None or messenger is None:
        return ""
    licenses = list(licenses)
    if missing := explain_missing_license(licenses, license_id):
        return missing
    types = [kind for license_ in licenses if license_.id == license_id for kind in license_.types]
    if messenger in types:
        return ""
    return (
        f"licence {license_id} has: {_closest_first(types, messenger)}; you asked for {messenger}"
    )


def explain_missing_license(licenses: Iterable[License], license_id: int) -> str:
    """Return what the account has instead of a licence, or that it is not active."""
    known = {license_.id: license_ for license_ in licenses}
    if license_id not in known:
        numbers = _closest_first(map(str, known), str(license_id))
        return f"this account has no licence {license_id}; it has: {numbers}"
    return f"licence {license_id} is not active" if known[license_id].active is False else ""


def explain_missing_messenger(licenses: Iterable[License], messenger: str) -> str:
    """Return what the account has instead of a messenger that no active licence has."""
    active = [license_ for license_ in licenses if license_.active is not False]
    types = dict.fromkeys(kind for license_ in active for kind in license_.types)
    if messenger in types:
        return ""
    has = _closest_first(types, messenger)
    return f"no active licence of this account has the messenger {messenger}; there are: {has}"


def _closest_first(names: Iterable[str], meant: str) -> str:
    """Return the closest spelling, and then the other names in the service's order."""
    names = list(names)
    suggest = max(names, key=lambda name: _alike(name, meant), default=None)
    names.sort(key=lambda name: name != suggest)
    return ", ".join(names[:8]) + (" and more" if len(names) > 8 else "") or "none"


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return raw_json.replace_surrogates(value) if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def write_completion_cache(
    licenses: Iterable[License], environment: Mapping[str, str] = os.environ
) -> None:
    """Replace the completion cache; a failure is ignored, as the user did not ask for it."""
    path = cache_path(environment)
    if path is None:
        return
    pairs = (
        f"{license_.id} {kind}\n"
        for license_ in licenses
        for kind in license_.types
        if _is_safe(kind)
    )
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, "".join(dict.fromkeys(pairs)).encode("ascii"), fsync=False)


def cache_path(environment: Mapping[str, str]) -> Path | None:
    """Return the path of the cache; None without an absolute XDG_CACHE_HOME or HOME."""
    cache, home = environment.get("XDG_CACHE_HOME"), environment.get("HOME")
    directory = Path(cache) if cache else Path(home or "", ".cache")
    return directory / "chatapp-tail" / "lines" if directory.is_absolute() else None


def _is_safe(kind: str) -> bool:
    """Return whether a type of the service is valid for `--messenger`."""
    try:
        parse_messenger(kind)
    except ValueError:
        return False
    return True
