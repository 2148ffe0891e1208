"""A loopback HTTP server that answers as it is told, and remembers what it was asked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; `hold` keeps it back until the server is closed."""

    status: int = 200
    body: bytes = b'{"success":true,"data":[]}'
    headers: tuple[tuple[str, str], ...] = ()
    hold: bool = False


@dataclass(frozen=True)
class Asked:
    """One request that came."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass
class Server:
    """`answers` by path, the last one for ever; paths not named get an empty success."""

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def next_answer(self, path: str) -> Answer:
        waiting = self.answers.get(path, [Answer()])
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def paths(self) -> list[str]:
        return [each.path for each in self.asked]


@contextmanager
def running() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            asked = Asked(self.command, self.path, self.headers, self.rfile.read(size))
            server.asked.append(asked)
            answer = server.next_answer(self.path)
            if answer.hold:
                server.closing.wait(60.0)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for header in answer.headers:
                self.send_header(*header)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST  # noqa: N815 - the name http.server wants

        def log_message(self, *_: object) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        http.shutdown()
        http.server_close()
        thread.join()
