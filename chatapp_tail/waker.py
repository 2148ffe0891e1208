"""Lets any thread, or a signal handler, end another thread's wait for descriptors."""

import socket


class Waker:
    """A descriptor that turns readable when woken; waking twice is waking once."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def wake(self) -> None:
        """End the present or the next wait."""
        try:
            self._sender.send(b"!")
        except OSError:
            return  # full: a wake-up is on its way already; closed: nobody waits

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._receiver.fileno()

    def clear(self) -> None:
        """Forget the wake-ups so far."""
        try:
            self._receiver.recv(65536)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Release both ends."""
        self._receiver.close()
        self._sender.close()
