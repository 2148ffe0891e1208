"""Shell commands as child processes: started, waited for, and ended with their whole group.

posix_spawn rather than fork: its cost does not grow with the memory of this process, and no Python
runs between fork and exec. The child inherits standard output and error and, as every descriptor
that Python opens is closed on exec, nothing else of ours.
"""

import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from ..threads import Waker

SHELL = "/bin/sh"

_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores these, and what is ignored stays so across exec."""
_CHECK_GROUPS_EVERY = 0.05
_AFTER_KILL = 0.25
"""Seconds for which the end of a killed process is awaited, unless it is stuck in the kernel."""


class Processes:
    """Runs one shell command any number of times, each run in a process group of its own.

    Used by one thread, which `waker` interrupts in `wait`.
    """

    def __init__(self, command: str, waker: Waker) -> None:
        self._arguments = ("sh", "-c", command)
        self._waker = waker
        self._poll = select.poll()
        self._poll.register(waker.fileno(), select.POLLIN)
        self._running: set[int] = set()
        self._by_descriptor: dict[int, int] = {}
        """Process descriptor -> process id."""
        self._ended: deque[tuple[int, int]] = deque()
        """From the threads that wait where there are no process descriptors."""
        self._kill_at: dict[int, float] = {}
        """Process group that got SIGTERM -> when it gets SIGKILL; its leader may have ended."""

    def start(self, body: bytes, environment: Mapping[bytes, bytes]) -> int:
        """Start a run with `body` on stdin and return its process id; OSError if it cannot."""
        stdin = _file_of(body)
        try:
            process = os.posix_spawn(
                SHELL,
                self._arguments,
                environment,
                file_actions=((os.POSIX_SPAWN_DUP2, stdin, 0),),
                setpgroup=0,
                setsigmask=(),
                setsigdef=_RESTORED,
            )
        finally:
            os.close(stdin)
        self._running.add(process)
        self._watch(process)
        return process

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Return (process id, exit code) of the runs that ended; [] when woken or timed out.

        An exit code is a status, or the negative number of the signal that killed the process.
        `timeout` is in seconds, None for no limit.
        """
        milliseconds = self._milliseconds(timeout)
        ready = [descriptor for descriptor, _ in self._poll.poll(milliseconds)]
        if self._waker.fileno() in ready:
            self._waker.clear()
            ready.remove(self._waker.fileno())
        ended = [self._reap(descriptor) for descriptor in ready]
        while self._ended:
            ended.append(self._ended.popleft())
        self._running.difference_update(process for process, _ in ended)
        self._kill_groups()
        return [(process, os.waitstatus_to_exitcode(status)) for process, status in ended]

    def terminate(self, process: int, grace: float) -> None:
        """Send SIGTERM to the group of a run, and SIGKILL to what is left after `grace` seconds."""
        _signal_group(process, signal.SIGTERM)
        self._kill_at[process] = time.monotonic() + grace

    def close(self, grace: float) -> None:
        """End all runs and their groups, within `grace` seconds and a little more."""
        for process in self._running:
            self.terminate(process, grace)
        give_up = time.monotonic() + grace + _AFTER_KILL
        while (self._running or self._kill_at) and (left := give_up - time.monotonic()) > 0:
            self.wait(left)

    def _watch(self, process: int) -> None:
        try:
            descriptor = os.pidfd_open(process)
        except (AttributeError, OSError):  # not Linux, an old one, or out of descriptors
            threading.Thread(target=self._await, args=(process,), daemon=True).start()
            return
        self._by_descriptor[descriptor] = process
        self._poll.register(descriptor, select.POLLIN)

    def _await(self, process: int) -> None:
        self._ended.append(os.waitpid(process, 0))
        self._waker.wake()

    def _reap(self, descriptor: int) -> tuple[int, int]:
        """Return process id and wait status of a process that ended."""
        self._poll.unregister(descriptor)
        os.close(descriptor)
        return os.waitpid(self._by_descriptor.pop(descriptor), 0)

    def _milliseconds(self, timeout: float | None) -> float | None:
        deadlines = [] if timeout is None else [timeout]
        if self._kill_at:
            # The end of the last process of a group is not reported, so it is looked for.
            deadlines.append(_CHECK_GROUPS_EVERY)
        return max(0.0, min(deadlines)) * 1000 if deadlines else None

    def _kill_groups(self) -> None:
        """Send SIGKILL to groups whose time is over, and forget those that have ended.

        No other group gets the number of one that still has a process.
        """
        now = time.monotonic()
        for group, kill_at in list(self._kill_at.items()):
            if now >= kill_at:
                _signal_group(group, signal.SIGKILL)
                if group in self._running:  # its leader may have left it
                    with suppress(OSError):
                        os.kill(group, signal.SIGKILL)
            elif group in self._running or _signal_group(group, 0):
                continue
            del self._kill_at[group]


def _signal_group(group: int, signum: int) -> bool:
    """Send a signal and return whether the group has a process."""
    try:
        os.killpg(group, signum)
    except ProcessLookupError:
        return False
    except PermissionError:  # a command with privileges of its own
        return True
    return True


def _file_of(body: bytes) -> int:
    """Return a descriptor from which `body` is read.

    A file in memory, not a pipe: it takes all at once, however slowly the command reads, and is no
    error to leave unread.
    """
    descriptor = _nameless_file()
    try:
        unwritten = memoryview(body)
        while unwritten:
            unwritten = unwritten[os.write(descriptor, unwritten) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _nameless_file() -> int:
    with suppress(AttributeError, OSError):  # not Linux, or forbidden in a sandbox
        return os.memfd_create("record")
    from tempfile import TemporaryFile  # 2 ms, and seldom used

    with TemporaryFile() as file:
        return os.dup(file.fileno())
