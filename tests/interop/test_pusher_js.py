"""The embedded server against the official client: pusher-js of the vendor's own example."""

import json
from collections.abc import Mapping

import pytest

from chatapp_tail.sandbox import Sandbox
from tests.conftest import TIMEOUT_SCALE, LiveProcess, StartProcess
from tests.interop.soketi import HERE, TOKEN

CHANNEL = "private-v1.licenses.1229.messengers.telegram"
SCRIPT = str(HERE / "pusher_js_tail.cjs")

FRAMES = [
    (
        "message",
        '{"queue":"Telegram.Broadcast.Message","payload":{"data":[{"id":696,"message":'
        '{"text":"\\u0441\\/снег 🐚"}},{"id":697}],"meta":{"type":"message"}}}',
    ),
    (
        "messageStatus",
        '{"queue":"Telegram.Broadcast.Message.Status","payload":{"data":[{"id":42213,'
        '"type":"delivered","error":null}],"meta":{"type":"messageStatus"}}}',
    ),
    (
        "chatTag",
        '{"queue":"Telegram.Broadcast.ChatTag","payload":{"data":[{"type":"add","tag":{"id":29}}],'
        '"meta":{"type":"chatTag"}}}',
    ),
    ("somethingNew", "[1,2.5,null]"),
    ("plainText", "not json at all"),
]


def parsed(data: str) -> object:
    """What pusher-js makes of the data of a frame: JSON when it is, else the text."""
    try:
        return json.loads(data)
    except ValueError:
        return data


def start(
    start_process: StartProcess, node: str, sandbox: Sandbox, env: Mapping[str, str]
) -> LiveProcess:
    """Start pusher-js on one channel of the sandbox."""
    # It warns of TLS to an address without a name, which is what loopback is.
    argv = [
        node,
        "--no-deprecation",
        SCRIPT,
        sandbox.ws_url,
        sandbox.api_url,
        sandbox.app_key,
        CHANNEL,
    ]
    return start_process(argv, env=env)


@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
def test_pusher_js_gets_every_event(node: str, start_process: StartProcess, tls: bool) -> None:
    with Sandbox(port=0, tls=tls, token=TOKEN) as sandbox:
        env = {"TOKEN": TOKEN}
        if tls:
            env["NODE_EXTRA_CA_CERTS"] = str(sandbox.ca_file)
        client = start(start_process, node, sandbox, env)
        assert json.loads(client.stdout.take())["event"] == "pusher:subscription_succeeded"
        sandbox.wait_subscribed(CHANNEL, 10.0 * TIMEOUT_SCALE)
        for event, data in FRAMES:
            assert sandbox.publish(CHANNEL, event, data) == 1
        got = [json.loads(client.stdout.take()) for _ in FRAMES]
        assert client.stderr.text == ""
    assert got == [{"event": event, "data": parsed(data)} for event, data in FRAMES]


def test_pusher_js_is_refused_with_a_wrong_token(node: str, start_process: StartProcess) -> None:
    with Sandbox(port=0, token=TOKEN) as sandbox:
        client = start(start_process, node, sandbox, {"TOKEN": "wrong"})
        client.stderr.wait_for("^refused")
        assert client.stdout.text == ""
