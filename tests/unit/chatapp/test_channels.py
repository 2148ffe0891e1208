"""What a user selects, as channel names, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp_tail.chatapp import channels

NAMES = {
    "1229/telegram": "private-v1.licenses.1229.messengers.telegram",
    "1/grWhatsApp": "private-v1.licenses.1.messengers.grWhatsApp",
    "company/2224": "private-v1.companies.2224",
    "user/685": "private-v1.users.685",
    "company/2224/user/685": "private-v1.companies.2224.users.685",
}


@pytest.mark.parametrize(("short", "full"), NAMES.items())
def test_short_forms_and_back(short: str, full: str) -> None:
    assert channels.parse_channel(short) == full
    assert channels.parse_channel(full) == full
    assert channels.short_name(full) == short


@pytest.mark.parametrize("name", ["news", "presence", "private-x", "a" * 164, "a_-=@,.;Z9"])
def test_any_pusher_name_stays_as_it_is(name: str) -> None:
    assert channels.parse_channel(name) == name
    assert channels.short_name(name) == name


REFUSED = ["", " ", "1229", "1229/", "/telegram", "1229/tele gram", "1229/1", "1229/telegram/x"]
REFUSED += ["presence-room", "presence-"]
REFUSED += ["company/", "company/x", "companies/1", "user/1/2", "user/1/company/2", "company/1/2"]
REFUSED += ["#news", "news!", "news\n", "1229/telegram\n", "a" * 165, "é", "a b", "a/b", "*"]
REFUSED += ["１２２９/telegram", "company/١", "9" * 150 + "/telegram", "1229/" + "a" * 150]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:24]))
def test_what_no_channel_can_be_called_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"channel"):
        channels.parse_channel(text)


@given(st.text(max_size=30) | st.text("0123456789/compayuser.", max_size=30))
def test_whatever_is_accepted_is_a_pusher_name(text: str) -> None:
    try:
        name = channels.parse_channel(text)
    except ValueError:
        return
    assert 1 <= len(name) <= 164
    assert name.isascii()
    assert not set(name) & set(" /#")


@pytest.mark.parametrize("text", ["telegram", "grWhatsApp", "max", "telegramBot", "a1", "x_y"])
def test_a_messenger_type_is_taken_as_typed(text: str) -> None:
    assert channels.parse_messenger(text) == text


@pytest.mark.parametrize("text", ["", "1x", "gr-whatsapp", "a b", "телеграм", "a.b", "a/b", "a\n"])
def test_what_no_messenger_type_can_look_like_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="messenger type"):
        channels.parse_messenger(text)


def test_of_license() -> None:
    assert channels.of_license(1229, "telegram") == NAMES["1229/telegram"]


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("private-v1.licenses.1229.messengers.telegram", (1229, "telegram")),
        ("private-v1.licenses.1229.messengers.new-type", (1229, "new-type")),
        ("private-v1.licenses.x.messengers.telegram", (None, None)),
        ("private-v1.licenses.1229.messengers.", (None, None)),
        ("private-v1.licenses.1229.messengers.a.b", (None, None)),
        ("private-v1.companies.2224", (None, None)),
        ("xprivate-v1.licenses.1229.messengers.a", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_license_and_messenger(
    channel: str | None, expected: tuple[int | None, str | None]
) -> None:
    assert channels.license_and_messenger(channel) == expected


@given(st.text(max_size=20) | st.integers(0).map(lambda n: f"private-v1.licenses.{n}.messengers.a"))
def test_any_name_can_be_looked_at(channel: str) -> None:
    channels.license_and_messenger(channel)
    assert channels.short_name(channel)[:0] == ""


def test_a_number_of_any_length_can_be_looked_at() -> None:
    channel = f"private-v1.licenses.{'9' * 5000}.messengers.a"
    assert channels.license_and_messenger(channel)[1] in ("a", None)


@given(
    st.integers(min_value=1, max_value=10**18),
    st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,20}", fullmatch=True),
)
def test_selected_channels_say_what_was_selected(license_id: int, messenger: str) -> None:
    channel = channels.of_license(license_id, messenger)
    assert channels.license_and_messenger(channel) == (license_id, messenger)
    assert channels.parse_channel(channels.short_name(channel)) == channel
