"""The value of --forward-to."""

import pytest

from chatapp_tail.sinks.forward_url import parse_forward_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("3000", "http://localhost:3000/"),
        (":3000", "http://localhost:3000/"),
        ("3000/webhook?x=1", "http://localhost:3000/webhook?x=1"),
        ("localhost:3000/x", "http://localhost:3000/x"),
        ("localhost/x", "http://localhost/x"),
        ("127.0.0.1:80", "http://127.0.0.1:80"),
        ("https://crm.example/hook", "https://crm.example/hook"),
        ("nats://n1,n2:4223/bus", "nats://n1,n2:4223/bus"),
        ("tls://user:pass@n1/bus", "tls://user:pass@n1/bus"),
        ("http://user:pass@crm.example/", "http://user:pass@crm.example/"),
    ],
)
def test_urls(text: str, url: str) -> None:
    assert parse_forward_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "crm.example/hook",
        "ftp://x/",
        "http://",
        "http://x:0/",
        "http://x:99999/",
        "99999",
        "http://x/#part",
        "http://x/a b",
        "http://[::1/",
        "nats://n1",
        "nats://n1/a.>",
    ],
)
def test_what_is_no_url_of_a_destination(text: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - any sentence
        parse_forward_url(text)
    assert not text or text not in str(refused.value)
