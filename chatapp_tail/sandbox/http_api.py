"""The HTTP half of ChatApp: a table of routes, and the server that answers from it."""

import io
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from . import chats, directory, tokens
from .auth import authorise
from .http_messages import NO_ANSWER, Answer, Refused, Request, error_answer
from .journal import ApiAnswered, ApiRequested
from .service import Service

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """Requests of one method whose whole path, still percent-encoded, matches go to `respond`.

    The pattern's named groups reach it decoded, as `request.parts`.
    """

    method: str
    path: re.Pattern[str]
    respond: Callable[[Request, Service], Answer]


_CHATS = "/v1/licenses/(?P<license>[0-9]+)/messengers/(?P<messenger>[^/]+)/chats"

ROUTES = (
    Route("POST", re.compile("/broadcasting/auth"), authorise),
    Route("POST", re.compile("/v1/tokens"), tokens.make_tokens),
    Route("POST", re.compile("/v1/tokens/refresh"), tokens.refresh_tokens),
    Route("GET", re.compile("/v1/tokens/check"), tokens.check_token),
    Route("GET", re.compile("/v1/licenses"), directory.list_licenses),
    Route("GET", re.compile("/v1/companies"), directory.list_companies),
    Route("GET", re.compile(_CHATS), chats.list_messenger_chats),
    Route("GET", re.compile("/v1/chats"), chats.list_chats),
    Route("GET", re.compile(f"{_CHATS}/(?P<chat>[^/]+)/messages"), chats.list_messages),
)


def respond(request: Request, service: Service, routes: tuple[Route, ...] = ROUTES) -> Answer:
    """Answer one request from the table, or as the faults in force demand.

    404 for an unknown path, 405 for a wrong method, 429 above the rate that is allowed.
    """
    service.journal.add(
        ApiRequested(
            method=request.method,
            path=request.path,
            query=tuple(request.query.items()),
            headers=tuple(request.headers.items()),
            peer_port=request.peer_port,
        )
    )
    answer = _answer(request, service, routes)
    if drip := service.faults.take_api_drip(request.path):
        answer = replace(answer, drip=drip)
    service.journal.add(ApiAnswered(method=request.method, path=request.path, status=answer.status))
    return answer


def _answer(request: Request, service: Service, routes: tuple[Route, ...]) -> Answer:
    delay = service.faults.take_api_delay(request.path)
    if delay > 0 and service.stopping.wait(min(delay, threading.TIMEOUT_MAX)):
        return NO_ANSWER  # the server ends, and the request shall have no effect any more
    if not service.throttle.admits():
        return error_answer(429, "ApiTooManyRequestsError", "Too Many Requests")
    fault = service.faults.take_api_answer(request.path)
    if fault is None:
        return _serve(request, service, routes)
    if fault.processed:
        _serve(request, service, routes)
    return fault.answer


def _serve(request: Request, service: Service, routes: tuple[Route, ...]) -> Answer:
    matches = [(route, match) for route in routes if (match := route.path.fullmatch(request.path))]
    for route, match in matches:
        if route.method == request.method:
            parts = {name: unquote(part) for name, part in match.groupdict("").items()}
            try:
                return route.respond(replace(request, parts=parts), service)
            except Refused as refused:
                return refused.answer
    if matches:
        return error_answer(405, "ApiMethodNotAllowedError", "Method Not Allowed")
    return error_answer(404, "ApiNotFoundError", "Not Found")


class ApiServer:
    """The listener of the API: one daemon thread, and one more for each open connection."""

    def __init__(self, service: Service, tls: ssl.SSLContext | None) -> None:
        self._service = service
        self._tls = tls

    def start(self, port: int) -> int:
        """Listen on 127.0.0.1 and return the port; 0 takes a free one. Raises OSError."""
        self._listener = _Listener(("127.0.0.1", port), self._service, self._tls)
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.01,), name="sandbox-api", daemon=True
        )
        self._thread.start()
        return int(self._listener.server_address[1])

    def stop(self) -> None:
        """Close the listener and every connection, and wait for their threads."""
        self._service.stopping.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()
        self._listener.hang_up()


class _Listener(HTTPServer):
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], service: Service, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(address, _Handler)
        self.service = service
        self._tls = tls
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}

    def server_bind(self) -> None:
        # HTTPServer would look up the host's name here, which can take seconds.
        super(HTTPServer, self).server_bind()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            # The handshake belongs to the connection's own thread: here it would let one
            # silent client keep all others out.
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self._converse,
            args=(request, client_address),
            name="sandbox-api-connection",
            daemon=True,
        )
        with self._lock:
            self._connections[thread] = request
        thread.start()

    def _converse(self, connection: socket.socket, address: Any) -> None:
        try:
            self.finish_request(connection, address)
        except Exception:
            _log.debug("connection ended", exc_info=True)
        finally:
            with self._lock:
                del self._connections[threading.current_thread()]
            self.shutdown_request(connection)

    def hang_up(self) -> None:
        """End every connection's thread, also one that waits for its client."""
        with self._lock:
            threads = tuple(self._connections)
            for connection in self._connections.values():
                _wake(connection)
        for thread in threads:
            thread.join()


def _wake(connection: socket.socket) -> None:
    try:
        # Not SSLSocket.shutdown: it takes the TLS state away from the thread that reads.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        _log.debug("the client was gone already")


class _Drip(io.BufferedIOBase):
    """Sends what is written byte by byte, until the server ends."""

    def __init__(self, connection: socket.socket, seconds: float, stopping: threading.Event):
        self._connection = connection
        self._seconds = seconds
        self._stopping = stopping

    def write(self, data: Any) -> int:
        for byte in bytes(data):
            if self._stopping.wait(self._seconds):
                break
            self._connection.sendall(bytes((byte,)))
        return len(data)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet for each answer. Two (headers, then body) would cost the client's delayed
    # acknowledgement of 40 ms on a kept-alive connection.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Listener

    def _answer(self) -> None:
        answer = respond(self._request(), self.server.service)
        if answer.status == 0:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name in answer.headers):
            self.send_header("Content-Length", str(len(answer.body)))
        if answer.drip:
            self.wfile = _Drip(self.connection, answer.drip, self.server.service.stopping)
            self.close_connection = True
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's

    def _request(self) -> Request:
        url = urlsplit(self.path)
        return Request(
            method=self.command,
            path=url.path,
            query=dict(parse_qsl(url.query, keep_blank_values=True)),
            headers=self.headers,
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            peer_port=self.client_address[1],
        )

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        _log.debug(format, *args)
