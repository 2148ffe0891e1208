"""Installs signal handlers before anything slow is imported."""

import os

# `signal` itself takes milliseconds to import, during which Ctrl-C would print a traceback.
from _signal import (  # type: ignore[import-not-found]
    SIG_DFL,
    SIGINT,
    SIGTERM,
    SIGUSR1,
    default_int_handler,
    getsignal,
    signal,
)

requests: list[int] = []
"""Every SIGUSR1 received before there is a task to answer it."""


def take_over_signals() -> None:
    """Let SIGINT and SIGTERM end the process immediately, even during imports.

    A signal that the parent process ignores, as a script does for a background job, stays ignored.
    SIGUSR1 is remembered.
    """
    # Process 1, as in a container, receives only signals for which it has a handler.
    default = _exit_as_killed if os.getpid() == 1 else SIG_DFL
    for signum in (SIGINT, SIGTERM):
        if getsignal(signum) in (SIG_DFL, default_int_handler):
            signal(signum, default)
    signal(SIGUSR1, lambda signum, _: requests.append(signum))


def _exit_as_killed(signum: int, _: object) -> None:
    """End the process with the status that a shell shows for death by a signal."""
    os._exit(128 + signum)
