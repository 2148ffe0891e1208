"""RFC 6455 frames as the scripted server writes and reads them; shares no code with the client."""

import os
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


@dataclass(frozen=True, slots=True)
class ClientFrame:
    """One frame of the client; `at` is the server's monotonic clock."""

    at: float
    opcode: int
    payload: bytes
    fin: bool
    masked: bool

    @property
    def code(self) -> int | None:
        """Close code, of a close frame that has one."""
        if self.opcode != CLOSE or len(self.payload) < 2:
            return None
        return int.from_bytes(self.payload[:2], "big")


def encode(
    opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool = False
) -> bytes:
    """Return a server's frame; `rsv` is the three reserved bits as a number, 4 is RSV1."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    size, bit = len(payload), 0x80 if masked else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + _unmask(payload, key)


def encode_close(code: int | None, reason: bytes = b"") -> bytes:
    """Return a close frame; without a code when it is None."""
    return encode(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def decode_one(data: bytes | bytearray, at: float) -> tuple[ClientFrame, int] | None:
    """Return the first frame in `data` and its length in bytes, or None when it is not whole."""
    if len(data) < 2:
        return None
    masked, size, start = bool(data[1] & 0x80), data[1] & 0x7F, 2
    if size == 126:
        size, start = int.from_bytes(data[2:4], "big"), 4
    elif size == 127:
        size, start = int.from_bytes(data[2:10], "big"), 10
    key = bytes(data[start : start + 4]) if masked else b""
    start += len(key)
    if len(data) < start + size or (masked and len(key) < 4):
        return None
    payload = bytes(data[start : start + size])
    if masked:
        payload = _unmask(payload, key)
    frame = ClientFrame(at, data[0] & 0x0F, payload, bool(data[0] & 0x80), masked)
    return frame, start + size


def _unmask(payload: bytes, key: bytes) -> bytes:
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
