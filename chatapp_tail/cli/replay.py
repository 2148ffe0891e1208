"""`chatapp-tail replay`: records saved before, through the same filters and formats."""

import os
import sys
import time
from collections.abc import Iterator

import click

from ..chatapp.events import Decoded
from ..errors import ExitStatus
from ..formats.times import TimeStyle
from ..stdout import ReaderGone, write_all
from ..summary import Summary
from .colors import When
from .options import POSITIVE, SPEED, filter_options, option, output_options, wanted_output
from .process import complain
from .showing import TypedShowing, compile_showing

_BATCH = 256 * 1024


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@filter_options
@output_options
@option("-n", "--count", type=POSITIVE, metavar="N", help="Stop after N lines.")
@option(
    "--speed",
    of="replay",
    type=SPEED,
    default="max",
    show_default=True,
    metavar="FACTOR",
    help="1 is as fast as the events came, 10 ten times that, max as fast as can be.",
)
@click.pass_context
def replay(
    ctx: click.Context,
    /,
    files: tuple[str, ...],
    count: int | None,
    speed: float,
    output: str,
    as_json: bool,
    template: str | None,
    color: str,
    time_style: str,
    **filters: object,
) -> int:
    """Show events saved with -o json or -o raw, also .gz and .zst; - is standard input.

    Filters and formats are those of the tail. A line that cannot be read is reported and passed
    over.
    """
    asked = TypedShowing(
        output=wanted_output(ctx, output, as_json, template),
        template=template,
        color=When(color),
        time_style=TimeStyle(time_style),
        **filters,  # type: ignore[arg-type]  # click gives each option its type
    )
    showing = compile_showing(asked, terminal=sys.stdout.isatty())
    pipeline = showing.pipeline(Summary(), dict(os.environ))
    lines = (line for saved in _paced(_read(files), speed) for line in pipeline.of_saved(saved))
    try:
        _write(lines, count, at_once=speed != float("inf"))
    except ReaderGone:
        return ExitStatus.DONE
    return ExitStatus.DONE


def _read(files: tuple[str, ...]) -> Iterator[Decoded]:
    from ..replay import Broken, read_saved

    def report(broken: Broken) -> None:
        complain(f"{broken.file}:{broken.line}: {broken.reason}")

    return read_saved(files, report, stdin=sys.stdin.buffer)


def _paced(saved: Iterator[Decoded], speed: float) -> Iterator[Decoded]:
    from ..replay import delay

    before: int | None = None
    for decoded in saved:
        received = decoded.records[0].received
        if before is not None and (seconds := delay(before, received, speed)) > 0:
            time.sleep(seconds)
        before = received
        yield decoded


def _write(lines: Iterator[bytes], count: int | None, *, at_once: bool) -> None:
    """Write up to `count` lines, many in one call unless they come slowly."""
    waiting: list[bytes] = []
    size = 0
    for number, line in enumerate(lines, 1):
        waiting.append(line)
        size += len(line)
        if at_once or size >= _BATCH or number == count:
            write_all(sys.stdout.fileno(), b"".join(waiting))
            waiting, size = [], 0
        if number == count:
            return
    write_all(sys.stdout.fileno(), b"".join(waiting))
