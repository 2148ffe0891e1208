"""The state directory, and atomic writes.

A reader of a file that is replaced finds the old content or the new, never a part of it.
"""

import os
from pathlib import Path


def write_beside(path: Path, content: bytes, *, fsync: bool) -> Path:
    """Write a new file beside `path` that only its owner may read; return its path.

    With `fsync`, the content survives a loss of power.
    """
    from tempfile import mkstemp  # 2 ms, and seldom used

    descriptor, name = mkstemp(dir=path.parent, prefix=path.name)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if fsync:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    return new


def write_atomically(path: Path, content: bytes, *, fsync: bool) -> None:
    """Replace the file at `path`; `fsync` as for `write_beside`."""
    new = write_beside(path, content, fsync=fsync)
    try:
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def state_directory() -> Path | None:
    """Return the state directory, which need not exist yet; None without a home directory."""
    from platformdirs import user_state_path

    try:
        directory = user_state_path("chatapp-tail")
    except RuntimeError:
        return None
    nowhere = os.environ.get("HOME") == "" and not os.environ.get("XDG_STATE_HOME")
    return None if nowhere or not directory.is_absolute() else directory
