"""Prints errors that occur before a run: usage errors, missing credentials."""

import os
from collections.abc import Callable, Mapping, Sequence

from ..reporting.notices import Level, LogFormat, Notices

_OPTION = "--log-format"
_VARIABLE = "CHATAPP_TAIL_LOG_FORMAT"


def say_failure(
    write: Callable[[str], None], sentence: str, status: int, arguments: Sequence[str]
) -> None:
    """Write one line in the log format of `arguments` or the environment."""
    Notices(write, Level.QUIET, wanted_log_format(arguments, os.environ)).end(sentence, status)


def wanted_log_format(arguments: Sequence[str], environment: Mapping[str, str]) -> LogFormat:
    """Return the log format, even if the rest of the command line cannot be parsed."""
    wanted = environment.get(_VARIABLE, "")
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for option, following in zip(options, [*options[1:], ""], strict=False):
        name, equals, value = option.partition("=")
        if name == _OPTION:
            wanted = value if equals else following
    return LogFormat.JSON if wanted == LogFormat.JSON else LogFormat.TEXT
