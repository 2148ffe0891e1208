"""Real peers: a soketi server from npm, and the auth endpoint that ChatApp runs beside its own.

soketi is of the family of servers ChatApp uses. Both classes are context managers.
"""

import hashlib
import hmac
import http.client
import json
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pusher
import trustme

from tests.conftest import TIMEOUT_SCALE, clean_environment, wait_until
from tests.servers import Answer, Call, HttpEndpoint

HERE = Path(__file__).parent
SERVER = HERE / "node_modules" / "@soketi" / "soketi" / "bin" / "server.js"

HOST = "127.0.0.1"
APP_ID = "1001"  # all digits, or the Python SDK refuses it
APP_KEY = "ChatsAppApiProdKey"
APP_SECRET = "test-secret"
TOKEN = "$2y$10$abcdefghijklmnopqrstuuMadeUpForTestsOnly0123456789./AB"
"""An access token in the shape of ChatApp's, made up."""


def why_unavailable() -> str | None:
    """The reason why soketi cannot run here, or None when it can."""
    node = shutil.which("node")
    if node is None:
        return "node is not installed"
    if not SERVER.exists():
        return "tests/interop/node_modules is not installed (npm ci)"
    # The native part exists for some versions of node and of glibc only.
    loads = subprocess.run(
        [node, "-e", 'require("uWebSockets.js")'],
        cwd=HERE,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return None if loads.returncode == 0 else "uWebSockets.js does not load in this node"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Paths of a server's certificate for 127.0.0.1 and localhost, its key, and its authority."""

    ca_file: Path
    cert_file: Path
    key_file: Path

    def server_context(self) -> ssl.SSLContext:
        """What a server with this certificate speaks TLS with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert_file, self.key_file)
        return context


def issue_certificate(directory: Path) -> Certificate:
    """Make an authority and a certificate by it, and write them as PEM files into `directory`."""
    authority = trustme.CA()
    issued = authority.issue_cert(HOST, "localhost")
    files = Certificate(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    authority.cert_pem.write_to_path(files.ca_file)
    issued.private_key_pem.write_to_path(files.key_file)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(files.cert_file, append=True)
    return files


def reserve_port() -> tuple[int, socket.socket]:
    """A port that belongs to the holder of the returned socket, also while nobody listens.

    soketi listens with SO_REUSEPORT, so two servers on one port would silently share the
    connections. A socket that is bound the same way, but never listens, takes no connection and
    keeps the port from being handed out to anybody else.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind((HOST, 0))
    return holder.getsockname()[1], holder


def free_udp_port() -> int:
    """A UDP port that was free a moment ago."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class Soketi:
    """A soketi server on ports of its own; `port` stays the same over `restart()`."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        self.certificate = certificate
        self.app_key = APP_KEY
        self._directory = tempfile.TemporaryDirectory(prefix="soketi-")
        self._home = Path(self._directory.name)
        self._log = self._home / "soketi.log"
        self.port, self._holder = reserve_port()
        self._metrics_port, self._metrics_holder = reserve_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._http = pusher.Pusher(
            app_id=APP_ID,
            key=APP_KEY,
            secret=APP_SECRET,
            host=HOST,
            port=self.port,
            ssl=certificate is not None,
            timeout=10,
        )
        self._trust_own_certificate()

    def _trust_own_certificate(self) -> None:
        # The SDK always verifies with the bundle it ships and has no option for another one.
        backend = self._http._pusher_client.http
        backend.session.trust_env = False  # no proxy on the way to loopback
        if self.certificate is not None:
            backend.options["verify"] = str(self.certificate.ca_file)

    @property
    def ws_url(self) -> str:
        """What `--ws-url` wants."""
        return f"{'wss' if self.certificate else 'ws'}://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "soketi is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server printed since its last start."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        """Start and wait until the server is ready."""
        assert self._process is None, "soketi is running already"
        config = self._home / "soketi.json"
        config.write_text(json.dumps(self._config()))
        preload = str(HERE / "die_with_parent.cjs")
        command = ["node", "--require", preload, str(SERVER), "start", f"--config={config}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=clean_environment(self._home),
                cwd=self._home,
            )
        try:
            self._wait_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def _config(self) -> dict[str, Any]:
        app = {
            "id": APP_ID,
            "key": APP_KEY,
            "secret": APP_SECRET,
            "enabled": True,
            "enableClientMessages": True,
            "maxConnections": -1,
            "maxBackendEventsPerSecond": -1,
            "maxClientEventsPerSecond": -1,
            "maxReadRequestsPerSecond": -1,
            "webhooks": [],
        }
        config: dict[str, Any] = {
            "host": HOST,
            "port": self.port,
            "metrics.host": HOST,
            "metrics.port": self._metrics_port,
            # Without these lines it broadcasts to the whole network to find its peers.
            "cluster.address": HOST,
            "cluster.unicast": HOST,
            "cluster.port": free_udp_port(),
            "shutdownGracePeriod": 300,
            "appManager.array.apps": [app],
        }
        if self.certificate is not None:
            config["ssl.certPath"] = str(self.certificate.cert_file)
            config["ssl.keyPath"] = str(self.certificate.key_file)
        return config

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        # It prints "up and running" even when it could not listen: only an answer counts.
        deadline = time.monotonic() + 20.0 * TIMEOUT_SCALE
        while not self._answers():
            try:
                process.wait(0.02)
            except subprocess.TimeoutExpired:
                assert time.monotonic() < deadline, f"soketi did not get ready:\n{self.log}"
            else:
                raise AssertionError(f"soketi ended with {process.returncode}:\n{self.log}")
        assert process.poll() is None, f"soketi ended with {process.returncode}:\n{self.log}"

    def _answers(self) -> bool:
        if self.certificate is None:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=5.0)
        else:
            trust = ssl.create_default_context(cafile=self.certificate.ca_file)
            connection = http.client.HTTPSConnection(HOST, self.port, timeout=5.0, context=trust)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End it as an operator does: clients get 4200, then the port refuses. May be repeated."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once: clients see their TCP connections break. May be repeated."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)  # a paused server could not even end
        try:
            process.wait(10.0 * TIMEOUT_SCALE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin is not None
        process.stdin.close()

    def pause(self) -> None:
        """Make it a black hole: TCP goes on, but nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Wake it after `pause()`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "soketi is not running"
        self._process.send_signal(number)

    def restart(self) -> None:
        """Stop it if it runs, and start it again on the same port."""
        self.stop()
        self.start()

    def trigger(self, channel: str, event: str, data: str) -> None:
        """Publish one event; `data` reaches the clients byte for byte as the frame's string."""
        self._assert_ok(self._http.trigger(channel, event, data))

    def trigger_batch(self, channel: str, events: Sequence[tuple[str, str]]) -> None:
        """Publish up to 10 pairs of event and data in one request, in this order.

        Data may be up to 102 400 bytes here; the SDK refuses more than about 30 000 in `trigger`.
        """
        batch = [{"channel": channel, "name": name, "data": data} for name, data in events]
        self._assert_ok(self._http.trigger_batch(batch, already_encoded=True))

    @staticmethod
    def _assert_ok(answer: dict[str, Any]) -> None:
        # The HTTP status is 200 for every refusal; only the body tells.
        assert answer.get("ok") is True, f"soketi refused: {answer}"

    def subscribers(self, channel: str) -> int:
        """How many connections are subscribed to the channel now."""
        info = self._http.channel_info(channel, ["subscription_count"])
        return int(info.get("subscription_count", 0))

    def wait_subscribed(self, channel: str, *, count: int = 1, timeout: float = 10.0) -> None:
        """Wait until at least `count` connections are subscribed to the channel."""
        what = f"{count} subscribers of {channel}"
        wait_until(lambda: self.subscribers(channel) >= count, what, timeout=timeout)

    def close(self) -> None:
        """Kill it and give back its ports and files."""
        self.kill()
        self._http._pusher_client.http.session.close()
        self._holder.close()
        self._metrics_holder.close()
        self._directory.cleanup()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AuthEndpoint(HttpEndpoint):
    """`POST /broadcasting/auth` in a thread: signs for soketi when the token is right.

    Takes a form or JSON; a wrong token gets status 401 and ChatApp's error body.
    """

    def __init__(self, certificate: Certificate | None = None) -> None:
        tls = certificate.server_context() if certificate else None
        super().__init__(_authorise, lambda _: Answer(404), tls=tls)
        self.certificate = certificate


def _authorise(call: Call) -> Answer:
    if call.request.headers["Authorization"] != TOKEN:
        return Answer(401, '{"success":false,"error":{"code":"ApiInvalidTokenError"}}')
    fields = _fields(call)
    text = f"{fields['socket_id']}:{fields['channel_name']}"
    signature = hmac.new(APP_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    return Answer(body=json.dumps({"auth": f"{APP_KEY}:{signature}"}))


def _fields(call: Call) -> dict[str, str]:
    if call.request.headers["Content-Type"] == "application/json":
        fields: dict[str, str] = json.loads(call.request.body)
        return fields
    return call.form
