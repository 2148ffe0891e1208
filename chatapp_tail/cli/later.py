"""Commands that are imported when they are run."""

from importlib import import_module
from typing import Any

import click


class Later(click.Command):
    """A command as `--help` of the group needs it; all seven take 20 ms to import."""

    def __init__(self, module: str, name: str, summary: str) -> None:
        super().__init__(name, short_help=summary)
        self._module = module

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        """Parse as the command itself, which then is what runs."""
        return loaded(self).make_context(*args, **settings)

    def load(self) -> click.Command:
        """Import the command."""
        found = getattr(import_module(f"{__package__}.{self._module}"), self.name or "")
        assert isinstance(found, click.Command)
        found.short_help = self.short_help
        return found


def loaded(command: click.Command) -> click.Command:
    """Return the command itself, with its options."""
    return command.load() if isinstance(command, Later) else command
