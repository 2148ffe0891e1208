"""The manual page, chatapp-tail(1), made from the same help as `--help`."""

import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

import click

from chatapp_tail import __version__
from chatapp_tail.cli.help import grouped, load
from chatapp_tail.formats.schema import schema

from . import manual_text
from .tree import full_help, long_name, metavar, open_context

_PREFIX = "CHATAPP_TAIL_"


def manual(command: click.Group, note: str) -> str:
    """Return the page as roff with man(7) macros; `note` names its origin in one line."""
    context = open_context(command)
    sections = {
        "NAME": [r"chatapp\-tail \- show the events of ChatApp messengers as they happen"],
        "SYNOPSIS": _synopsis(),
        "DESCRIPTION": _prose(_introduction(command)),
        "EXAMPLES": _examples(command),
        "OPTIONS": [*_prose(manual_text.OPTIONS), *_options(command.get_params(context))],
        "COMMANDS": _commands(command, context),
        "OUTPUT": _section(manual_text.output(_states(), _with_members(manual_text.OTHER_RECORDS))),
        "FORWARDING": _section(manual_text.FORWARDING),
        "HISTORY": _section(manual_text.HISTORY),
        "CONNECTION": _section(manual_text.CONNECTION),
        "CREDENTIALS": _section(manual_text.CREDENTIALS),
        "SIGNALS": _section(manual_text.SIGNALS),
        "EXIT STATUS": _exit_statuses(),
        "ENVIRONMENT": _environment(command),
        "FILES": _list(manual_text.FILES),
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
    yield from _list(
        {str(int(status)): meaning for status, meaning in manual_text.STATUSES.items()}
    )
    yield from _list({"130, 143": manual_text.DEATH_BY_SIGNAL})


def _states() -> dict[str, str]:
    named = {f"status_{state}": meaning for state, meaning in manual_text.STATES.items()}
    return {name.removeprefix("status_"): of for name, of in _with_members(named).items()}


def _with_members(records: Mapping[str, str]) -> dict[str, str]:
    """Return the explanations of records, each with the members that not all records have."""
    known = schema()["$defs"]
    return {name: f"{meaning} {_members(known[name])}" for name, meaning in records.items()}


def _members(record: Mapping[str, Sequence[str]]) -> str:
    """Return the members of a record that are always there; all have `message` on stderr."""
    names = [name for name in record["required"] if name not in ("v", "type", "state", "at")]
    return f"Members: {', '.join(names)}."


def _environment(group: click.Group) -> Iterator[str]:
    yield from _prose(
        f"Every option is also read from a variable, {_PREFIX} and its long name, such as"
        f" {_PREFIX}LICENSE and {_PREFIX}WS_URL; the command line takes precedence. Values of an"
        " option that may be repeated are separated by spaces"
        f"{_exceptions(group)}. The variable of an option of another command"
        f" has that command's name in it: {_PREFIX}SANDBOX_PORT."
    )
    yield from _list(manual_text.VARIABLES | dict(_aliases(group)))


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


def _section(section: manual_text.Section) -> Iterator[str]:
    for heading, body in section.items():
        if heading:
            yield f'.SS "{_escape(heading)}"'
        for number, block in enumerate(body):
            yield from _block(block, first=number == 0)


def _block(block: manual_text.Block, *, first: bool) -> Iterator[str]:
    if isinstance(block, tuple):
        for point in block:
            yield from (r".IP \(bu 2", *_filled(point))
    elif isinstance(block, str):
        yield from () if first else (".PP",)
        yield from _prose(block)
    else:
        yield from _list(block)


def _list(entries: Mapping[str, str]) -> Iterator[str]:
    for term, meaning in entries.items():
        yield from (".TP", rf"\fB{_escape(term)}\fR", *_filled(meaning))


def _prose(prose: str) -> Iterator[str]:
    for number, paragraph in enumerate(prose.strip().split("\n\n")):
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
