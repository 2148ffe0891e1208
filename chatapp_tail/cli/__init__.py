"""Commands and options → `Settings` → a run; every failure → one line and one exit status."""

from .startup import take_over_signals


def main() -> None:
    """Run the command line and exit."""
    take_over_signals()
    import gc

    # Imports make no garbage, and looking for it takes 8 ms of a tail's start. What runs makes few
    # cycles, so that it is looked for every 50 000 objects rather than every 700 costs no memory.
    gc.set_threshold(50_000)
    from .process import run_process

    run_process()
