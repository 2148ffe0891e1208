"""A Pusher server that does nothing but send, so that the peer is what is measured.

Frames are built before they are needed and sent in large blocks. Beside it an auth endpoint that
signs everything, after a delay. What happens is said on stdout, one JSON object a line: the ports,
`ready` when the peer has subscribed to all its channels, `started` and `sent` before the first and
after the last event; moments are of the monotonic clock, which all processes of a machine share.
A line on stdin ends the pause that `Load.pause_after` asks for.
"""

import json
import select
import socket
import ssl
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha1
from itertools import cycle, islice
from typing import Any

CHANNEL = "private-v1.licenses.1229.messengers.telegram"
QUEUE = "Telegram.Message"
_BLOCK = 256
_BLOCKS = 16
"""Blocks that differ: no peer may profit from having seen an event before."""
_FIRST_ID = 1_000_000
_GRACE = 0.2
"""Seconds a peer gets between its subscription and the first event to bind its callback."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SENT_AT = "sent:0000000000000000000"


@dataclass(frozen=True, slots=True)
class Load:
    """What one run asks of the server; `rate` is in events a second, 0 for as fast as it goes.

    Of `mixed` events every second one is a status. After the first `pause_after` the server waits
    until it is told to go on.
    """

    events: int = 0
    rate: float = 0.0
    mixed: bool = False
    pause_after: int = 0
    channels: int = 1
    auth_delay: float = 0.0
    certificate: str | None = None


def frame(text: bytes) -> bytes:
    """Return a whole text frame."""
    size = len(text)
    head = bytes([0x81, size]) if size < 126 else bytes([0x81, 126]) + size.to_bytes(2, "big")
    return head + text


def event_frame(channel: str, number: int = 0) -> bytes:
    """Return an event that all peers get: a message as ChatApp sends it, about 940 bytes."""
    return _frame_of("message", channel, item_of("text", number))


def status_frame(channel: str, number: int = 0) -> bytes:
    """Return an event that the filters measured do not keep, as long as the other."""
    return _frame_of("messageStatus", channel, item_of("viewed", number, 122))


def _frame_of(event: str, channel: str, item: dict[str, object]) -> bytes:
    meta = {"type": "message", "licenseId": 1229, "messengerType": "telegram"}
    document = {"queue": QUEUE, "payload": {"data": [item], "meta": meta}}
    data = json.dumps(document, separators=(",", ":"))
    return frame(json.dumps({"event": event, "channel": channel, "data": data}).encode())


def item_of(kind: str, number: int = 0, filler: int = 130) -> dict[str, object]:
    return {
        "id": _FIRST_ID + number,
        "fromApi": False,
        "fromMe": False,
        "time": 1637319282,
        "isForwarded": False,
        "type": kind,
        "message": {"text": _SENT_AT + "x" * filler, "caption": "", "file": None},
        "quotedMessage": None,
        "fromUser": {
            "id": 1480000001,
            "username": "username_test",
            "name": "Test Test",
            "phone": "7000000000",
        },
        "chat": {
            "id": "private-1480000001h1360000000000000001",
            "hash": "h1360000000000000001",
            "type": "private",
            "phone": "7000000000",
            "username": "username_test",
            "name": "Test Test",
            "image": "https://example.invalid/GetDialogPhoto/x",
        },
    }


def stamped(event: bytes) -> bytes:
    """Return the event with the moment it is sent in its text."""
    return event.replace(_SENT_AT.encode(), b"sent:%019d" % time.monotonic_ns())


def say(**what: float) -> None:
    print(json.dumps(what), flush=True)


def read_head(sock: socket.socket) -> tuple[bytes, bytes]:
    """Return head and the begin of the body of an HTTP request; empty at the end of the stream."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def header(head: bytes, name: bytes) -> bytes:
    """Return the value of a header, empty when it is missing."""
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return b""


def serve_auth(sock: socket.socket, delay: float) -> None:
    """Sign whatever is asked, for as long as the connection is kept."""
    answer = b'{"auth":"key:signature"}'
    start = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    while True:
        head, body = read_head(sock)
        if not head:
            return
        left = int(header(head, b"content-length") or 0) - len(body)
        while left > 0:
            left -= len(sock.recv(left))
        time.sleep(delay)
        sock.sendall(start + b"%d\r\n\r\n" % len(answer) + answer)


