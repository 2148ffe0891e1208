"""Runs a command as a process: standard descriptors, errors, exit status."""

import errno
import os
import signal
import sys
from typing import NoReturn, TextIO

import click

from ..errors import ChatAppTailError, ExitStatus, UsageError
from .signals import KilledBySignal, kill_self
from .stderr import StderrWriter

STDERR_TIMEOUT = 1.0
"""Seconds for which the last lines wait for room in stderr."""
_STDOUT_FAILS = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EBADF)
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


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
        status = _status_of(error)
    _silence_unwritten()
    sys.exit(status)


def _status_of(error: OSError) -> ExitStatus:
    """Print an operating system error and return its exit status; raise an unexpected one."""
    arguments = sys.argv[1:]
    if error.errno in _NO_DESCRIPTORS:
        sentence = f"cannot open another file or socket: {error.strerror}; raise ulimit -n"
        return _failed(sentence, ExitStatus.UNREACHABLE, arguments)
    if error.errno in _STDOUT_FAILS:
        sentence = f"cannot write to stdout: {error.strerror}"
        return _failed(sentence, ExitStatus.OUTPUT_FAILED, arguments)
    raise error


def _run(arguments: list[str]) -> int:
    from .command import command

    if sys.stdout is None:
        closed = "stdout is closed; give it a file, a pipe or a terminal"
        return _failed(closed, ExitStatus.OUTPUT_FAILED, arguments)
    # For text other than records: a terminal or a file may have any encoding.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        with command.make_context(
            "chatapp-tail", [*arguments]
        ) as context:  # parsing empties the list
            return int(command.invoke(context) or 0)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        return _failed(_sentence(error), ExitStatus.USAGE, arguments)
    except ChatAppTailError as error:
        return _failed(one_line(error), error.exit_status, arguments)
    except KilledBySignal as death:
        kill_self(death.signum)
    except (KeyboardInterrupt, click.Abort):
        kill_self(signal.SIGINT)


def _failed(sentence: str, status: ExitStatus, arguments: list[str]) -> ExitStatus:
    """Print an error that occurs before a run, in the wanted log format; return its status."""
    from ..reporting.notices import Level, LogFormat, Notices

    log_format = LogFormat.JSON if _wants_json(arguments) else LogFormat.TEXT
    Notices(write_line, Level.QUIET, log_format).end(sentence, status)
    return status


def _wants_json(arguments: list[str]) -> bool:
    """Return whether the log format is JSON, even if the rest of `arguments` cannot be parsed."""
    wanted = os.environ.get("CHATAPP_TAIL_LOG_FORMAT", "")
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for option, following in zip(options, [*options[1:], ""], strict=False):
        name, equals, value = option.partition("=")
        if name == "--log-format":
            wanted = value if equals else following
    return wanted == "json"


def _sentence(error: click.ClickException) -> str:
    """Return the error in the command line, or in a variable that stands for an option."""
    sentence = error.format_message()
    if isinstance(error, click.BadParameter) and error.ctx and error.param and error.param.name:
        source = error.ctx.get_parameter_source(error.param.name)
        variables = error.param.envvar
        if source is click.core.ParameterSource.ENVIRONMENT and variables:
            names = [variables] if isinstance(variables, str) else variables
            variable = next((name for name in names if name in os.environ), names[0])
            sentence = f"{variable}: {error.message}"
    if "Did you mean" in sentence:
        return sentence
    return f"{sentence} (chatapp-tail --help shows all options)"


def one_line(error: ChatAppTailError) -> str:
    """Return an error's message, on one line unless it is a usage error: servers send newlines."""
    from ..escape import escape_line
    from ..redaction import redact

    return str(error) if isinstance(error, UsageError) else escape_line(redact(str(error)))


def print_error(sentence: str) -> None:
    """Print an error for people, whose text may come from a server."""
    from ..escape import escape_text
    from ..redaction import redact

    write_line(f"chatapp-tail: {escape_text(redact(sentence))}")


def write_line(line: str) -> None:
    """Write one line to stderr, waiting a moment for room; a closed stderr is not an error."""
    writer = open_stderr()
    writer.write(line)
    writer.finish(STDERR_TIMEOUT)
    writer.close()


def open_stderr() -> StderrWriter:
    """Return a writer of lines to stderr."""
    return StderrWriter(sys.stderr.fileno(), sys.stderr.encoding)


def _drop(stream: TextIO) -> None:
    """Redirect a stream to /dev/null, so that the flush at exit cannot fail."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
        os.dup2(nowhere.fileno(), stream.fileno())


def _silence_unwritten() -> None:
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            _drop(stream)


def _fill_standard_descriptors() -> None:
    """Open standard descriptors that the caller closed, so that no socket becomes stdout.

    Python has set such a stream to None already, so /dev/null is not mistaken for a real stdout.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - lives as long as the process
