"""Small files are replaced whole, or not at all, and leave nothing behind."""

import os
import stat
from pathlib import Path

import pytest

from chatapp_tail.files import write_atomically, write_beside


@pytest.mark.parametrize("fsync", [True, False])
def test_a_file_is_replaced_and_for_its_owner_only(tmp_path: Path, fsync: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    path.chmod(0o644)
    write_atomically(path, b"new", fsync=fsync)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_replaced_stays_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "directory"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_atomically(path, b"new", fsync=False)
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_stands_beside_the_other(tmp_path: Path) -> None:
    new = write_beside(tmp_path / "file", b"new", fsync=True)
    assert new.parent == tmp_path
    assert new.name.startswith("file")
    assert new.read_bytes() == b"new"


def test_a_new_file_that_cannot_be_written_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        write_beside(tmp_path / "file", b"new", fsync=True)
    assert list(tmp_path.iterdir()) == []
