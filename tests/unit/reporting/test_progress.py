"""What is shown while history is read."""

import sys
import time
from math import inf

import pytest

from chatapp_tail.items import Fetching
from chatapp_tail.reporting import progress
from chatapp_tail.reporting.progress import HistoryProgress


class MadeReader:
    """A reader that is as far as it is told."""

    def __init__(self) -> None:
        self.since = inf
        self.now = Fetching(0, 0, 0, 0)

    def state(self) -> Fetching:
        return self.now


class Shown:
    """What a progress says, of a reader that began so many seconds ago."""

    def __init__(self, ago: float | None, *, bar: bool = False) -> None:
        self.reader = MadeReader()
        self.lines: list[Fetching] = []
        self.progress = HistoryProgress(self.reader, self.lines.append, bar=bar)
        if ago is not None:
            self.reader.since = time.monotonic() - ago


def test_nothing_is_shown_when_nothing_is_read() -> None:
    shown = Shown(None, bar=True)
    assert shown.progress(False) == inf
    assert 0 < shown.progress(True) <= 1.0, "reading may begin meanwhile"
    assert shown.lines == []


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("bar", [True, False])
def test_what_is_over_soon_is_not_shown(held: bool, bar: bool) -> None:
    shown = Shown(0.5, bar=bar)
    assert 0 < shown.progress(held) <= 1.5
    assert shown.lines == []


@pytest.mark.parametrize(("held", "bar"), [(True, False), (False, False), (False, True)])
def test_what_takes_longer_is_said_in_a_line_now_and_then(held: bool, bar: bool) -> None:
    shown = Shown(3.0, bar=bar)
    first = shown.progress(held)
    assert 9.0 < first < 10.1
    assert len(shown.lines) == 1
    assert 0 < shown.progress(held) <= first
    assert len(shown.lines) == 1, "not at every wake-up"
    shown.progress._line_due = time.monotonic()
    shown.progress(held)
    assert len(shown.lines) == 2


# --- the bar


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TTY_COMPATIBLE": "1", "FORCE_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


def plain(text: str) -> str:
    from rich.text import Text

    return Text.from_ansi(text).plain


@pytest.mark.usefixtures("terminal")
def test_a_bar_while_live_events_wait_and_a_line_when_they_no_longer_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = Shown(3.0, bar=True)
    try:
        assert shown.progress(True) < 1.0
        assert shown.lines == []
        assert "reading history" in plain(capsys.readouterr().err)
    finally:
        shown.progress(False)
    assert len(shown.lines) == 1
    assert "\x1b[?25h" in capsys.readouterr().err, "the cursor is there again"


@pytest.mark.usefixtures("terminal")
def test_the_bar_goes_when_reading_ends(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(3.0, bar=True)
    shown.progress(True)
    shown.reader.since = inf
    assert shown.progress(False) == inf
    assert shown.lines == []
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(("\x1b[2K", "\r", "\x1b[?25h", "\x1b[1A\x1b[2K"))


@pytest.mark.usefixtures("terminal")
def test_a_bar_can_come_again(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(3.0, bar=True)
    for _ in range(2):
        shown.progress(True)
        assert "reading history" in plain(capsys.readouterr().err)
        shown.reader.since = inf
        shown.progress(False)
        capsys.readouterr()
        shown.reader.since = time.monotonic() - 3.0


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("state", "words"),
    [
        (Fetching(0, 0, 0, 0), "reading history"),
        (Fetching(0, 40, 8, 0), "8 of 40 chats"),
        (Fetching(0, 40, 8, 17), "8 of 40 chats, 17 messages"),
    ],
)
def test_what_the_bar_says(capsys: pytest.CaptureFixture[str], state: Fetching, words: str) -> None:
    shown = Shown(3.0, bar=True)
    shown.reader.now = state
    shown.progress(True)
    said = plain(capsys.readouterr().err)
    assert words in said
    assert "None" not in said
    shown.progress(False)


def test_the_bar_goes_to_stderr() -> None:
    bar = progress._new_bar()
    try:
        assert bar.console.file is sys.stderr
    finally:
        bar.stop()
