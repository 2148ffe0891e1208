"""How `--help` shows options, in groups, and commands that are imported when they are run."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import click

GROUPS = (
    "Select",
    "Filter",
    "Output",
    "Forward",
    "History",
    "Limit",
    "Connection",
    "Credentials",
    "Logging",
)
"""The headings of options, in order. Options of click itself stand under the last one."""

_WIDEST = 26


class GroupedOption(click.Option):
    """An option that belongs under a heading of `GROUPS`."""

    def __init__(self, *args: Any, group: str | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.group = group or GROUPS[-1]


class GroupedHelp(click.Group):
    """A group whose `--help` has its options under the headings of `GROUPS`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups, then the commands."""
        groups = [
            (heading, [record for option in options if (record := option.get_help_record(ctx))])
            for heading, options in grouped(self.get_params(ctx))
        ]
        widths = [len(names) for _, records in groups for names, _ in records]
        width = max((width for width in widths if width <= _WIDEST), default=0)
        for heading, records in groups:
            with formatter.section(heading):
                # The same column in every group: click makes it as wide as the widest name.
                formatter.write_dl([(names.ljust(width), text) for names, text in records], width)
        self.format_commands(ctx, formatter)


def grouped(params: Sequence[click.Parameter]) -> Iterator[tuple[str, list[click.Option]]]:
    """Yield the headings that have options, each with them in the order of declaration."""
    options = [param for param in params if isinstance(param, click.Option)]
    for heading in GROUPS:
        if members := [option for option in options if _group_of(option) == heading]:
            yield heading, members


def _group_of(option: click.Option) -> str:
    return option.group if isinstance(option, GroupedOption) else GROUPS[-1]


class LazyCommand(click.Command):
    """A command as `--help` of the group needs it; all seven take 20 ms to import."""

    def __init__(self, module: str, name: str, summary: str) -> None:
        super().__init__(name, short_help=summary)
        self._module = module

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        """Parse as the command itself, which then is what runs."""
        return load(self).make_context(*args, **settings)

    def load(self) -> click.Command:
        """Import the command."""
        command = getattr(import_module(f"{__package__}.{self._module}"), self.name or "")
        assert isinstance(command, click.Command)
        command.short_help = self.short_help
        return command


def load(command: click.Command) -> click.Command:
    """Return the command itself, with its options."""
    return command.load() if isinstance(command, LazyCommand) else command
