"""URLs that users give, taken apart or refused before any network."""

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.net import split_base_url

SCHEMES = ("http", "https")


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "path"),
    [
        ("https://api.example.invalid", "https", "api.example.invalid", None, ""),
        ("HTTPS://API.Example.Invalid", "https", "api.example.invalid", None, ""),
        ("http://127.0.0.1:1", "http", "127.0.0.1", 1, ""),
        ("http://h:65535/base/x/", "http", "h", 65_535, "/base/x/"),
        ("http://[::1]:8080/x", "http", "::1", 8080, "/x"),
        ("https://пример.invalid", "https", "пример.invalid", None, ""),
        ("https://h./", "https", "h.", None, "/"),
        ("https://h_x-1", "https", "h_x-1", None, ""),
        ("https://" + "a" * 63, "https", "a" * 63, None, ""),
    ],
)
def test_parts(url: str, scheme: str, host: str, port: int | None, path: str) -> None:
    parts = split_base_url(url, SCHEMES)
    assert (parts.scheme, parts.hostname, parts.port, parts.path) == (scheme, host, port, path)
    assert parts.username is None


CHARACTER = "a space or another character"
ONLY = "a host, a port and a path, nothing else"
PORT = "port is not a number from 1 to 65535"
NAME = "host is no name that can be looked up"
REFUSED = {
    "nothing": ("", "must start with http:// or https://"),
    "no scheme": ("h", "must start with http:// or https://"),
    "another scheme": ("wss://h", "must start with http:// or https://"),
    "a scheme alone": ("https:h", "it has no host"),
    "no host": ("https://", "it has no host"),
    "a path without a host": ("https:///x", "it has no host"),
    "a port without a host": ("https://:1", "it has no host"),
    "a user without a host": ("https://u@", "it has no host"),
    "a space": ("https://a b", CHARACTER),
    "a space before": (" https://h", CHARACTER),
    "a newline after": ("https://h\n", CHARACTER),
    "an escape": ("https://h/\x1b[31m", CHARACTER),
    "a tab that urlsplit drops": ("https://h\tx", CHARACTER),
    "text from right to left": ("https://h/\u202e", CHARACTER),
    "no-break space": ("https://h\xa0x", CHARACTER),
    "query": ("https://h?x=1", ONLY),
    "empty query": ("https://h?", ONLY),
    "fragment": ("https://h#x", ONLY),
    "empty fragment": ("https://h/#", ONLY),
    "user": ("https://u@h", ONLY),
    "empty user": ("https://@h", ONLY),
    "user and password": ("https://u:made-up@h", ONLY),
    "port 0": ("https://h:0", PORT),
    "port too high": ("https://h:65536", PORT),
    "port below 0": ("https://h:-1", PORT),
    "port by name": ("https://h:https", PORT),
    "port in other digits": ("https://h:٧", PORT),
    "empty label": ("https://a..b", NAME),
    "label too long": ("https://" + "a" * 64, NAME),
    "half an IPv6 address": ("https://[::1", "it is no URL"),
}


@pytest.mark.parametrize(("url", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_and_why(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        split_base_url(url, SCHEMES)


@pytest.mark.parametrize(
    ("schemes", "said"), [(("ws", "wss"), "ws:// or wss://"), ({"socks5": 1080}, "socks5://")]
)
def test_only_the_schemes_that_are_meant(schemes: Collection[str], said: str) -> None:
    for scheme in schemes:
        assert split_base_url(f"{scheme}://h", schemes).scheme == scheme
    with pytest.raises(ValueError, match=f"^it must start with {said}$"):
        split_base_url("https://h", schemes)


def test_a_user_where_there_may_be_one() -> None:
    parts = split_base_url("http://us%20er:made-up@h:1", SCHEMES, user=True)
    assert (parts.username, parts.password, parts.hostname) == ("us%20er", "made-up", "h")
    with pytest.raises(ValueError, match=ONLY):
        split_base_url("http://user:made-up@h?x", SCHEMES, user=True)


@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize(
    "rest",
    ["h:0", "h:x", "h?x", "h#x", "a..b", "", "[::1", "a b", "h:65536", "h/\x1b", "a" * 64],
)
@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_a_refusal_never_repeats_the_password(scheme: str, rest: str, user: bool) -> None:
    with pytest.raises(ValueError, match=r"\S") as raised:
        split_base_url(f"{scheme}://user:made-up@{rest}", SCHEMES, user=user)
    assert "made-up" not in str(raised.value)


@given(st.text() | st.text("htps:/@.[]:?#%a1 \t", max_size=20).map("http://".__add__))
def test_any_text_is_a_url_or_refused(url: str) -> None:
    try:
        parts = split_base_url(url, SCHEMES)
    except ValueError:
        return
    assert parts.scheme in SCHEMES
    assert parts.hostname
    assert parts.port is None or 1 <= parts.port <= 65_535
    assert (parts.query, parts.fragment, parts.username) == ("", "", None)
