"""How `--help` shows options, in groups, and commands that are imported when they are run."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import click

GROUPS: dict[str, tuple[str, ...]] = {
    "Select": ("license", "messenger", "channel", "all"),
    "Filter": ("event", "exclude-event", "incoming", "outgoing", "chat", "grep", "where"),
    "Output": ("output", "json", "format", "color", "time", "meta", "spool-limit"),
    "History": ("since", "resume", "backfill-wait", "no-backfill"),
    "Limit": ("count", "for", "idle"),
    "Connection": (
        "ws-url",
        "api-url",
        "app-key",
        "ca-file",
        "proxy",
        "ping-interval",
        "pong-timeout",
        "connect-timeout",
        "no-reconnect",
        "max-retries",
        "strict",
        "sandbox",
    ),
    "Credentials": ("token-file", "profile"),
    "Logging": ("quiet", "verbose", "log-format", "version", "help"),
}
"""Heading -> long names, in the order they are shown in."""

OTHERS = "Options"
_WIDEST = 26


class GroupedHelp(click.Group):
    """A group whose `--help` has its options under the headings of `GROUPS`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups, then the commands."""
        groups = [
            (heading, [record for each in options if (record := each.get_help_record(ctx))])
            for heading, options in grouped(self.get_params(ctx))
        ]
        widths = [len(names) for _, records in groups for names, _ in records]
        width = max((each for each in widths if each <= _WIDEST), default=0)
        for heading, records in groups:
            with formatter.section(heading):
                # The same column in every group: click makes it as wide as the widest name.
                formatter.write_dl([(names.ljust(width), text) for names, text in records], width)
        self.format_commands(ctx, formatter)


def grouped(params: Sequence[click.Parameter]) -> Iterator[tuple[str, list[click.Option]]]:
    """Yield the headings that have options; what no group names comes last, as `OTHERS`."""
    options = {long_name(each): each for each in params if isinstance(each, click.Option)}
    for heading, names in GROUPS.items():
        if found := [options.pop(name) for name in names if name in options]:
            yield heading, found
    if options:
        yield OTHERS, list(options.values())


def long_name(option: click.Option) -> str:
    """Return `license` for `-l/--license`."""
    return max(option.opts, key=len).lstrip("-")


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
        found = getattr(import_module(f"{__package__}.{self._module}"), self.name or "")
        assert isinstance(found, click.Command)
        found.short_help = self.short_help
        return found


def load(command: click.Command) -> click.Command:
    """Return the command itself, with its options."""
    return command.load() if isinstance(command, LazyCommand) else command
