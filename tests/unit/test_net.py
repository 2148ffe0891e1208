"""Which proxy a connection takes, and what no message about one may hold."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.net import Proxy, is_loopback, proxy_for, without_secrets

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY", "REQUEST_METHOD")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("url", "shown", "user"),
    [
        ("http://h:3128", "http://h:3128", None),
        ("http://h", "http://h:8080", None),
        ("h:3128", "http://h:3128", None),
        ("socks5://h", "socks5h://h:1080", None),
        ("socks5h://h:9", "socks5h://h:9", None),
        ("http://u:p@h", "http://h:8080", ("u", "p")),
        ("http://u%40x:p%3A%2F@h", "http://h:8080", ("u@x", "p:/")),
        ("http://u@h", "http://h:8080", ("u", None)),
        ("http://:p@h", "http://h:8080", ("", "p")),
        ("http://u:@h", "http://h:8080", ("u", "")),
        ("HTTP://H:1", "http://h:1", None),
    ],
)
def test_parse(url: str, shown: str, user: tuple[str, str | None] | None) -> None:
    proxy = Proxy.parse(url)
    assert str(proxy) == shown
    assert (proxy.username, proxy.password) == (user or (None, None))


def test_an_ipv6_address_is_shown_so_that_it_can_be_typed() -> None:
    assert str(Proxy.parse("http://[::1]:3128")) == "http://[::1]:3128"


CANNOT_BE = [
    *("", "http://", "ftp://u:geheim@h", "https://u:geheim@h", "http://u:geheim@", "http://h:0"),
    *("http://u:geheim@h:99999", "http://u:geheim@h:x", "http://u:geheim@h?x", "http://h#x"),
    *("http://u:geheim@[::1", "http://u:geheim@h h", "http://u:geheim@h\n", "http://u:geheim@a..b"),
    *("http://u:geheim\u2100@h", "http://u:geheim@h\u2100", "http://u:geheim\uff0f@h"),
]


@pytest.mark.parametrize("url", CANNOT_BE, ids=ascii)
def test_what_cannot_be_a_proxy_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as raised:
        Proxy.parse(url)
    assert "geheim" not in str(raised.value)
    assert "\n" not in str(raised.value)


def told(url: str) -> str:
    """What is said of a proxy, be it one or not."""
    try:
        proxy = Proxy.parse(url)
    except ValueError as error:
        return str(error)
    return f"{proxy} {proxy!r}"


@given(password=st.text(st.characters(exclude_categories=["Cs"]), min_size=3, max_size=12))
def test_no_password_is_ever_told(password: str) -> None:
    assert f"geheim{password}" not in told(f"http://u:geheim{password}@host.invalid:1")


def test_a_proxy_never_prints_its_password() -> None:
    proxy = Proxy.parse("http://user:geheim@h")
    for text in (str(proxy), repr(proxy), f"{proxy}", repr([proxy]), repr({"a": proxy})):
        assert "geheim" not in text
    assert proxy == pickle.loads(pickle.dumps(proxy))


def via(scheme: str = "https", host: str = "h.invalid", given: str | None = None) -> str:
    found = proxy_for(scheme, host, Proxy.parse(given) if given else None)
    return "" if found is None else found.host


@pytest.mark.parametrize(
    ("scheme", "expected"), [("ws", "plain"), ("http", "plain"), ("wss", "tls"), ("https", "tls")]
)
def test_each_scheme_has_its_variable(
    scheme: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://plain:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://tls:1")
    assert via(scheme) == expected


def test_all_proxy_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://every:1")
    assert {via(scheme) for scheme in ("ws", "wss", "http", "https")} == {"every"}
    monkeypatch.setenv("HTTPS_PROXY", "http://tls:1")
    assert (via("wss"), via("ws")) == ("tls", "every")


def test_the_one_that_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://other:1")
    assert via(given="http://given:1") == "given"


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_both_spellings(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "http://found:1")
    assert via() == "found"


def test_empty_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "")
    monkeypatch.setenv("ALL_PROXY", "")
    assert via() == ""


@pytest.mark.parametrize(
    ("excepted", "host", "direct"),
    [
        ("h.invalid", "h.invalid", True),
        ("H.Invalid", "h.invalid", True),
        (".invalid", "h.invalid", True),
        ("invalid", "h.invalid", True),
        ("*", "h.invalid", True),
        ("a.invalid, h.invalid", "h.invalid", True),
        ("other.invalid", "h.invalid", False),
        ("h.invalid", "xh.invalid", False),
        ("", "h.invalid", False),
    ],
)
@pytest.mark.parametrize("given", [None, "http://given:1"])
def test_no_proxy(
    excepted: str, host: str, direct: bool, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://found:1")
    monkeypatch.setenv("NO_PROXY", excepted)
    assert (via(host=host, given=given) == "") is direct


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_is_reached_directly_unless_a_proxy_is_given(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://found:1")
    assert via(host=host) == ""
    assert via(host=host, given="http://given:1") == "given"


def test_a_proxy_of_the_environment_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://u:geheim@h")
    with pytest.raises(ValueError, match="http://") as raised:
        via()
    assert "geheim" not in str(raised.value)
    assert via("ws") == "", "it is about the others only"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://crm.example/hook", "https://crm.example/hook"),
        ("https://user:p@ss@crm.example:8443/a@b?token=1#x", "https://crm.example:8443/a@b?…"),
        ("http://user@[::1]:3000", "http://[::1]:3000"),
        ("nats://user:pass@a.example:4222/x", "nats://a.example:4222/x"),
        ("http://[broken", "an invalid URL"),
    ],
)
def test_a_url_is_shown_without_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *[("localhost", True), ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True)],
        *[("127.0.0.1.example", False), ("10.0.0.1", False), ("127.example", False)],
    ],
)
def test_loopback_is_known_without_a_lookup(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
