"""Pusher channel names and their short forms.

ChatApp has four kinds of private channels and no wildcard: one subscription per channel.
"""

import re
from collections.abc import Iterable

_PREFIX = "private-v1."
# Not compiled at import, which would take 1 ms of every start; `re` caches them.
_MESSENGER = r"[A-Za-z][A-Za-z0-9_]{0,63}"
_ALLOWED = r"[A-Za-z0-9_\-=@,.;]{1,164}"
_OF_LICENSE = r"private-v1\.licenses\.([0-9]{1,20})\.messengers\.([^.]+)"
_SHORT_FORMS = (
    (r"([0-9]{1,20})/([A-Za-z][A-Za-z0-9_]{0,63})", "licenses.{}.messengers.{}"),
    (r"company/([0-9]{1,20})", "companies.{}"),
    (r"user/([0-9]{1,20})", "users.{}"),
    (r"company/([0-9]{1,20})/user/([0-9]{1,20})", "companies.{}.users.{}"),
)
_SHORT_NAMES = (
    (_OF_LICENSE, "{}/{}"),
    (r"private-v1\.companies\.([0-9]{1,20})", "company/{}"),
    (r"private-v1\.users\.([0-9]{1,20})", "user/{}"),
    (r"private-v1\.companies\.([0-9]{1,20})\.users\.([0-9]{1,20})", "company/{}/user/{}"),
)

EXAMPLES = "1229/telegram, company/2224, user/685, company/2224/user/685"


def of_license(license_id: int, messenger: str) -> str:
    """Return the channel of one messenger of one licence."""
    return f"{_PREFIX}licenses.{license_id}.messengers.{messenger}"


def parse_messenger(text: str) -> str:
    """Return a messenger type unchanged; ValueError if its form is not valid.

    The set of types is open and case-sensitive (`grWhatsApp`), so only the form is checked.
    """
    if not re.fullmatch(_MESSENGER, text):
        raise ValueError("a messenger type is letters and digits, such as telegram or grWhatsApp")
    return text


def parse_channel(text: str) -> str:
    """Return the Pusher name of a channel in short or full form; ValueError if it is neither."""
    for form, name in _SHORT_FORMS:
        if found := re.fullmatch(form, text):
            return _PREFIX + name.format(*found.groups())
    if "/" in text or text.isdecimal():
        raise ValueError(f"a channel is one of {EXAMPLES}, or a full Pusher channel name")
    if text.startswith("presence-"):
        raise ValueError("presence channels are not supported: ChatApp has none")
    if not re.fullmatch(_ALLOWED, text):
        raise ValueError("a Pusher channel name has 1 to 164 of A-Z a-z 0-9 _ - = @ , . ;")
    return text


def license_and_messenger(channel: str | None) -> tuple[int | None, str | None]:
    """Return the licence and messenger in the name of a channel, None where it has none."""
    found = re.fullmatch(_OF_LICENSE, channel or "")
    return (int(found[1]), found[2]) if found else (None, None)


def with_short_names(text: str, channels: Iterable[str]) -> str:
    """Return a text with the short names of these channels."""
    for channel in channels:
        text = text.replace(channel, short_name(channel))
    return text


def short_name(channel: str) -> str:
    """Return the form a person types, such as `1229/telegram`; other names stay as they are."""
    for form, name in _SHORT_NAMES:
        if found := re.fullmatch(form, channel):
            return name.format(*found.groups())
    return channel
