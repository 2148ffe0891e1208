"""The process around a command: its descriptors, its signals, how it ends."""

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn, Protocol, TextIO

import click

from ..errors import ChatAppTailError, ExitStatus, UsageError

_GRACE = 1.0
_STDOUT_FAILS = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EBADF)


class Interruptible(Protocol):
    """What a signal asks to end; `written` tells whether it still gets anywhere."""

    written: int

    def interrupt(self) -> None:
        """End soon; called from a signal handler."""

    def request(self) -> None:
        """Say how it goes; called from a signal handler."""


class DeathBySignal(Exception):
    """Everything is written; die as the signal wants it, so that a shell sees 130 or 143."""

    def __init__(self, signum: int) -> None:
        self.signum = signum


def run_process() -> NoReturn:
    """Run the command line and exit with its status."""
    _fill_standard_descriptors()
    try:
        status = _run(sys.argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        status = ExitStatus.DONE
    except OSError as error:
        if error.errno not in _STDOUT_FAILS:
            raise
        complain(f"cannot write to stdout: {error.strerror}")
        status = ExitStatus.OUTPUT_FAILED
    _silence_unwritten()
    sys.exit(status)


def _run(arguments: list[str]) -> int:
    from .command import command

    if sys.stdout is None:
        complain("stdout is closed; give it a file, a pipe or a terminal")
        return ExitStatus.OUTPUT_FAILED
    # For what is not a record: a terminal or a file may have any encoding.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        with command.make_context("chatapp-tail", arguments) as context:
            return int(command.invoke(context) or 0)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        complain(_sentence(error))
        return ExitStatus.USAGE
    except ChatAppTailError as error:
        complain(one_line(error))
        return error.exit_status
    except DeathBySignal as death:
        die_by(death.signum)
    except (KeyboardInterrupt, click.Abort):
        die_by(signal.SIGINT)


def _sentence(error: click.ClickException) -> str:
    """Return what is wrong with the command line, naming a variable where one is to blame."""
    said = error.format_message()
    if isinstance(error, click.BadParameter) and error.ctx and error.param and error.param.name:
        source = error.ctx.get_parameter_source(error.param.name)
        variables = error.param.envvar
        if source is click.core.ParameterSource.ENVIRONMENT and variables:
            names = [variables] if isinstance(variables, str) else variables
            variable = next((name for name in names if name in os.environ), names[0])
            said = f"{variable}: {error.message}"
    return said if "Did you mean" in said else f"{said} (chatapp-tail --help shows all options)"


def one_line(error: ChatAppTailError) -> str:
    """Return what an error says, on one line unless it is only ours: servers write line breaks."""
    from ..formats.escape import escape_line
    from ..redaction import redact

    return str(error) if isinstance(error, UsageError) else escape_line(redact(str(error)))


def complain(sentence: str) -> None:
    """Say to a person what went wrong; some of it may be a server's words."""
    from ..formats.escape import escape_text
    from ..redaction import redact

    write_line(f"chatapp-tail: {escape_text(redact(sentence))}")


def write_line(line: str) -> None:
    """Write one line to stderr; nobody listening is not an error."""
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)


def _drop(stream: TextIO) -> None:
    """Send what a stream still holds to nowhere, lest the interpreter fails with it at its end."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - os.devnull is no path of ours
        os.dup2(nowhere.fileno(), stream.fileno())


def _silence_unwritten() -> None:
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            _drop(stream)


def die_by(signum: int) -> NoReturn:
    """End the process by the signal itself."""
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    signal.pause()
    raise AssertionError("a default signal did not end the process")


@contextlib.contextmanager
def interruptible_prompt() -> Iterator[None]:
    """Let Ctrl-C be an exception while a prompt hides what is typed: the echo must come back."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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

    # What the parent told us to ignore (a job in the background of a script) stays ignored.
    wanted = (signal.SIGINT, signal.SIGTERM)
    handled = [each for each in wanted if signal.getsignal(each) is not signal.SIG_IGN]
    before = {signum: signal.signal(signum, handle) for signum in handled}
    before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, lambda *_: task.request())
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
