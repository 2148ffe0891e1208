"""Writes status changes as lines for people on stderr.

Warnings and errors are always written; progress (connecting, ready) only on a terminal, so that a
script's stderr stays empty while all is well. Text from the server is escaped.
"""

import time
from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import assert_never

from .. import items
from ..chatapp.channels import short_name
from ..escape import escape_line, escape_text
from ..formats.meta import describe, encode_record
from ..formats.timestamps import timestamp
from ..redaction import redact
from .summary import format_duration

_LONGEST = 1000
"""Characters per notice; a server's text may have any length."""


class Level(IntEnum):
    """How much is written; each level includes the ones before it."""

    QUIET = 0
    WARNING = 1
    INFO = 2
    DEBUG = 3
    TRACE = 4


class LogFormat(StrEnum):
    """The values of `--log-format`."""

    TEXT = "text"
    JSON = "json"


class Notices:
    """Passes a line to `write` per notice that `level` allows."""

    def __init__(self, write: Callable[[str], None], level: Level, log_format: LogFormat) -> None:
        self._write = write
        self._level = level
        self._as_json = log_format is LogFormat.JSON
        self._lost: items.Lost | None = None
        """The last loss since all channels were ready."""
        self._troubled = False
        """Whether a warning was written that a notice of being ready should follow."""

    def say(self, status: items.Status | items.Gap) -> None:
        """Write a line about a status change if the level allows it."""
        level, sentence = self._sentence(status)
        if level > self._level:
            return
        # Reasons and channel names are the server's text.
        sentence = escape_line(redact(sentence))
        if self._as_json:
            self._write_json(describe(status) | ({"message": sentence} if sentence else {}))
        elif sentence:
            self._write(f"chatapp-tail: {sentence[:_LONGEST]}")

    def warn(self, reason: str) -> None:
        """Warn of something other than the connection; from any thread."""
        troubled = self._troubled
        self.say(items.ConnectionWarning(time.time_ns(), reason))
        self._troubled = troubled

    def inform(self, level: Level, sentence: str) -> None:
        """Write a sentence about a destination, if the level allows it."""
        if level > self._level:
            return
        sentence = escape_line(redact(sentence))
        if self._as_json:
            at = timestamp(time.time_ns()).decode()
            record = {"v": 1, "type": "status", "state": "delivery", "at": at, "message": sentence}
            self._write_json(record)
        else:
            self._write(f"chatapp-tail: {sentence[:_LONGEST]}")

    def end(self, sentence: str, status: int) -> None:
        """Write why the program ends; at every level."""
        if self._as_json:
            error = {"v": 1, "type": "error", "message": sentence, "exit_status": status}
            self._write_json(error)
        else:
            self._write(f"chatapp-tail: {escape_text(redact(sentence))}")

    def summary(self, sentence: str, figures: dict[str, object]) -> None:
        """Write the counts of a run."""
        if self._as_json:
            self._write_json({"v": 1, "type": "summary", **figures, "message": sentence})
        else:
            # Names of events and channels are the server's text.
            self._write(f"chatapp-tail: {escape_line(redact(sentence))[:_LONGEST]}")

    def warning_line(self, sentence: str) -> str:
        """Return the line of a warning without writing it."""
        if self._as_json:
            warning = describe(items.ConnectionWarning(time.time_ns(), sentence))
            return encode_record(warning | {"message": sentence}).decode()
        return f"chatapp-tail: {sentence}"

    def _write_json(self, record: dict[str, object]) -> None:
        self._write(encode_record(record).decode())

    def _sentence(self, status: items.Status | items.Gap) -> tuple[Level, str]:
        match status:
            case items.Connecting(_, url):
                return (
                    Level.INFO if self._lost is None else Level.DEBUG,
                    f"connecting to {url}",
                )
            case items.Connected(_, socket_id):
                return Level.DEBUG, f"connected, socket id {socket_id}"
            case items.Subscribed(_, channel):
                return Level.DEBUG, f"subscribed to {short_name(channel)}"
            case items.Ready(_, channels, refused):
                level = Level.WARNING if self._troubled else Level.INFO
                self._lost, self._troubled = None, False
                return level, _ready(channels, refused)
            case items.Refused(_, channel, reason):
                self._troubled = True
                return Level.WARNING, f"refused: {short_name(channel)}: {reason}"
            case items.ConnectionWarning(_, reason, channel):
                self._troubled = True
                where = f"{short_name(channel)}: " if channel else ""
                return Level.WARNING, f"warning: {where}{reason}"
            case items.FrameTrace(_, direction, text):
                return Level.TRACE, f"{direction} {text}"
            case items.Idle():
                return Level.DEBUG, _idle(status)
            case items.Lost():
                self._lost, self._troubled = status, True
                return Level.WARNING, ""
            case items.Reconnecting(_, delay):
                assert self._lost is not None
                return Level.WARNING, f"{_lost(self._lost)}; trying again {when(delay)}"
            case items.Fetching():
                return Level.WARNING, describe_progress(status)
            case items.Gap():
                return _gap_level(status), _gap(status)
            case items.Stopped():
                return Level.INFO, ""
            case _:
                assert_never(status)


