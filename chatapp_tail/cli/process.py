"""The process around a command: its descriptors, its signals, how it ends."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn, Protocol

import click

from ..errors import ChatAppTailError, ExitStatus

_GRACE = 1.0


class Interruptible(Protocol):
    """What a signal asks to end; `written` tells whether it still gets anywhere."""

    written: int

    def interrupt(self) -> None:
        """End soon; called from a signal handler."""


class DeathBySignal(Exception):
    """Everything is written; die as the signal wants it, so that a shell sees 130 or 143."""

    def __init__(self, signum: int) -> None:
        self.signum = signum


def main() -> NoReturn:
    """Run the command line and exit."""
    _fill_standard_descriptors()
    status = _run()
    # Whatever else is buffered was for people; a broken stderr is no reason to fail now.
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    sys.exit(status)


def _run() -> int:
    from .command import command

    try:
        return int(command.main(prog_name="chatapp-tail", standalone_mode=False) or 0)
    except click.ClickException as error:
        complain(f"{error.format_message()} (chatapp-tail --help shows all options)")
        return ExitStatus.USAGE
    except ChatAppTailError as error:
        complain(str(error))
        return error.exit_status
    except DeathBySignal as death:
        die_by(death.signum)
    except (KeyboardInterrupt, click.Abort):
        die_by(signal.SIGINT)


def complain(sentence: str) -> None:
    """Say to a person what went wrong."""
    write_line(f"chatapp-tail: {sentence}")


def write_line(line: str) -> None:
    """Write one line to stderr; nobody listening is not an error."""
    with contextlib.suppress(OSError):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def die_by(signum: int) -> NoReturn:
    """End the process by the signal itself."""
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    signal.pause()
    raise AssertionError("a default signal did not end the process")


@contextlib.contextmanager
def interrupted_by_signals(task: Interruptible) -> Iterator[None]:
    """Let SIGINT and SIGTERM interrupt `task`; raise `DeathBySignal` once it has ended.

    A second signal ends the process at once, and so does a second without a byte written: a stdout
    that takes nothing must not make Ctrl-C useless.
    """
    received: list[int] = []

    def handle(signum: int, _: FrameType | None) -> None:
        received.append(signum)
        for each in handled:
            signal.signal(each, signal.SIG_DFL)
        task.interrupt()
        threading.Thread(target=_kill_when_stuck, args=(task, signum), daemon=True).start()

    handled = (signal.SIGINT, signal.SIGTERM)
    before = {signum: signal.signal(signum, handle) for signum in handled}
    try:
        yield
    finally:
        if received:
            raise DeathBySignal(received[0])
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _kill_when_stuck(task: Interruptible, signum: int) -> None:
    written = -1
    pause = threading.Event()
    while written != task.written:
        written = task.written
        pause.wait(_GRACE)
    os.kill(os.getpid(), signum)


def _fill_standard_descriptors() -> None:
    """Open what the caller closed, lest a socket becomes descriptor 1 and is written to as stdout.

    Python already set the stream to None then, so nobody takes /dev/null for a real stdout.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - lives as long as the process
