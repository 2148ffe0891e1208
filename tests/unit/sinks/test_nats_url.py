"""URLs of NATS and the subjects below their prefix."""

import re

import pytest

from chatapp_tail.redaction import redact
from chatapp_tail.sinks.nats_url import NatsUrl, parse_nats_url, subject_of
from tests.factories import record


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("nats://localhost/chatapp", NatsUrl(("nats://localhost:4222",), "chatapp")),
        ("nats://10.0.0.1:5000/a.b-c", NatsUrl(("nats://10.0.0.1:5000",), "a.b-c")),
        (
            "tls://n1,n2:4223,[::1]/bus",
            NatsUrl(("tls://n1:4222", "tls://n2:4223", "tls://[::1]:4222"), "bus"),
        ),
        ("nats://u:p@n1/bus", NatsUrl(("nats://n1:4222",), "bus", "u", "p")),
        ("nats://u:p,%40@n1,n2/b", NatsUrl(("nats://n1:4222", "nats://n2:4222"), "b", "u", "p,@")),
        (
            "nats://u:p@n1,u:p@n2/bus",
            NatsUrl(("nats://n1:4222", "nats://n2:4222"), "bus", "u", "p"),
        ),
        ("nats://token@n1/bus", NatsUrl(("nats://n1:4222",), "bus", "token")),
    ],
)
def test_what_a_url_names(text: str, url: NatsUrl) -> None:
    assert parse_nats_url(text) == url


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("http://secret:secret@n1/bus", "must start with nats:// or tls://"),
        ("nats://secret:secret@n1", "names no subject prefix"),
        ("nats://secret:secret@n1/", "names no subject prefix"),
        ("nats://secret:secret@n1/a b", "holds a space"),
        ("nats://secret:secret@n1/a.>", "prefix must be words"),
        ("nats://secret:secret@n1/a..b", "prefix must be words"),
        ("nats://secret:secret@n1/a/b", "more than a prefix"),
        ("nats://secret:secret@n1/$JS", "prefix must be words"),
        ("nats://secret:secret@n1:0/bus", "not a number from 1 to 65535"),
        ("nats://secret:secret@n1:x/bus", "not a number from 1 to 65535"),
        ("nats://secret:secret@n1:99999/bus", "not a number from 1 to 65535"),
        ("nats://secret:secret@/bus", "no host"),
        ("nats://secret:secret@n1,/bus", "no host"),
        ("nats://secret:secret@n1,secret:other@n2/bus", "different credentials"),
        ("nats://secret:secret@n1/bus?x=1", "nothing else"),
        ("nats://secret:secret@n1/bus#x", "nothing else"),
    ],
)
def test_a_wrong_url_is_explained_without_its_secrets(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)) as raised:
        parse_nats_url(text)

    assert "secret" not in str(raised.value)


def test_its_name_and_its_representation_have_no_secrets() -> None:
    url = parse_nats_url("nats://user:pass%40word@n1,n2:4223/bus")

    assert url.name == "nats://n1:4222,n2:4223/bus"
    assert "word" not in repr(url)
    assert redact("pass@word, pass%40word") == "[secret], [secret]"


@pytest.mark.parametrize(
    ("members", "subject"),
    [
        ({}, "bus.1229.telegram.message"),
        ({"license": None, "messenger": None}, "bus.-.-.message"),
        ({"event": ""}, "bus.1229.telegram.-"),
        ({"event": "a.b*>c d%"}, "bus.1229.telegram.a%2Eb%2A%3Ec%20d%25"),
        ({"event": "\t\r\n"}, "bus.1229.telegram.%09%0D%0A"),
        ({"event": "й"}, "bus.1229.telegram.%D0%B9"),
    ],
)
def test_each_line_and_event_has_a_subject(members: dict[str, object], subject: str) -> None:
    assert subject_of("bus", record(**members)) == subject
