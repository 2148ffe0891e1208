"""Endpoints: the URLs that are accepted and refused, and the URL of the upgrade."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from chatapp_tail import __version__
from chatapp_tail.pusher.endpoint import Endpoint


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("ws://example.invalid", Endpoint(False, "example.invalid", 80)),
        ("wss://example.invalid", Endpoint(True, "example.invalid", 443)),
        ("wss://example.invalid:6001", Endpoint(True, "example.invalid", 6001)),
        ("wss://example.invalid:65535/", Endpoint(True, "example.invalid", 65535)),
        ("ws://example.invalid:", Endpoint(False, "example.invalid", 80)),
        ("wss://example.invalid/a/b/", Endpoint(True, "example.invalid", 443, "/a/b")),
        ("WSS://Example.INVALID/Case", Endpoint(True, "example.invalid", 443, "/Case")),
        ("ws://127.0.0.1:1/p", Endpoint(False, "127.0.0.1", 1, "/p")),
        ("ws://[::1]:6001/p", Endpoint(False, "::1", 6001, "/p")),
        ("ws://[::1]", Endpoint(False, "::1", 80)),
    ],
)
def test_parse(url: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(url) == endpoint


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("", "ws://", id="nothing"),
        pytest.param("example.invalid", "ws://", id="no scheme"),
        pytest.param("https://example.invalid", "ws://", id="another scheme"),
        pytest.param("wss:example.invalid", "no host", id="no slashes"),
        pytest.param("wss://", "no host", id="no host"),
        pytest.param("wss://:6001", "no host", id="port without a host"),
        pytest.param("wss:///prefix", "no host", id="prefix without a host"),
        pytest.param("wss://h:0", "1 to 65535", id="port 0"),
        pytest.param("wss://h:65536", "1 to 65535", id="port too high"),
        pytest.param("wss://h:-1", "1 to 65535", id="port negative"),
        pytest.param("wss://h:http", "1 to 65535", id="port by name"),
        pytest.param("wss://h:１", "1 to 65535", id="port in other digits"),
        pytest.param("wss://user:password@h", "nothing else", id="credentials"),
        pytest.param("wss://@h", "nothing else", id="empty credentials"),
        pytest.param("wss://h/app?x=1", "nothing else", id="query"),
        pytest.param("wss://h/app#x", "nothing else", id="fragment"),
    ],
)
def test_what_cannot_be_dialled_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        Endpoint.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("wss://[::1", id="half an IPv6 address"),
        pytest.param("wss://a..b", id="empty label in the host"),
        pytest.param("wss://" + "a" * 64, id="label too long for DNS"),
        pytest.param("wss://a b", id="space in the host"),
        pytest.param("wss://h/a b", id="space in the prefix"),
        pytest.param("wss://h/\x1b[31m", id="escape in the prefix"),
    ],
)
def test_what_no_server_can_have_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Endpoint.parse(url)


@pytest.mark.parametrize(
    "url", ["ws://h:80", "wss://h:443/a", "wss://h:6001/a/b", "ws://[::1]:6001/p"]
)
def test_text_is_what_was_parsed(url: str) -> None:
    assert str(Endpoint.parse(url)) == url


def test_the_url_of_the_upgrade() -> None:
    parts = urlsplit(Endpoint.parse("wss://example.invalid/prefix").url("the key"))
    assert parts.netloc == "example.invalid:443"
    assert parts.path == "/prefix/app/the%20key"
    assert parse_qs(parts.query) == {
        "protocol": ["7"],
        "client": ["python-chatapp-tail"],
        "version": [__version__],
    }


@pytest.mark.parametrize("key", ["a/b", "a?b", "a#b", "a%b", "é", "..", "a\r\nb"])
def test_a_key_stays_one_path_segment(key: str) -> None:
    url = Endpoint.parse("ws://h").url(key)
    path = urlsplit(url).path
    assert path.startswith("/app/")
    assert path.count("/") == 2
    assert url.isascii()
    assert url.isprintable()


def test_the_version_looks_like_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_with_tls_keeps_the_place() -> None:
    assert Endpoint.parse("ws://h:6001/p").with_tls() == Endpoint(True, "h", 6001, "/p")
