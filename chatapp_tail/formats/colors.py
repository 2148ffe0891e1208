"""Whether and how to use colours, by the conventions for environment variables."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

ColorSystem = Literal["standard", "256", "truecolor"]


class ColorMode(StrEnum):
    """Values of `--color`."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def color_system(
    when: ColorMode, environment: Mapping[str, str], *, terminal: bool
) -> ColorSystem | None:
    """Return the colours to use, None for none.

    `--color`, then NO_COLOR (no-color.org), then FORCE_COLOR and CLICOLOR_FORCE, then whether it
    is a terminal that has colours.
    """
    if when is ColorMode.NEVER:
        return None
    if when is ColorMode.AUTO and not _wanted(environment, terminal):
        return None
    return _known(environment)


def _wanted(environment: Mapping[str, str], terminal: bool) -> bool:
    if environment.get("NO_COLOR"):
        return False
    if any(environment.get(name, "0") not in ("", "0") for name in _FORCING):
        return True
    return terminal and environment.get("TERM", "") not in ("", "dumb", "unknown")


_FORCING = ("FORCE_COLOR", "CLICOLOR_FORCE")


def _known(environment: Mapping[str, str]) -> ColorSystem:
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "truecolor"
    return "256" if "256color" in environment.get("TERM", "") else "standard"
