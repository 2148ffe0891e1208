"""A choice that knows what was meant."""

from typing import Any

import click

from ..closest import closest


class Choice(click.Choice[str]):
    """One of a few words; a misspelt one is answered with the closest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return click's sentence, and the closest word if one is close."""
        said = super().get_invalid_choice_message(value, ctx)
        close = closest(str(value).lower(), self.choices)
        return f"{said} Did you mean {close!r}?" if close else said
