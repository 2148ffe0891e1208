"""The program against a real server of the family ChatApp runs."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from tests.conftest import RunTail, StartProcess, StartTail
from tests.interop.soketi import TOKEN, AuthEndpoint, Soketi

CHANNEL = "private-v1.licenses.1229.messengers.telegram"
SELECTION = ("--license", "1229", "--messenger", "telegram")
READY = r"\bready\b"
"""What the program says once the server has confirmed every channel."""
CREDENTIALS = {"CHATAPP_TOKEN": TOKEN}

# The vendor's examples, to the letter; every person in them is made up.
MESSAGE = (
    '{"id":696,"fromApi":false,"fromMe":false,"time":1637319282,"isForwarded":false,"type":"text",'
    '"message":{"text":"Test","caption":"","file":null},"quotedMessage":null,'
    '"fromUser":{"id":1480000001,"username":"username_test","name":"Test Test",'
    '"phone":"7000000000"},"chat":{"id":"private-1480000001h1360000000000000001",'
    '"hash":"h1360000000000000001","type":"private","phone":"7000000000",'
    '"username":"username_test","name":"Test Test",'
    '"image":"https://example.invalid/GetDialogPhoto/x"}}'
)
STATUS = (
    '{"id":42213,"type":"delivered","chat":{"id":"private-1480000001h1360000000000000001",'
    '"hash":"h1360000000000000001","type":"private","phone":"70000000000",'
    '"username":"username_test"},"error":null}'
)
TAG = (
    '{"type":"add","tag":{"id":29,"name":"test 1","color":"#123df55","sort":100,'
    '"category":{"id":9,"name":"test 1","sort":100}},"chat":{"id":"group-54911000655"}}'
)


def envelope(queue: str, kind: str, *items: str) -> str:
    """What ChatApp puts around the items of one frame, as text so that no byte changes."""
    meta = f'{{"type":"{kind}","licenseId":1229,"messengerType":"telegram"}}'
    return f'{{"queue":"{queue}","payload":{{"data":[{",".join(items)}],"meta":{meta}}}}}'


SEED = [
    ("message", "Telegram.Broadcast.Message", MESSAGE),
    ("messageStatus", "Telegram.Broadcast.Message.Status", STATUS),
    ("chatTag", "Telegram.Broadcast.ChatTag", TAG),
]
FRAMES = [(event, envelope(queue, event, item)) for event, queue, item in SEED]


def endpoints(server: Soketi, endpoint: AuthEndpoint) -> tuple[str, ...]:
    """The options that point the program at the peers."""
    return ("--ws-url", server.ws_url, "--api-url", endpoint.url)


def message(number: int) -> str:
    """An envelope with one message of this id."""
    return envelope("Telegram.Broadcast.Message", "message", f'{{"id":{number}}}')


def test_seed_events_come_out_byte_for_byte(
    soketi: Soketi, auth: AuthEndpoint, start_tail: StartTail
) -> None:
    options = (*endpoints(soketi, auth), *SELECTION, "-n", "3", "-o", "json")
    tail = start_tail("-v", *options, env=CREDENTIALS)
    tail.stderr.wait_for(READY)
    for event, data in FRAMES:
        soketi.trigger(CHANNEL, event, data)
    assert tail.wait() == 0

    for line, (event, queue, item) in zip(tail.stdout.all, SEED, strict=True):
        assert line.endswith(f',"data":{item}}}')
        record = json.loads(line)
        assert list(record) == [
            *("v", "type", "event", "id", "hash", "channel", "license", "messenger"),
            *("received", "source", "queue", "part", "parts", "data"),
        ]
        assert (record["v"], record["type"], record["source"]) == (1, "event", "live")
        assert (record["event"], record["queue"]) == (event, queue)
        assert (record["license"], record["messenger"]) == (1229, "telegram")
        assert (record["channel"], record["part"], record["parts"]) == (CHANNEL, 1, 1)
    chat = "private-1480000001h1360000000000000001"
    assert json.loads(tail.stdout.all[0])["id"] == f"message:1229:telegram:{chat}:696"
    assert tail.stdout.text.count("\n") == 3
    assert auth.calls[0].request.headers["Authorization"] == TOKEN


def test_raw_output_is_the_data_of_the_frame(
    soketi: Soketi, auth: AuthEndpoint, start_tail: StartTail
) -> None:
    options = (*endpoints(soketi, auth), *SELECTION, "-n", "3", "-o", "raw")
    tail = start_tail("-v", *options, env=CREDENTIALS)
    tail.stderr.wait_for(READY)
    for event, data in FRAMES:
        soketi.trigger(CHANNEL, event, data)
    assert tail.wait() == 0
    assert tail.stdout.text == "".join(f"{data}\n" for _, data in FRAMES)


def test_every_item_of_a_batch_is_a_record(
    soketi: Soketi, auth: AuthEndpoint, start_tail: StartTail
) -> None:
    items = ['{"id":1,"n":1.0}', '{"id":"2","text":"\\u0441\\/снег"}', '{ "id" : 3 }']
    options = (*endpoints(soketi, auth), *SELECTION, "-n", "3", "-o", "json")
    tail = start_tail("-v", *options, env=CREDENTIALS)
    tail.stderr.wait_for(READY)
    soketi.trigger(CHANNEL, "message", envelope("Telegram.Broadcast.Message", "message", *items))
    assert tail.wait() == 0

    expected = [
        f',"part":{part},"parts":3,"data":{item}}}' for part, item in enumerate(items, start=1)
    ]
    for line, end in zip(tail.stdout.all, expected, strict=True):
        assert line.endswith(end)


def test_wss_with_an_authority_of_its_own(
    tls_soketi: Soketi, tls_auth: AuthEndpoint, start_tail: StartTail
) -> None:
    assert tls_soketi.certificate is not None
    trust = ("--ca-file", str(tls_soketi.certificate.ca_file))
    options = (*endpoints(tls_soketi, tls_auth), *trust, *SELECTION, "-n", "1", "-o", "raw")
    tail = start_tail("-v", *options, env=CREDENTIALS)
    tail.stderr.wait_for(READY)
    tls_soketi.trigger(CHANNEL, "message", message(1))
    assert tail.wait() == 0
    assert tail.stdout.all == [message(1)]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--event", "messageStatus"), ["messageStatus"]),
        (("--event", "messageStatus", "--event", "chatTag"), ["messageStatus", "chatTag"]),
        (("--exclude-event", "messageStatus"), ["message", "chatTag"]),
    ],
)
def test_events_are_chosen_by_name(
    soketi: Soketi,
    auth: AuthEndpoint,
    start_tail: StartTail,
    options: tuple[str, ...],
    wanted: list[str],
) -> None:
    count = ("-n", str(len(wanted)))
    everything = (*endpoints(soketi, auth), *SELECTION, *options, *count, "-o", "json")
    tail = start_tail("-v", *everything, env=CREDENTIALS)
    tail.stderr.wait_for(READY)
    soketi.trigger_batch(CHANNEL, FRAMES)
    assert tail.wait() == 0
    assert [json.loads(line)["event"] for line in tail.stdout.all] == wanted


def test_a_wrong_app_key_is_final(soketi: Soketi, auth: AuthEndpoint, run_tail: RunTail) -> None:
    options = (*endpoints(soketi, auth), *SELECTION, "--app-key", "WrongKey")
    done = run_tail(*options, env=CREDENTIALS)
    assert done.returncode == 6
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_token_is_final(soketi: Soketi, auth: AuthEndpoint, run_tail: RunTail) -> None:
    wrong = TOKEN.replace("MadeUp", "Wrong0")
    done = run_tail(*endpoints(soketi, auth), *SELECTION, env={"CHATAPP_TOKEN": wrong})
    assert done.returncode == 3
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert wrong not in done.stderr


@pytest.mark.timeout(120)
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_restarted_server_is_found_again(
    own_soketi: Soketi, auth: AuthEndpoint, start_tail: StartTail, end: str
) -> None:
    options = (*endpoints(own_soketi, auth), *SELECTION, "-n", "2", "-o", "raw")
    tail = start_tail("-v", *options, env=CREDENTIALS)
    tail.stderr.wait_for(READY)
    own_soketi.trigger(CHANNEL, "message", message(1))
    assert tail.stdout.take() == message(1)

    (own_soketi.kill if end == "kill" else own_soketi.stop)()
    own_soketi.start()
    tail.stderr.wait_for(READY, count=2, timeout=40.0)
    own_soketi.trigger(CHANNEL, "message", message(2))
    assert tail.wait() == 0
    assert tail.stdout.all == [message(1), message(2)]
    # A signature belongs to one connection, so a new one was asked for.
    assert len({call.form["socket_id"] for call in auth.calls}) >= 2


def test_a_reader_that_goes_away_ends_the_pipeline(
    own_soketi: Soketi, auth: AuthEndpoint, start_process: StartProcess, tmp_path: Path
) -> None:
    status = tmp_path / "status"
    options = (*endpoints(own_soketi, auth), *SELECTION, "-o", "raw")
    program = shlex.join([sys.executable, "-m", "chatapp_tail", *options])
    pipeline = f"{{ {program}; echo $? >{shlex.quote(str(status))}; }} | head -1"
    shell = start_process(["sh", "-c", pipeline], env=CREDENTIALS)
    own_soketi.wait_subscribed(CHANNEL)
    own_soketi.trigger(CHANNEL, "message", message(1))
    # One event only: that the reader is gone must be noticed without another one.
    assert shell.wait(timeout=5.0) == 0
    assert shell.stdout.all == [message(1)]
    assert shell.stderr.text == ""
    assert status.read_text() == "0\n"
