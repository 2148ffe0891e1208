"""Where the state of this program is kept."""

import os
from pathlib import Path

import pytest

from chatapp_tail.errors import OutputError
from chatapp_tail.files import state_directory
from chatapp_tail.history.checkpoint import Checkpoint


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_below_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_directory() == tmp_path / ".local/state/chatapp-tail"
    assert not (tmp_path / ".local").exists(), "to look is not to make"


@pytest.mark.parametrize("home", ["/nowhere", "", None])
def test_xdg_says_where_and_needs_no_home(
    home: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_directory() == tmp_path / "chatapp-tail"


@pytest.mark.parametrize("xdg", ["", " ", "state"])
def test_an_odd_xdg_directory_is_as_none(
    xdg: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The XDG specification: a path that is not absolute is to be ignored."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", xdg)
    found = state_directory()
    assert found is None or found == tmp_path / ".local/state/chatapp-tail"


def test_an_empty_home_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    assert state_directory() is None


@pytest.mark.parametrize("home", ["relative", "."])
def test_never_below_the_current_directory(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", home)
    found = state_directory()
    assert found is None or found.is_absolute()


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)
    assert state_directory() is None


def test_a_checkpoint_of_a_user_without_a_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "")
    with pytest.raises(OutputError, match="set HOME or XDG_STATE_HOME"):
        Checkpoint("default")
    assert list(tmp_path.iterdir()) == []
