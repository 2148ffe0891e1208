"""The table of options in README.md, made from the same help as `--help`."""

import re
from collections.abc import Iterator

import click

from chatapp_tail.cli.help import grouped

from .tree import full_help, metavar, open_context

START, END = "<!-- options -->", "<!-- /options -->"
_DEFAULT = re.compile(r"\s+\[default: (.*)\]$")
_CODE = re.compile(r"--[a-z][a-z-]*|\b[A-Z]+(?:_[A-Z]+)+\b|\b[a-z]+://[\w.:/-]*\w")
"""Options, variables and URLs."""


def with_options(readme: str, command: click.Command) -> str:
    """Return README.md with a new table between the markers."""
    before, _, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"README.md needs the markers {START} and {END}")
    return "\n".join((before + START, "", *_table(command), "", END + after))


def _table(command: click.Command) -> Iterator[str]:
    yield "| option | meaning |"
    yield "|---|---|"
    for _, options in grouped(command.get_params(open_context(command))):
        for option in options:
            yield f"| {_names(option)} | {_meaning(option)} |"


def _names(option: click.Option) -> str:
    *others, long = sorted([*option.opts, *option.secondary_opts], key=len)
    value = "" if option.is_flag or option.count else f" {metavar(option)}"
    return ", ".join(f"`{_escape(name)}`" for name in (*others, long + value))


def _meaning(option: click.Option) -> str:
    text = _DEFAULT.sub(r" Default: \1.", full_help(option))
    return _CODE.sub(r"`\g<0>`", _escape(text))


def _escape(text: str) -> str:
    """Return text that does not end a cell."""
    return text.replace("|", r"\|")
