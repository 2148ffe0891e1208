"""Signatures of deliveries by HTTP, verified by the official library for JavaScript."""

import json
import select
import subprocess
from base64 import b64encode

import pytest

from chatapp_tail.sinks.delivery import Delivery
from chatapp_tail.sinks.http import HttpSettings, HttpSink
from chatapp_tail.sinks.http_request import parse_secrets
from tests.conftest import TIMEOUT_SCALE
from tests.factories import record
from tests.interop.soketi import HERE
from tests.receivers import Receiver, Request

NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD = "whsec_QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJD"
BODY = '{"data":[{"id":"wamid.HB","text":"снег 🐚 \\u0441"}],"meta":{}}'.encode()


@pytest.fixture(scope="module")
def request_signed_twice() -> Request:
    with Receiver() as receiver:
        secrets = parse_secrets(f"{NEW}\n{OLD}\n")
        sink = HttpSink(HttpSettings(url=receiver.url, secrets=secrets, jobs=1))
        try:
            sink.give([Delivery(1, "c", [record(id="message:1:whatsApp:c:wamid.é/1")], BODY)])
            assert select.select([sink], [], [], 10.0 * TIMEOUT_SCALE)[0]
        finally:
            sink.close()
        return receiver.wait(1)[0]


def verify(
    node: str, secret: str, request: Request, body: bytes
) -> subprocess.CompletedProcess[str]:
    asked = {"secret": secret, "headers": request.headers, "body": b64encode(body).decode()}
    return subprocess.run(
        [node, str(HERE / "verify_webhook.cjs")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=20.0 * TIMEOUT_SCALE,
        check=False,
    )


@pytest.mark.parametrize("secret", [NEW, OLD])
def test_each_secret_verifies_a_request(
    node: str, request_signed_twice: Request, secret: str
) -> None:
    done = verify(node, secret, request_signed_twice, request_signed_twice.body)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(BODY)


@pytest.mark.parametrize(("secret", "more"), [("whsec_QUJD", b""), (NEW, b" ")])
def test_another_secret_or_body_does_not(
    node: str, request_signed_twice: Request, secret: str, more: bytes
) -> None:
    done = verify(node, secret, request_signed_twice, request_signed_twice.body + more)
    assert "No matching signature found" in done.stderr
