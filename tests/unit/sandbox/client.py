"""A Pusher client of a few lines, on other libraries than the program under test uses."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import requests
from websocket import create_connection
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close, Opcode
from websockets.sync.client import ClientConnection, connect

from chatapp_tail.sandbox import Sandbox, messenger_channel

SCALE = float(os.environ.get("CHATAPP_TAIL_TEST_TIMEOUT_SCALE", "1"))
TEST_TIMEOUT = 20 * SCALE
"""Seconds a test may take."""
WAIT = 5 * SCALE
"""Seconds one expected thing may take."""
QUIET = 0.15
"""Seconds of silence that count as nothing coming."""

TELEGRAM = messenger_channel(1229, "telegram")
WHATSAPP = messenger_channel(1229, "grWhatsApp")


class Client:
    def __init__(self, socket: "ClientConnection | TlsSocket", sandbox: Sandbox) -> None:
        self.socket: Any = socket
        self._sandbox = sandbox
        self.socket_id = ""

    def greet(self) -> dict[str, Any]:
        frame = self.receive()
        self.socket_id = json.loads(frame["data"])["socket_id"]
        return frame

    def receive(self) -> dict[str, Any]:
        frame = json.loads(self.socket.recv(timeout=WAIT))
        assert isinstance(frame, dict)
        return frame

    def receives_nothing(self) -> bool:
        try:
            self.socket.recv(timeout=QUIET)
        except TimeoutError:
            return True
        return False

    def read_to_the_end(self) -> None:
        while True:
            self.receive()

    def send(self, event: str, **data: object) -> None:
        self.socket.send(json.dumps({"event": event, "data": data}))

    def auth(self, channel: str) -> str:
        answer = ask_auth(self._sandbox, self.socket_id, channel)
        assert answer.status_code == 200, answer.text
        auth = answer.json()["auth"]
        assert isinstance(auth, str)
        return auth

    def subscribe(self, channel: str) -> dict[str, Any]:
        auth = {"auth": self.auth(channel)} if channel.startswith("private-") else {}
        self.send("pusher:subscribe", channel=channel, **auth)
        return self.receive()


class TlsSocket:
    """A websocket-client socket that behaves as far as needed like one of websockets.

    The latter reads and writes one TLS socket from two threads, and now and then, under load,
    its handshake hangs.
    """

    def __init__(self, url: str, ca_file: Path) -> None:
        self._socket = create_connection(url, WAIT, sslopt={"ca_certs": str(ca_file)})

    def send(self, text: str) -> None:
        self._socket.send(text)

    def recv(self, timeout: float) -> bytes:
        self._socket.settimeout(timeout)
        opcode, data = self._socket.recv_data(control_frame=True)
        assert isinstance(data, bytes)
        if opcode == Opcode.CLOSE:
            raise ConnectionClosedError(Close.parse(data), None)
        return data

    def close(self) -> None:
        self._socket.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def raw_client(sandbox: Sandbox, *, key: str | None = None) -> Iterator[Client]:
    """Open a socket and read nothing from it."""
    url = f"{sandbox.ws_url}/app/{key or sandbox.app_key}?protocol=7&client=test&version=1.0.0"
    if sandbox.ca_file is not None:
        with closing(TlsSocket(url, sandbox.ca_file)) as tls:
            yield Client(tls, sandbox)
    else:
        with connect(url, open_timeout=WAIT, close_timeout=WAIT) as plain:
            yield Client(plain, sandbox)


@contextmanager
def client(sandbox: Sandbox) -> Iterator[Client]:
    """Open a socket and read its connection_established."""
    with raw_client(sandbox) as opened:
        opened.greet()
        yield opened


def ask_auth(
    sandbox: Sandbox, socket_id: str, channel: str, *, token: str | None = None
) -> requests.Response:
    return requests.post(
        f"{sandbox.api_url}/broadcasting/auth",
        data={"socket_id": socket_id, "channel_name": channel},
        headers={"Authorization": sandbox.token if token is None else token},
        verify=str(sandbox.ca_file) if sandbox.ca_file else True,
        timeout=WAIT,
    )


def ask_api(
    sandbox: Sandbox, path: str, *, token: str | None = None, **query: object
) -> requests.Response:
    """GET a path; redirects are not followed."""
    return requests.get(
        f"{sandbox.api_url}{path}",
        params={name: str(value) for name, value in query.items()},
        headers={"Authorization": sandbox.token if token is None else token},
        allow_redirects=False,
        timeout=WAIT,
    )
