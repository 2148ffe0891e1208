"""The manual page, chatapp-tail(1), made from the same help as `--help`."""

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator

import click

from chatapp_tail import __version__
from chatapp_tail.cli.help import grouped, load
from chatapp_tail.errors import ExitStatus

from .tree import full_help, long_name, metavar, open_context

_PREFIX = "CHATAPP_TAIL_"

STATUSES = {
    ExitStatus.DONE: "Done: the count was reached, the time was over and there was no count, or"
    " the reader of standard output is gone.",
    ExitStatus.BUG: "A bug, with a traceback.",
    ExitStatus.USAGE: "Usage error in the command line or the environment.",
    ExitStatus.CREDENTIALS: "Credentials are missing or were refused.",
    ExitStatus.UNREACHABLE: "The server cannot be reached, with --no-reconnect or --max-retries, or"
    " when its certificate is not trusted; or the time of --for or --idle was over before every"
    " channel was confirmed or refused for the first time; or there are too few file descriptors.",
    ExitStatus.CHANNELS_REFUSED: "Every wanted channel was refused; with --strict, any, or a"
    " licence or messenger that is not in the account.",
    ExitStatus.REFUSED_BY_SERVER: "The server refused the app key or the protocol.",
    ExitStatus.OUTPUT_FAILED: "Standard output failed: the disk is full, it is closed, or its"
    " reader fell too far behind or took nothing for 10 seconds at the end.",
    ExitStatus.COUNT_NOT_REACHED: "--count was not reached in time.",
}
_SIGNALS = (
    "SIGINT, SIGTERM: the records received so far are written, then the process dies by that"
    " signal. If standard output accepts nothing for 10 seconds (SIGTERM) or one second (SIGINT),"
    " the rest is dropped and reported. A second signal ends the process at once."
)

_OUTPUT = """\
Standard output holds records and nothing else, each line whole and written at once. Standard
error holds notices: trouble always, progress when it is a terminal or with --verbose.

In a pipe, or with -o json, each item of an event is one line: a JSON object with these members,
in this order. Later versions only add some; chatapp-tail schema prints the JSON Schema.
"""
_MEMBERS = {
    "v": "1, the version of this format.",
    "type": "event; with --meta also status and gap.",
    "event": "What happened: message, messageStatus, chatTag, ... whatever the server sends.",
    "id": "The same for the same event on every machine and in every run.",
    "channel": "The Pusher channel it came through.",
    "license, messenger": "Licence number and messenger type, or null.",
    "received": "When it came, UTC, as 2026-11-22T08:39:00.123456Z.",
    "source": "Where it came from: live, backfill or replay.",
    "queue": "ChatApp's name of its queue, or null.",
    "part, parts": "Which item of the event this is, of how many.",
    "encoding": "text, only where the data was not JSON.",
    "data": "The item byte for byte as it came.",
}
_VARIABLES = {
    "CHATAPP_TOKEN": "The access token, unless --token-file names a file. Quote it: it contains"
    " dollar signs.",
    "CHATAPP_PASSWORD": "The password for login, unless --password-file names a file.",
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY": "The proxy to go through, and the hosts that"
    " bypass it, unless --proxy is given.",
    "NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE": "Whether there are colours, unless --color says so.",
    "TMPDIR": "Directory of the unnamed file that buffers output for a slow reader.",
    "NOTIFY_SOCKET, WATCHDOG_USEC": "Set by systemd, which is notified once every channel is"
    " confirmed or refused. Its watchdog is reset regularly.",
}
_FILES = {
    "${XDG_STATE_HOME:-~/.local/state}/chatapp-tail/tokens.json": "The logins, readable by you"
    " only.",
    "${XDG_STATE_HOME:-~/.local/state}/chatapp-tail/resume/NAME.sqlite": "What the tail with"
    " --resume=NAME has written. Without it the next run starts over.",
    "${XDG_CACHE_HOME:-~/.cache}/chatapp-tail/lines": "Licences and messengers seen last, one pair"
    " per line, for the completion of shells. May be removed at any time.",
}


def manual(command: click.Group, note: str) -> str:
    """Return the page as roff with man(7) macros; `note` names its origin in one line."""
    context = open_context(command)
    sections = {
        "NAME": [r"chatapp\-tail \- show the events of ChatApp messengers as they happen"],
        "SYNOPSIS": _synopsis(),
        "DESCRIPTION": _prose(_introduction(command)),
        "EXAMPLES": _examples(command),
        "OPTIONS": _options(command.get_params(context)),
        "COMMANDS": _commands(command, context),
        "OUTPUT": [*_prose(_OUTPUT), *_list(_MEMBERS)],
        "EXIT STATUS": _exit_statuses(),
        "ENVIRONMENT": _environment(command),
        "FILES": _list(_FILES),
        "SEE ALSO": [r".BR jq (1),", r".BR tail (1)"],
    }
    title = f'.TH CHATAPP\\-TAIL 1 "" "{_escape(f"chatapp-tail {__version__}")}" "User Commands"'
    # No hyphens in words and no wide gaps: addresses and options are copied from here.
    lines = [f'.\\" {note}', title, ".nh", ".ad l"]
    for heading, body in sections.items():
        lines += [f".SH {heading}", *body]
    return "\n".join(lines) + "\n"


