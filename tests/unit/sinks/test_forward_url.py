"""The values of --forward-to and --header."""

import pytest

from chatapp_tail.sinks.forward_url import parse_forward_url, parse_header, shown_url


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
    ],
)
def test_what_is_no_url_of_a_destination(text: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - any sentence
        parse_forward_url(text)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:pass@x:81/hook?token=1", "http://x:81/hook"),
        ("https://[::1]:3000/a", "https://[::1]:3000/a"),
        ("http://localhost:3000/", "http://localhost:3000/"),
    ],
)
def test_what_is_said_of_a_url(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_headers() -> None:
    assert parse_header("Authorization: Bearer a:b") == ("Authorization", "Bearer a:b")
    assert parse_header("X-Empty:") == ("X-Empty", "")


@pytest.mark.parametrize("text", ["", "no colon", ": x", "a b: c", "a: b\r\nc: d", "a: \x07"])
def test_what_is_no_header(text: str) -> None:
    with pytest.raises(ValueError, match="header"):
        parse_header(text)
