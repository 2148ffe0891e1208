"""A choice that knows what was meant."""

from typing import Any

import click


class Choice(click.Choice[str]):
    """One of a few words; a misspelt one is answered with the closest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return click's sentence, and the closest word if one is close."""
        from difflib import get_close_matches

        said = super().get_invalid_choice_message(value, ctx)
        close = get_close_matches(str(value).lower(), self.choices, n=1)
        return f"{said} Did you mean {close[0]!r}?" if close else said
