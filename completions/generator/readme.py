"""The table of options in README.md, made from the same help as `--help`."""

import re
from collections.abc import Iterator

import click

from chatapp_tail.cli.help import grouped

from .tree import first_sentence, full_help, metavar, open_context

START, END = "<!-- options -->", "<!-- /options -->"
_DEFAULT = re.compile(r"\s+\[default: (.*)\]$")
_CODE = re.compile(r"--[a-z][a-z-]*|\b[A-Z]+(?:_[A-Z]+)+\b|\b[a-z]+://[\w.:/-]*\w")
"""Options, variables and URLs."""
_LONGEST_DEFAULT = 8
"""Characters; the manual page has longer defaults, such as URLs."""


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
    for heading, options in grouped(command.get_params(open_context(command))):
        yield f"| **{heading}** | |"
        for option in filter(_is_setting, options):
            yield f"| {_names(option)} | {_meaning(option)} |"


def _is_setting(option: click.Option) -> bool:
    """Return whether an option does not just show something and end, as every program's --help."""
    return option.expose_value or not option.is_eager


def _names(option: click.Option) -> str:
    *others, long = sorted([*option.opts, *option.secondary_opts], key=len)
    value = "" if option.is_flag or option.count else f" {metavar(option)}"
    more = "..." if option.multiple else ""
    return ", ".join(f"`{_escape(name)}`" for name in (*others, long + value + more))


def _meaning(option: click.Option) -> str:
    """Return the first sentence of the help and a short default; one line has no more room."""
    text = full_help(option)
    default = _DEFAULT.search(text)
    summary = first_sentence(_DEFAULT.sub("", text))
    if default and len(default[1]) <= _LONGEST_DEFAULT:
        summary += f"; default {default[1]}"
    return _CODE.sub(r"`\g<0>`", _escape(summary))


def _escape(text: str) -> str:
    """Return text that does not end a cell."""
    return text.replace("|", r"\|")
