"""Commands and options → `Settings` → a run; every failure → one line and one exit status."""

import gc
import signal


def main() -> None:
    """Run the command line and exit."""
    # Until somebody has something to finish, Ctrl-C just ends the process, also amid imports.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .signals import prepare_for_signals

    prepare_for_signals()
    # Imports make no garbage, and looking for it takes 8 ms of a tail's start. What runs makes few
    # cycles, so that it is looked for every 50 000 objects rather than every 700 costs no memory.
    gc.set_threshold(50_000)
    from .process import run_process

    run_process()
