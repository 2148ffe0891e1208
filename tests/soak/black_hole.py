"""`python -m tests.soak.black_hole`: a server that stops answering, the tail and pusher-js on it.

SIGSTOP is the plainest black hole: TCP goes on, nobody answers. Measured for both, with the timings
they come with: seconds until it is noticed, and from SIGCONT until subscribed again.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.conftest import clean_environment
from tests.interop.soketi import APP_KEY, TOKEN, AuthEndpoint, Soketi, why_unavailable
from tests.interop.soketi import HERE as INTEROP

from .journal import DEFAULTS, StatusChange, TailProcess
from .proof import SECOND

CHANNEL = "private-v1.licenses.1229.messengers.telegram"
HERE = Path(__file__).parent
PAUSES = (30.0, 40.0, 55.0)
AFTERWARDS = 90.0
_AWAY = {"connecting", "unavailable", "disconnected", "failed"}
NOTICED_WITHIN = DEFAULTS.notice + 0.5
BACK_WITHIN = 3.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds; `noticed` is None when the client slept through it, `back` when it did not return.

    A client that noticed nothing was never away, and has no `back` either.
    """

    noticed: float | None
    back: float | None


class PusherJs:
    """pusher-js in node, and the moments of its states; a context manager."""

    def __init__(self, ws_url: str, api_url: str, home: Path) -> None:
        self.states: list[tuple[str, int]] = []
        self.changed = threading.Condition()
        preload = str(INTEROP / "die_with_parent.cjs")
        script = str(HERE / "pusher_js_states.cjs")
        self._process = subprocess.Popen(
            ["node", "--require", preload, script, ws_url, api_url, APP_KEY, CHANNEL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**clean_environment(home), "TOKEN": TOKEN},
            cwd=home,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self.changed:
                self.states.append((json.loads(line)["state"], time.time_ns()))
                self.changed.notify_all()

    def wait_subscribed(self, since: int, seconds: float) -> bool:
        """Wait for a confirmation after the moment `since`."""
        with self.changed:
            return self.changed.wait_for(
                lambda: any(s == "subscribed" and at > since for s, at in self.states), seconds
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


def measure(pause: float) -> tuple[Figures, Figures]:
    """Stop the server for `pause` seconds; return the figures of the tail and of pusher-js."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="black-hole-")))
        soketi = stack.enter_context(Soketi())
        auth = stack.enter_context(AuthEndpoint())
        arguments = [
            "-v",
            "--channel",
            CHANNEL,
            "--ws-url",
            soketi.ws_url,
            "--api-url",
            auth.url,
        ]
        tail = stack.enter_context(TailProcess(arguments, env={"CHATAPP_TOKEN": TOKEN}, home=home))
        other = stack.enter_context(PusherJs(soketi.ws_url, auth.url, home))
        assert tail.wait_ready(20.0), "the tail is not ready"
        assert other.wait_subscribed(0, 20.0), "pusher-js is not subscribed"
        stopped = time.time_ns()
        soketi.pause()
        try:
            threading.Event().wait(pause)
        finally:
            resumed = time.time_ns()
            soketi.resume()
        if any(s.state == "lost" and s.at > stopped for s in tail.statuses):
            tail.wait_for(lambda: any(s.at > resumed for s in _ready(tail)), AFTERWARDS)
        if any(state in _AWAY and at > stopped for state, at in other.states):
            other.wait_subscribed(resumed, AFTERWARDS)
        # Somebody else may have killed a peer; that would be no figure of anybody.
        assert other.running, "pusher-js has ended"
        assert soketi.subscribers(CHANNEL) >= 0, "soketi does not answer"
        ours = [(status.state, status.at) for status in tail.statuses]
        figures = _figures(ours, {"lost"}, "ready", stopped, resumed)
        if not _kept(figures):
            _explain(tail, stopped)
        return figures, _figures(other.states, _AWAY, "subscribed", stopped, resumed)


def _kept(figures: Figures) -> bool:
    noticed, back = figures.noticed, figures.back
    return (
        noticed is not None
        and noticed <= NOTICED_WITHIN
        and back is not None
        and back <= BACK_WITHIN
    )


def _explain(tail: TailProcess, stopped: int) -> None:
    """Show what the tail said, with seconds since the server stopped."""
    for status in tail.statuses:
        print(f"{(status.at - stopped) / SECOND:9.2f} s  {status.members}")
    print("".join(tail.stderr))


def _ready(tail: TailProcess) -> list[StatusChange]:
    return [status for status in tail.statuses if status.state == "ready"]


def _figures(
    states: list[tuple[str, int]], away: set[str], back: str, stopped: int, resumed: int
) -> Figures:
    lost = next((at for state, at in states if state in away and at > stopped), None)
    returned = next((at for state, at in states if state == back and at > resumed), None)
    return Figures(
        None if lost is None else (lost - stopped) / SECOND,
        None if returned is None else (returned - resumed) / SECOND,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.black_hole", description=__doc__)
    parser.add_argument("pauses", nargs="*", type=float, default=PAUSES, metavar="SECONDS")
    asked = parser.parse_args()
    if reason := why_unavailable():
        print(f"cannot run: {reason}", file=sys.stderr)
        return 2
    kept = True
    print(f"{'stopped for':>12} | {'tail noticed, back':>20} | {'pusher-js noticed, back':>24}")
    for pause in asked.pauses:
        tail, other = measure(pause)
        print(f"{pause:10.0f} s | {_shown(tail):>20} | {_shown(other):>24}", flush=True)
        kept &= _kept(tail)
    print(f"tail within {NOTICED_WITHIN:g} s and {BACK_WITHIN:g} s: {'yes' if kept else 'NO'}")
    return 0 if kept else 1


def _shown(figures: Figures) -> str:
    noticed = "not" if figures.noticed is None else f"{figures.noticed:.1f} s"
    back = "-" if figures.back is None else f"{figures.back:.1f} s"
    return f"{noticed}, {back}"


if __name__ == "__main__":
    sys.exit(main())
