"""The state directory, and atomic writes.

A reader of a file that is replaced finds the old content or the new, never a part of it.
"""

import os
from pathlib import Path


def new_file(path: Path) -> tuple[int, Path]:
    """Create a file beside `path` that only its owner may read; return its descriptor and path."""
    from tempfile import mkstemp  # 2 ms, and seldom used

    descriptor, name = mkstemp(dir=path.parent, prefix=path.name)
    return descriptor, Path(name)


def write_atomically(path: Path, content: bytes, *, fsync: bool) -> None:
    """Replace the file at `path`; with `fsync`, the content survives a loss of power."""
    descriptor, new = new_file(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if fsync:
                file.flush()
                os.fsync(file.fileno())
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
