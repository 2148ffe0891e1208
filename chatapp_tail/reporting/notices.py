"""What the connection says, as lines for people on stderr.

Trouble and what ends it are always said; progress (connecting, ready) only where a person looks on,
so that a script's stderr stays empty when all is well. Text from the server is escaped.
"""

import time
from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import assert_never

from .. import items
from ..chatapp.channels import short_name
from ..escape import escape_line, escape_text
from ..formats.meta import describe, encode_record
from ..redaction import redact
from .summary import span

_LONGEST = 1000
"""Characters of a notice; what a server says may have any length."""


class Level(IntEnum):
    """How much is said; each level includes the ones before it."""

    QUIET = 0
    TROUBLE = 1
    PROGRESS = 2
    DETAIL = 3
    FRAMES = 4


class LogFormat(StrEnum):
    """What `--log-format` takes."""

    TEXT = "text"
    JSON = "json"


class Notices:
    """Writes what `level` allows, one line each, through `write`."""

    def __init__(self, write: Callable[[str], None], level: Level, log_format: LogFormat) -> None:
        self._write = write
        self._level = level
        self._as_json = log_format is LogFormat.JSON
        self._lost: items.Lost | None = None
        self._troubled = False

    def say(self, status: items.Status | items.Gap) -> None:
        """Say a status change, if it is worth a line at this level."""
        level, sentence = self._sentence(status)
        if level > self._level:
            return
        # Much of it is text of the server: reasons, and names in channels.
        sentence = escape_line(redact(sentence))
        if self._as_json:
            self._write_json(describe(status) | ({"message": sentence} if sentence else {}))
        elif sentence:
            self._write(f"chatapp-tail: {sentence[:_LONGEST]}")

    def warn(self, reason: str) -> None:
        """Say what is unsafe, or went wrong beside the connection; by any thread."""
        troubled = self._troubled
        self.say(items.ConnectionWarning(time.time_ns(), reason))
        self._troubled = troubled

    def end(self, sentence: str, status: int) -> None:
        """Say what ends the program; at every level."""
        if self._as_json:
            error = {"v": 1, "type": "error", "message": sentence, "exit_status": status}
            self._write_json(error)
        else:
            self._write(f"chatapp-tail: {escape_text(redact(sentence))}")

    def summary(self, sentence: str, figures: dict[str, object]) -> None:
        """Say what the run did."""
        if self._as_json:
            self._write_json({"v": 1, "type": "summary", **figures, "message": sentence})
        else:
            # The names of events and channels are the server's.
            self._write(f"chatapp-tail: {escape_line(redact(sentence))[:_LONGEST]}")

    def warning_line(self, sentence: str) -> str:
        """Return the line of a warning that is not the connection's."""
        if self._as_json:
            trouble = describe(items.ConnectionWarning(time.time_ns(), sentence))
            return encode_record(trouble | {"message": sentence}).decode()
        return f"chatapp-tail: {sentence}"

    def _write_json(self, record: dict[str, object]) -> None:
        self._write(encode_record(record).decode())

    def _sentence(self, status: items.Status | items.Gap) -> tuple[Level, str]:
        match status:
            case items.Connecting(_, url):
                return (
                    Level.PROGRESS if self._lost is None else Level.DETAIL,
                    f"connecting to {url}",
                )
            case items.Connected(_, socket_id):
                return Level.DETAIL, f"connected, socket id {socket_id}"
            case items.Subscribed(_, channel):
                return Level.DETAIL, f"subscribed to {short_name(channel)}"
            case items.Ready(_, channels, refused):
                level = Level.TROUBLE if self._troubled else Level.PROGRESS
                self._lost, self._troubled = None, False
                return level, _ready(channels, refused)
            case items.Refused(_, channel, reason):
                self._troubled = True
                return Level.TROUBLE, f"refused: {short_name(channel)}: {reason}"
            case items.ConnectionWarning(_, reason, channel):
                self._troubled = True
                where = f"{short_name(channel)}: " if channel else ""
                return Level.TROUBLE, f"warning: {where}{reason}"
            case items.FrameTrace(_, direction, text):
                return Level.FRAMES, f"{direction} {text}"
            case items.Idle():
                return Level.DETAIL, _quiet(status)
            case items.Lost():
                self._lost, self._troubled = status, True
                return Level.TROUBLE, ""
            case items.Reconnecting(_, delay):
                assert self._lost is not None
                return Level.TROUBLE, f"{_lost(self._lost)}; trying again {_in(delay)}"
            case items.Fetching():
                return Level.TROUBLE, describe_progress(status)
            case items.Gap():
                return _gap_level(status), _gap(status)
            case items.Stopped():
                return Level.PROGRESS, ""
            case _:
                assert_never(status)


def _ready(channels: list[str], refused: list[str]) -> str:
    count = len(channels)
    what = short_name(channels[0]) if count == 1 else f"{count} channels"
    return f"ready: {what}" + (f" ({len(refused)} refused)" if refused else "")


def _gap_level(gap: items.Gap) -> Level:
    if gap.final:
        return Level.DETAIL  # what ends the program says enough
    all_well = gap.reason == items.ASKED and gap.missing is None
    return Level.PROGRESS if all_well else Level.TROUBLE


def describe_progress(fetching: items.Fetching) -> str:
    """Return how far reading history is, for people; what a server said in it is not escaped."""
    said = "reading history"
    said += f": {fetching.chats_read} of {fetching.chats} chats" if fetching.chats else ""
    if fetching.messages:
        said += f", {fetching.messages} messages so far"
    if fetching.trouble:
        said += f"; asking again, since {fetching.trouble}"
    return said


def _gap(gap: items.Gap) -> str:
    """Return what is missing, and what came back of it."""
    length = span((gap.until - gap.since) / 1e9)
    hole = f"{short_name(gap.channel)} from {_clock(gap.since)} to {_clock(gap.until)} ({length})"
    messages = f"{gap.recovered} message{'' if gap.recovered == 1 else 's'}"
    if gap.reason == items.ASKED:
        lacks = "it has no statuses and tags" if gap.missing is None else gap.missing
        return f"history: {messages} of {hole}; {lacks}"
    if gap.missing is None:
        return f"gap: {hole}: recovered {messages}; statuses, tags and edits cannot be recovered"
    if gap.missing == items.NOT_FETCHED:
        return f"gap: events of {hole} may be missing"
    return f"gap: events of {hole} may be missing: recovered {messages}; {gap.missing}"


def _quiet(quiet: items.Idle) -> str:
    pong = "none yet" if quiet.last_pong is None else f"{span(quiet.last_pong)} ago"
    return (
        f"quiet: no event for {span(quiet.last_event)};"
        f" last frame {span(quiet.last_frame)} ago, last pong {pong}"
    )


def _lost(lost: items.Lost) -> str:
    if lost.lasted is None:
        return f"cannot connect to {lost.reason}"
    return f"lost the connection after {span(lost.lasted)} to {lost.reason}"


def _in(delay: float) -> str:
    return f"in {span(delay)}" if delay >= 0.05 else "at once"


def _clock(nanoseconds: int) -> str:
    """Return the time of day, and the day if it is another one."""
    moment = time.localtime(nanoseconds / 1e9)
    today = time.strftime("%F", moment) == time.strftime("%F")
    return time.strftime("%T" if today else "%F %T", moment)
