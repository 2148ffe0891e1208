"""One WebSocket link: read and written without blocking.

websocket-client masks and frames what is sent; what is received is cut by `frames`.
"""

import select
import socket
import ssl

from ..threads import Waker
from .frames import ABNORMAL, CLOSE, PONG, TEXT, FrameDecoder, Message

MAX_MESSAGE = 16 * 1024 * 1024
"""Largest message accepted, in bytes; larger ones close the link with 1009."""

_BLOCK = 128 * 1024
_TLS_RECORD = 16 * 1024
_UNSENT_LIMIT = 1024 * 1024


def import_websocket() -> None:
    """Import websocket-client, which every dial and every frame sent needs, ahead of time."""
    import websocket  # noqa: F401


class Transport:
    """An upgraded socket, read and written without blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        """Not blocking; with or without TLS."""
        tls = isinstance(sock, ssl.SSLSocket)
        # TLS returns one record at most, whatever size is requested; TCP everything it has.
        self._read_size = _TLS_RECORD if tls else _BLOCK
        """How many bytes each `recv` requests."""
        self._drained_below = 0 if tls else _BLOCK
        """A `recv` that returns fewer bytes has emptied the socket."""
        self._decoder = FrameDecoder(MAX_MESSAGE)
        """Holds the incomplete message."""
        self._unsent = bytearray()
        """Frames the socket has not accepted yet."""
        self._waits = select.poll()
        """Of the socket and the waker."""
        self._wanted = select.POLLIN
        """What the socket is polled for."""
        self._wants_room = False
        """Whether TLS has to write before it can read."""
        self._waits.register(sock, self._wanted)
        self._waker: Waker | None = None
        """Ends a wait early."""
        self.end: tuple[int, str] | None = None
        """Close code and reason, once the stream is over or broken."""

    def watch(self, waker: Waker) -> None:
        """Let `waker` end waits of this link."""
        self._waker = waker
        self._waits.register(waker, select.POLLIN)

    def wait(self, timeout: float) -> None:
        """Wait for something to read or write, a wake-up, or `timeout` seconds."""
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return
        for descriptor, _ in self._waits.poll(timeout * 1000):
            if self._waker and descriptor == self._waker.fileno():
                self._waker.clear()

    def read(self) -> list[Message]:
        """Return the messages completed since the last call; `end` is set if no more can come."""
        blocks: list[bytes] = []
        size = 0
        self._wants_room = False
        while size < _BLOCK and self.end is None:
            try:
                data = self._sock.recv(self._read_size)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except ssl.SSLWantWriteError:
                # TLS has to send something first: read again when there is room.
                self._wants_room = True
                break
            except OSError as error:
                self.end = (ABNORMAL, error.strerror or str(error))
                break
            if not data:
                self.end = (ABNORMAL, "")
                break
            size += len(data)
            blocks.append(data)
            if len(data) < self._drained_below:
                break
        messages = self._decoder.feed(b"".join(blocks))
        if self._decoder.fault:
            self.end = (self._decoder.fault.code, self._decoder.fault.reason)
        return messages

    @property
    def unfinished(self) -> int:
        """How many bytes of an incomplete message were received."""
        return self._decoder.unfinished

    @property
    def faulty(self) -> bool:
        """Whether the server violated the WebSocket protocol (and is to be sent a close frame)."""
        return self._decoder.fault is not None

    def send_text(self, text: str) -> None:
        """Queue a text frame, and send as much as the socket accepts."""
        self._queue(TEXT, text.encode())

    def send_pong(self, payload: bytes) -> None:
        """Answer a WebSocket ping with the same payload (RFC 6455 section 5.5.3)."""
        self._queue(PONG, payload)

    def send_close(self, code: int, reason: str = "") -> None:
        """Send a close frame; without a code if that code must not be sent."""
        sendable = code not in (1005, ABNORMAL, 1015) and 1000 <= code < 5000
        self._queue(CLOSE, code.to_bytes(2, "big") + reason.encode()[:120] if sendable else b"")

    def _queue(self, opcode: int, payload: bytes) -> None:
        import websocket

        self._unsent += websocket.ABNF.create_frame(payload, opcode).format()
        self.flush()

    def flush(self) -> None:
        """Send as much of the queue as the socket accepts now."""
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            if len(self._unsent) > _UNSENT_LIMIT:
                self.end = self.end or (ABNORMAL, "the server reads nothing we send")
        except OSError as error:
            self.end = self.end or (ABNORMAL, error.strerror or str(error))
        waits_for_room = self._unsent or self._wants_room
        wanted = select.POLLIN | (select.POLLOUT if waits_for_room else 0)
        if wanted != self._wanted:
            self._waits.modify(self._sock, wanted)
            self._wanted = wanted

    def close(self) -> None:
        """Close the socket, without a close frame."""
        self._sock.close()
