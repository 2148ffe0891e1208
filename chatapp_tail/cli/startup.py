"""Takes over signals as the first thing that the program does; imports nothing slow for that."""

import os

# What `signal` is made of; that itself takes milliseconds, in which Ctrl-C would be a traceback.
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
"""Each SIGUSR1 that came while there was no task to answer it."""


def take_over_signals() -> None:
    """Let SIGINT and SIGTERM end the process at once, also in the middle of imports.

    What the parent told us to ignore (a job in the background of a script) stays ignored. SIGUSR1
    is remembered.
    """
    # The kernel withholds signals without a handler from process 1, that of a container.
    at_once = _exit_as_killed if os.getpid() == 1 else SIG_DFL
    for signum in (SIGINT, SIGTERM):
        if getsignal(signum) in (SIG_DFL, default_int_handler):
            signal(signum, at_once)
    signal(SIGUSR1, lambda signum, _: requests.append(signum))


def _exit_as_killed(signum: int, _: object) -> None:
    """End the process with the status that a shell shows for death by a signal."""
    os._exit(128 + signum)
