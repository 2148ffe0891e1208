"""No secret leaves the program, in whatever form it is repeated."""

import json
from base64 import b64encode
from urllib.parse import quote

import pytest

from chatapp_tail import items, redaction
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.net import Proxy
from chatapp_tail.redaction import redact, register_signature
from chatapp_tail.reporting.notices import Level, LogFormat, Notices

TOKEN = '$2y$10$made/Up"of\\Nobody\N{SNOWMAN}'

FORMS = {
    "as it is": TOKEN,
    "percent-encoded": quote(TOKEN, safe=""),
    "percent-encoded in small letters": quote(TOKEN, safe="").lower(),
    "JSON": json.dumps(TOKEN)[1:-1],
    "JSON in UTF-8": json.dumps(TOKEN, ensure_ascii=False)[1:-1],
    "JSON of PHP": json.dumps(TOKEN)[1:-1].replace("/", "\\/"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.defect("A2.21")
def test_a_secret_is_cut_out_in_every_form(form: str) -> None:
    Secret(TOKEN)
    assert redact(f"the token {form} is not good") == "the token [secret] is not good"


@pytest.mark.parametrize(
    "form",
    ["p@ss/word", "p%40ss%2Fword", b64encode(b"us:er:p@ss/word").decode()],
    ids=["decoded", "as given", "Basic"],
)
@pytest.mark.defect("A2.21")
def test_the_password_of_a_proxy_is_cut_out_in_every_form(form: str) -> None:
    Proxy.parse("http://us%3Aer:p%40ss%2Fword@proxy.invalid")
    assert redact(f"407 no {form} here") == "407 no [secret] here"


def test_the_longer_of_two_secrets_leaves_nothing_behind() -> None:
    Secret("made-up-secret")
    Secret("made-up-secret-and-more")
    assert redact("x made-up-secret-and-more y") == "x [secret] y"


def test_what_is_short_stands_in_ordinary_text() -> None:
    Secret("ready")
    assert redact("ready: telegram") == "ready: telegram"


def test_signatures_are_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5000):
        register_signature(f"signature-{number:06}")
    assert redact("but got signature-004999") == "but got [secret]"
    assert len(redaction._recent) < 5000


STATUSES = {
    "trouble": items.ConnectionWarning(1, f"answered 403 ({TOKEN})"),
    "refused": items.Refused(1, "private-x", f"because of {TOKEN}"),
    "lost": items.Lost(1, f"ws://h: {TOKEN}", None, None),
    "traced": items.FrameTrace(1, "<", json.dumps({"message": TOKEN})),
    "fetching": items.Fetching(1, 1, 1, 1, f"answered 503 ({TOKEN})"),
}


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES)
@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.defect("A2.21")
def test_notices_are_redacted(status: items.Status, log_format: LogFormat) -> None:
    Secret(TOKEN)
    said: list[str] = []
    notices = Notices(said.append, Level.TRACE, log_format)
    notices.say(status)
    notices.say(items.Reconnecting(1, 1.0)) if isinstance(status, items.Lost) else None
    notices.end(f"the server says {TOKEN}", 3)
    notices.summary(f"an event named {TOKEN}", {"events": {TOKEN: 1}})
    for form in FORMS.values():
        assert form not in "".join(said)
    assert "[secret]" in said[0]
    assert all(json.loads(line) for line in said if log_format is LogFormat.JSON)


HOSTILE = "private-v1.licenses.1.messengers.\x1b[2J\x07x\nchatapp-tail: ready: \u202eall"
GAP = items.Gap(HOSTILE, 1, 2, "lost", recovered=1, missing="why \x1b[31m\nnot")


@pytest.mark.parametrize(
    "status",
    [
        items.Subscribed(1, HOSTILE),
        items.Ready(1, [HOSTILE], []),
        items.Refused(1, HOSTILE, HOSTILE),
        items.ConnectionWarning(1, HOSTILE, HOSTILE),
        items.Connecting(1, HOSTILE),
        items.Connected(1, HOSTILE),
        GAP,
    ],
    ids=lambda status: type(status).__name__,
)
@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.defect("A2.22")
def test_names_that_a_server_gives_do_nothing_to_a_terminal(
    status: items.Status | items.Gap, log_format: LogFormat
) -> None:
    said: list[str] = []
    Notices(said.append, Level.TRACE, log_format).say(status)
    assert len(said) == 1
    assert said[0].isprintable() or log_format is LogFormat.JSON
    assert not set(said[0]) & {"\x1b", "\x07", "\n"}
