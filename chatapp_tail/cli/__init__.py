"""Commands and options → `Settings` → a run; every failure → one line and one exit status."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit."""
    # Until somebody has something to finish, Ctrl-C just ends the process, also amid imports.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .process import run_process

    run_process()
