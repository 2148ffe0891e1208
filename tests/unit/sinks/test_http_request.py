"""The head of a request: headers of the user, secrets, signatures and ids."""

import pytest

from chatapp_tail.errors import UsageError
from chatapp_tail.redaction import redact
from chatapp_tail.sinks.delivery import Delivery
from chatapp_tail.sinks.http_request import (
    RequestWriter,
    parse_header,
    parse_secrets,
    sign,
    webhook_id,
)
from tests.factories import record


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("X-Team: crm", ("X-Team", "crm")),
        ("x-team:crm", ("x-team", "crm")),
        ("X-Team:  a:b ", ("X-Team", "a:b")),
        ("X-Team:", ("X-Team", "")),
        ("Host: crm.example", ("Host", "crm.example")),
        ("X-Name: Дом\t1", ("X-Name", "Дом\t1")),
    ],
)
def test_a_header_is_name_and_value(text: str, header: tuple[str, str]) -> None:
    assert parse_header(text) == header


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("X-Team", "is written 'NAME: VALUE'"),
        (": x", "is written"),
        ("X Team: x", "is written"),
        ("X-Té: x", "is written"),
        ("X\r\nY: x", "is written"),
        ("X-Team: s3cret\r\nX-More: y", "X-Team holds a line end"),
        ("X-Team: s3cret\n", "X-Team holds a line end"),
        ("X-Team: s3cret\0", "X-Team holds a line end"),
        ("Webhook-Signature: v1,s3cret", "set by chatapp-tail itself"),
        ("webhook-id: s3cret", "set by chatapp-tail itself"),
        ("Content-Length: 5", "set by chatapp-tail itself"),
        ("Transfer-Encoding: chunked", "set by chatapp-tail itself"),
        ("Expect: 100-continue", "set by chatapp-tail itself"),
    ],
)
def test_a_malformed_header_is_refused_without_its_value(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as refusal:
        parse_header(text)
    assert "s3cret" not in str(refusal.value)


def test_values_of_secret_headers_are_redacted() -> None:
    parse_header("Authorization: Bearer t0ken-of-the-crm")
    assert redact("sent Bearer t0ken-of-the-crm, t0ken-of-the-crm") == "sent [secret], [secret]"


def test_secrets_are_lines_with_a_prefix() -> None:
    text = "# since May\n\nwhsec_QUJD\n  whsec_QUI=  \r\nwhsec_QUI\n"
    assert parse_secrets(text) == [b"ABC", b"AB", b"AB"]


@pytest.mark.parametrize(
    ("text", "line"), [("QUJDsecret", 1), ("\n#\nwhsec_!secret", 3), ("whsec_", 1), ("whsec_é", 1)]
)
def test_another_line_is_refused_without_repeating_it(text: str, line: int) -> None:
    with pytest.raises(UsageError, match=rf"line {line} of the file of secrets") as refusal:
        parse_secrets(text)
    assert "secret" not in str(refusal.value).replace("file of secrets", "").replace(
        "no secret", ""
    )
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None


@pytest.mark.parametrize("text", ["", "# none\n\n"])
def test_a_file_without_secrets_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="holds none"):
        parse_secrets(text)


def test_a_signature_is_that_of_the_specification() -> None:
    # The example of the specification's documentation.
    (secret,) = parse_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def identifier(*ids: str, body: bytes = b"{}") -> str:
    return webhook_id(Delivery(1, "c", [record(id=name) for name in ids], body))


HASH = "44136fa355b3"
"""Of the body `{}`."""


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("message:1229:telegram:-5:696", "message:1229:telegram:-5:696"),
        ("a.b~c/d e%f", "a%2Eb%7Ec%2Fd%20e%25f"),
        ("a\r\nb: c", "a%0D%0Ab:%20c"),
        ("снег", "%D1%81%D0%BD%D0%B5%D0%B3"),
        ("\ud83d", "%3F"),
        ("x" * 60_000, "x" * 256),
    ],
)
def test_an_id_holds_no_character_that_breaks_a_header(name: str, encoded: str) -> None:
    assert identifier(name) == f"{encoded}:{HASH}"


def test_the_id_of_several_records_counts_the_others() -> None:
    assert identifier("a", "b", "c") == f"a+2:{HASH}"


def test_another_body_has_another_id() -> None:
    assert identifier("a", body=b"1") != identifier("a", body=b"2")


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("http://crm.example", "POST / HTTP/1.1", "crm.example"),
        ("http://a.example:80/a b/é?q=ü#f", "POST /a%20b/%C3%A9?q=%C3%BC HTTP/1.1", "a.example:80"),
        ("https://дом.example/%20", "POST /%20 HTTP/1.1", "xn--d1aqf.example"),
        ("http://[::1]:3000/x", "POST /x HTTP/1.1", "[::1]:3000"),
    ],
)  # fmt: skip
def test_the_request_line_is_ascii(url: str, line: str, host: str) -> None:
    head = RequestWriter(url, [], []).head("id", b"", 0).decode("ascii").split("\r\n")
    assert head[:2] == [line, f"Host: {host}"]
    assert head[-2:] == ["", ""]
