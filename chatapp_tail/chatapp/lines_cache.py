"""The account's lines seen last, in a file that shells complete from.

One `LICENCE MESSENGER` a line. The scripts in `completions/` read it where this module writes it.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..files import replace_file
from .channels import parse_messenger
from .licenses import License


def remember_lines(
    licenses: Iterable[License], environment: Mapping[str, str] = os.environ
) -> None:
    """Replace what shells complete; nothing is said when that fails, as nobody asked for it."""
    path = cache_path(environment)
    if path is None:
        return
    pairs = (f"{each.id} {kind}\n" for each in licenses for kind in each.types if _is_safe(kind))
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, "".join(dict.fromkeys(pairs)).encode("ascii"), synced=False)


def cache_path(environment: Mapping[str, str]) -> Path | None:
    """Return where the file is; None where no absolute XDG_CACHE_HOME or HOME tells."""
    cache, home = environment.get("XDG_CACHE_HOME"), environment.get("HOME")
    directory = Path(cache) if cache else Path(home or "", ".cache")
    return directory / "chatapp-tail" / "lines" if directory.is_absolute() else None


def _is_safe(kind: str) -> bool:
    """Tell whether it can be typed as `--messenger`; what the service sends may be anything."""
    try:
        parse_messenger(kind)
    except ValueError:
        return False
    return True
