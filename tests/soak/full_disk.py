"""A disk of a few pages that can be filled, mounted where the tail keeps its login."""

import os
import subprocess
from pathlib import Path
from typing import Self

_SIZE = 256 * 1024


class SmallDisk:
    """Mounts a tmpfs at `place` for the block, its checkpoints elsewhere; only root can.

    `mounted` is False where that is not permitted; then nothing can be filled.
    """

    def __init__(self, place: Path, elsewhere: Path) -> None:
        self.mounted = False
        self._place = place
        self._elsewhere = elsewhere
        self._filler = place / "filler"

    def fill(self) -> None:
        """Leave no room for a single byte."""
        with self._filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                os.fsync(file.fileno())

    def empty(self) -> None:
        """Make room again. May be repeated."""
        self._filler.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self._place.mkdir(parents=True)
        self._elsewhere.mkdir()
        argv = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(self._place)]
        self.mounted = (
            os.geteuid() == 0 and not subprocess.run(argv, capture_output=True).returncode
        )
        (self._place / "resume").symlink_to(self._elsewhere)
        return self

    def __exit__(self, *_: object) -> None:
        if self.mounted:
            subprocess.run(["umount", "-l", str(self._place)], check=True)
