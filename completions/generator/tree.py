"""The commands as plain data, for the completions of any shell."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import click

from chatapp_tail.cli.help import load

EVENTS = ("message", "messageStatus", "chatTag", "chatConversation", "employeeStatus")
MESSENGERS = (
    "telegram",
    "telegramBot",
    "grWhatsApp",
    "caWhatsApp",
    "whatsApp",
    "avito",
    "vkontakte",
    "instagram",
    "email",
    "max",
)


@dataclass(frozen=True, slots=True)
class Values:
    """Candidates for a value: `words`, files, and `cached` parts of the account's lines."""

    words: tuple[str, ...] = ()
    files: bool = False
    cached: str = ""
    """`licences`, `messengers` or `channels`"""


NAMED = {
    "license": Values(cached="licences"),
    "messenger": Values(MESSENGERS, cached="messengers"),
    "channel": Values(cached="channels"),
    "event": Values(EVENTS),
    "exclude-event": Values(EVENTS),
}
"""Long name -> candidates that the type of the option does not have."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option; `values` is None for a flag, `metavar` then empty."""

    names: tuple[str, ...]
    metavar: str
    values: Values | None
    repeatable: bool
    ends: bool
    """Whether it shows something and ends, like --help."""
    summary: str

    @property
    def long(self) -> tuple[str, ...]:
        """Names with two dashes."""
        return tuple(name for name in self.names if name.startswith("--"))

    @property
    def short(self) -> tuple[str, ...]:
        """Names with one dash."""
        return tuple(name for name in self.names if not name.startswith("--"))


@dataclass(frozen=True, slots=True)
class Command:
    """One command; the tail has no name. `argument` has the candidates for its arguments."""

    name: str
    summary: str
    options: tuple[Option, ...]
    argument: Values | None


def describe(group: click.Group) -> list[Command]:
    """Return the tail, then the other commands in the order of their names."""
    context = open_context(group)
    shown = [load(command) for _, command in sorted(group.commands.items()) if not command.hidden]
    return [_command(group, "", context)] + [
        _command(command, command.name or "", open_context(command, context)) for command in shown
    ]


def open_context(command: click.Command, parent: click.Context | None = None) -> click.Context:
    """Return the context in which a command says what its options are, --help among them."""
    name = command.name if parent else "chatapp-tail"
    return click.Context(command, parent, info_name=name, **command.context_settings)


def _command(command: click.Command, name: str, context: click.Context) -> Command:
    params = command.get_params(context)
    arguments = [_values(param) for param in params if isinstance(param, click.Argument)]
    return Command(
        name,
        (command.short_help or first_sentence(command.help or "")).rstrip("."),
        tuple(_options(params)),
        arguments[0] if arguments else None,
    )


def _options(params: list[click.Parameter]) -> Iterator[Option]:
    for param in params:
        if isinstance(param, click.Option) and not param.hidden:
            flag = param.is_flag or param.count
            yield Option(
                tuple(sorted([*param.opts, *param.secondary_opts], key=len)),
                "" if flag else metavar(param),
                None if flag else NAMED.get(long_name(param)) or _values(param),
                param.multiple or param.count,
                param.is_eager and not param.expose_value,
                first_sentence(param.help or ""),
            )


def _values(param: click.Parameter) -> Values:
    if isinstance(param.type, click.Choice):
        return Values(tuple(map(str, param.type.choices)))
    named_file = (param.metavar or param.type.name).upper().startswith("FILE")
    return Values(files=named_file or isinstance(param.type, click.Path))


def long_name(option: click.Option) -> str:
    """Return `license` for `-l/--license`."""
    return max(option.opts, key=len).lstrip("-")


def metavar(option: click.Option) -> str:
    """Return what stands for the value in help: `FILE`, `auto|never`."""
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return option.type.name.upper()


def full_help(option: click.Option) -> str:
    """Return all that help says of an option, with its default in brackets at the end."""
    text = " ".join((option.help or "").split())
    shown = option.show_default and option.default is not None
    return f"{text}  [default: {option.default}]" if shown else text


def first_sentence(text: str) -> str:
    """Return what fits beside a name: up to the first full stop or semicolon."""
    return re.split(r"[.;](?:\s|$)", " ".join(text.split()), maxsplit=1)[0]