def _ready(channels: list[str], refused: list[str]) -> str:
    count = len(channels)
    what = short_name(channels[0]) if count == 1 else f"{count} channels"
    return f"ready: {what}" + (f" ({len(refused)} refused)" if refused else "")


def _gap_level(gap: items.Gap) -> Level:
    if gap.final:
        return Level.DEBUG  # the reason of the end follows
    all_well = gap.reason == items.ASKED and gap.missing is None
    return Level.INFO if all_well else Level.WARNING


def describe_progress(fetching: items.Fetching) -> str:
    """Return how far reading history is, for people; the server's text in it is not escaped."""
    sentence = "reading history"
    sentence += f": {fetching.chats_read} of {fetching.chats} chats" if fetching.chats else ""
    if fetching.messages:
        sentence += f", {fetching.messages} messages so far"
    if fetching.trouble:
        sentence += f"; asking again, since {fetching.trouble}"
    return sentence


def _gap(gap: items.Gap) -> str:
    """Return a gap, what was recovered of it and what is missing."""
    length = format_duration((gap.until - gap.since) / 1e9)
    period = f"{short_name(gap.channel)} from {_clock(gap.since)} to {_clock(gap.until)} ({length})"
    messages = f"{gap.recovered} message{'' if gap.recovered == 1 else 's'}"
    if gap.reason == items.ASKED:
        lacks = "it has no statuses and tags" if gap.missing is None else gap.missing
        return f"history: {messages} of {period}; {lacks}"
    if gap.missing is None:
        return f"gap: {period}: recovered {messages}; statuses, tags and edits cannot be recovered"
    if gap.missing == items.NOT_FETCHED:
        return f"gap: events of {period} may be missing"
    return f"gap: events of {period} may be missing: recovered {messages}; {gap.missing}"


def _idle(idle: items.Idle) -> str:
    pong = "none yet" if idle.last_pong is None else f"{format_duration(idle.last_pong)} ago"
    return (
        f"quiet: no event for {format_duration(idle.last_event)};"
        f" last frame {format_duration(idle.last_frame)} ago, last pong {pong}"
    )


def _lost(lost: items.Lost) -> str:
    if lost.lasted is None:
        return f"cannot connect to {lost.reason}"
    return f"lost the connection after {format_duration(lost.lasted)} to {lost.reason}"


def when(delay: float) -> str:
    """Return `in 2.0 s`, or `at once`."""
    return f"in {format_duration(delay)}" if delay >= 0.05 else "at once"


def _clock(nanoseconds: int) -> str:
    """Return the time of day, preceded by the date unless it is today."""
    moment = time.localtime(nanoseconds / 1e9)
    today = time.strftime("%F", moment) == time.strftime("%F")
    return time.strftime("%T" if today else "%F %T", moment)