class Peer:
    """One upgraded connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._unread = b""

    def upgrade(self) -> None:
        head, self._unread = read_head(self._sock)
        accept = b64encode(sha1(header(head, b"sec-websocket-key") + _GUID).digest())
        self._sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        hello = json.dumps({"socket_id": "1.2", "activity_timeout": 120})
        self.send({"event": "pusher:connection_established", "data": hello})

    def send(self, message: dict[str, Any]) -> None:
        self._sock.sendall(frame(json.dumps(message).encode()))

    def send_raw(self, block: bytes) -> None:
        self._sock.sendall(block)

    def wait(self, seconds: float | None) -> bool:
        """Return whether there is something to read within so many seconds."""
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return True
        return bool(select.select([self._sock], [], [], seconds)[0])

    def take_in(self) -> int:
        """Answer what came, and return how many channels were subscribed by it."""
        data = self._sock.recv(65536)
        if not data:
            raise EOFError
        self._unread += data
        return self.answer_read()

    def answer_read(self) -> int:
        """The same for what was read already, which may have come with the upgrade."""
        subscribed = 0
        for opcode, payload in self._messages():
            if opcode == 8:
                raise EOFError
            if opcode == 9:
                self.send_raw(bytes([0x8A, len(payload)]) + payload)
            if opcode == 1:
                subscribed += self._answer(json.loads(payload))
        return subscribed

    def _answer(self, message: dict[str, Any]) -> bool:
        if message["event"] == "pusher:ping":
            self.send({"event": "pusher:pong", "data": "{}"})
        if message["event"] != "pusher:subscribe":
            return False
        channel = message["data"]["channel"]
        self.send({"event": "pusher_internal:subscription_succeeded", "channel": channel})
        return True

    def _messages(self) -> Iterator[tuple[int, bytes]]:
        """Cut the masked frames that are whole; none of a client's here is longer than 64 KiB."""
        while len(self._unread) >= 2:
            length, body = self._unread[1] & 0x7F, 6
            if length == 126:
                length, body = int.from_bytes(self._unread[2:4], "big"), 8
            if len(self._unread) < body + length:
                return
            opcode, mask = self._unread[0] & 15, self._unread[body - 4 : body]
            masked, self._unread = (
                self._unread[body : body + length],
                self._unread[body + length :],
            )
            yield opcode, bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))


def serve_peer(
    sock: socket.socket, blocks: list[bytes], load: Load, go_on: threading.Event
) -> None:
    peer = Peer(sock)
    peer.upgrade()
    subscribed = peer.answer_read()
    while subscribed < load.channels:
        subscribed += peer.take_in()
    say(ready=time.monotonic())
    time.sleep(_GRACE)
    say(started=time.monotonic())
    if load.rate:
        send_paced(peer, load)
    else:
        send_fast(peer, blocks, load, go_on)
    say(sent=time.monotonic())
    while True:
        peer.take_in()


def send_fast(peer: Peer, blocks: list[bytes], load: Load, go_on: threading.Event) -> None:
    source = cycle(blocks)
    send_blocks(peer, source, load.pause_after or load.events)
    if load.pause_after:
        while not go_on.is_set():
            if peer.wait(0.05):
                peer.take_in()
        send_blocks(peer, source, load.events - load.pause_after)


def send_blocks(peer: Peer, source: Iterator[bytes], count: int) -> None:
    for block in islice(source, count // _BLOCK):
        peer.send_raw(block)
        if peer.wait(0):
            peer.take_in()
    rest = next(source)
    peer.send_raw(rest[: len(rest) // _BLOCK * (count % _BLOCK)])


def blocks_of(load: Load) -> list[bytes]:
    """Return blocks of events that all differ, and are all of one length."""
    kinds = (event_frame, status_frame if load.mixed else event_frame)
    events = [kinds[number % 2](CHANNEL, number) for number in range(_BLOCK * _BLOCKS)]
    return [b"".join(events[at : at + _BLOCK]) for at in range(0, len(events), _BLOCK)]


def send_paced(peer: Peer, load: Load) -> None:
    begin = time.monotonic()
    for number in range(load.events):
        event = event_frame(CHANNEL, number)
        due = begin + number / load.rate
        while (left := due - time.monotonic()) > 0:
            if peer.wait(left):
                peer.take_in()
        peer.send_raw(stamped(event))


def accept(listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
    """Serve each connection in a thread of its own."""

    def guarded(sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            serve(sock)
        except (OSError, EOFError):
            return  # peers are killed, that is how a run ends
        finally:
            sock.close()

    while True:
        sock, _ = listener.accept()
        threading.Thread(target=guarded, args=(sock,), daemon=True).start()


def main() -> None:
    load = Load(**json.loads(sys.argv[1]))
    pushers = socket.create_server(("127.0.0.1", 0))
    auths = socket.create_server(("127.0.0.1", 0), backlog=512)
    blocks = blocks_of(load)
    go_on = threading.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if load.certificate:
        context.load_cert_chain(load.certificate)

    def serve(sock: socket.socket) -> None:
        secured = context.wrap_socket(sock, server_side=True) if load.certificate else sock
        serve_peer(secured, blocks, load, go_on)

    def sign(sock: socket.socket) -> None:
        serve_auth(sock, load.auth_delay)

    threading.Thread(target=accept, args=(auths, sign), daemon=True).start()
    threading.Thread(target=accept, args=(pushers, serve), daemon=True).start()
    say(port=pushers.getsockname()[1], auth_port=auths.getsockname()[1])
    for _ in sys.stdin:  # ends with whoever started it
        go_on.set()


if __name__ == "__main__":
    main()
