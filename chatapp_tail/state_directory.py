"""Where this program keeps what must outlast it: XDG's state directory, or the system's own."""

import os
from pathlib import Path


def state_directory() -> Path | None:
    """Return the directory, which need not exist yet; None for a user who has no home."""
    from platformdirs import user_state_path

    try:
        directory = user_state_path("chatapp-tail")
    except RuntimeError:
        return None
    nowhere = os.environ.get("HOME") == "" and not os.environ.get("XDG_STATE_HOME")
    return None if nowhere or not directory.is_absolute() else directory