def _synopsis() -> Iterator[str]:
    yield r".B chatapp\-tail"
    yield r"[\fIOPTION\fR]..."
    yield ".br"
    yield r".B chatapp\-tail"
    yield r"\fICOMMAND\fR [\fIOPTION\fR]... [\fIARGUMENT\fR]..."


def _paragraphs(command: click.Command) -> list[str]:
    return inspect.cleandoc(command.help or "").split("\n\n")


def _introduction(command: click.Command) -> str:
    return "\n\n".join(text for text in _paragraphs(command) if not text.startswith("\b"))


def _examples(command: click.Command) -> Iterator[str]:
    """Yield what `--help` shows as examples: commands, each with an indented line about it."""
    lines = [
        line
        for text in _paragraphs(command)
        if text.startswith("\b")
        for line in text.splitlines()
        if line.startswith("  ")
    ]
    for line in lines:
        if line.startswith("   "):
            yield _escape(line.strip())
        else:
            yield from (".TP", rf"\fB{_escape(line.strip())}\fR")


def _options(params: list[click.Parameter]) -> Iterator[str]:
    for heading, options in grouped(params):
        yield f".SS {heading}"
        for option in options:
            yield from _option(option)


def _option(option: click.Option) -> Iterator[str]:
    value = "" if option.is_flag or option.count else rf" \fI{_escape(metavar(option))}\fR"
    names = sorted([*option.opts, *option.secondary_opts], key=len)
    yield ".TP"
    yield ", ".join(rf"\fB{_escape(name)}\fR" for name in names) + value
    yield from _filled(full_help(option))


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    known = {full_help(param) for param in group.params if isinstance(param, click.Option)}
    for name, command in sorted(group.commands.items()):
        if not command.hidden:
            yield from _command(name, load(command), context, known)


def _command(
    name: str, command: click.Command, parent: click.Context, known: set[str]
) -> Iterator[str]:
    """Yield a command; options that mean what they mean to the tail are only named."""
    context = open_context(command, parent)
    params = command.get_params(context)
    arguments = [
        param.make_metavar(context) for param in params if isinstance(param, click.Argument)
    ]
    options = [param for param in params if isinstance(param, click.Option) and not param.hidden]
    options = [option for option in options if long_name(option) != "help"]
    words = " ".join(["chatapp-tail", name, *arguments])
    yield f'.SS "{_escape(words)}"'
    yield from _prose("\n\n".join(_paragraphs(command)).replace("\b\n", ""))
    for option in options:
        if full_help(option) not in known:
            yield from _option(option)
    if same := [f"--{long_name(option)}" for option in options if full_help(option) in known]:
        yield ".PP"
        yield from _filled(f"As above: {', '.join(same)}.")


def _exit_statuses() -> Iterator[str]:
    yield from _list({str(int(status)): text for status, text in STATUSES.items()})
    yield from _list({"130, 143": _SIGNALS})


def _environment(group: click.Group) -> Iterator[str]:
    yield from _prose(
        f"Every option is also read from a variable, {_PREFIX} and its long name, such as"
        f" {_PREFIX}LICENSE and {_PREFIX}WS_URL; the command line takes precedence. Values of an"
        " option that may be repeated are separated by spaces"
        f"{_exceptions(group)}. The variable of an option of another command"
        f" has that command's name in it: {_PREFIX}SANDBOX_PORT."
    )
    yield from _list(_VARIABLES | dict(_aliases(group)))


def _exceptions(group: click.Group) -> str:
    """Return of which options the values in a variable are separated by newlines."""
    options = [
        param for param in group.params if isinstance(param, click.Option) and param.multiple
    ]
    names = [
        f"--{long_name(option)}" for option in options if option.type.envvar_list_splitter == "\n"
    ]
    return f" (of {', '.join(names)}: by newlines)" if names else ""


def _aliases(group: click.Group) -> Iterator[tuple[str, str]]:
    """Yield the variables of options that are not made of their names."""
    for command in (group, *map(load, group.commands.values())):
        for param in command.params:
            names = [param.envvar] if isinstance(param.envvar, str) else param.envvar or []
            for name in names:
                if not name.startswith(_PREFIX) and isinstance(param, click.Option):
                    yield name, f"The same as --{long_name(param)}."


def _list(entries: dict[str, str]) -> Iterator[str]:
    for term, text in entries.items():
        yield from (".TP", rf"\fB{_escape(term)}\fR", *_filled(text))


def _prose(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        if number:
            yield ".PP"
        yield from _filled(paragraph)


def _filled(text: str) -> Iterable[str]:
    """Wrap a paragraph: roff fills it again, and short lines make changes easy to see."""
    return map(_escape, textwrap.wrap(text, 72, break_on_hyphens=False, break_long_words=False))


_CHARACTERS = {
    "\\": r"\e",
    "-": r"\-",
    "'": r"\(aq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
    '"': r"\(dq",
}


def _escape(text: str) -> str:
    """Return text as roff that shows it as it is, and can be copied from a terminal."""
    escaped = "".join(
        _CHARACTERS.get(char) or (char if char.isascii() else rf"\[u{ord(char):04X}]")
        for char in text
    )
    return re.sub(r"^\.", r"\\&.", escaped)
