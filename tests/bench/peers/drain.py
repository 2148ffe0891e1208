"""The load server's own limit: WS_URL BYTES; takes them off the socket and looks at nothing.

Prints one line when it has them all.
"""

import json
import os
import socket
import ssl
import sys
from urllib.parse import urlsplit

from tests.bench.server import CHANNEL


def masked(text: bytes) -> bytes:
    """Return a client's text frame, with a mask of zeros."""
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


def main() -> None:
    parts = urlsplit(sys.argv[1])
    left = int(sys.argv[2])
    sock = socket.create_connection((parts.hostname or "", parts.port or 0))
    if parts.scheme == "wss":
        context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
        sock = context.wrap_socket(sock, server_hostname=parts.hostname)
    sock.sendall(b"GET /app/key HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: AAAA\r\n\r\n")
    subscribe = {"event": "pusher:subscribe", "data": {"channel": CHANNEL}}
    sock.sendall(masked(json.dumps(subscribe).encode()))
    buffer = bytearray(1024 * 1024)
    while left > 0 and (size := sock.recv_into(buffer)):
        left -= size
    print("done", flush=True)


main()
