"""The account the sandbox plays: its app, its login, its licences and its channels."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MADE_UP_TOKEN = "$2y$10$SandBox/token.0123456789.abcdefghijklmnop/QRSTUVWXYZ."
"""Has the look of a bcrypt hash, as ChatApp's tokens do: `$`, `/` and `.` and all."""

MADE_UP_LICENSES: Mapping[int, tuple[str, ...]] = {
    1229: ("telegram", "grWhatsApp"),
    1230: ("caWhatsApp",),
    1315: ("telegramBot", "avito", "vkontakte"),
    1402: ("telegram",),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What else is known of a licence. One that is not `active` is served, but silent."""

    name: str | None = None
    active: bool = True


MADE_UP_TERMS: Mapping[int, Terms] = {
    1229: Terms("Demo Shop"),
    1315: Terms("Филиал на Примерной"),
    1402: Terms("Closed branch", active=False),
}

_MESSENGER_CHANNEL = re.compile(r"private-v1\.licenses\.([0-9]+)\.messengers\.([A-Za-z0-9_-]+)")


@dataclass(slots=True)
class Account:
    """One ChatApp account, the only one this server knows.

    `app_key` names its Pusher app. `licenses` maps a licence id to the messenger types it serves;
    `secret` signs channel authorisations, and `token` is an access token that needs no login.
    `company_id` and `user_id` occur in channels and answers; `email`, `password` and `app_id` are
    the login. `licenses` and `terms` may be replaced at any time from any thread, but not changed
    in place: others read them.
    """

    app_key: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    licenses: Mapping[int, tuple[str, ...]]
    company_id: int = 2224
    user_id: int = 685
    email: str = "demo@example.invalid"
    password: str = field(default="made-up password", repr=False)
    app_id: str = "app_685_1"
    terms: Mapping[int, Terms] = field(default_factory=dict)

    def login(self) -> tuple[str, str, str]:
        """Return what has to be sent for tokens: email, password, appId."""
        return self.email, self.password, self.app_id

    def terms_of(self, license_id: int) -> Terms:
        """Return the terms of one licence."""
        return self.terms.get(license_id, Terms())

    def owns(self, channel: str) -> bool:
        """Say whether this account may listen to the private channel of that name."""
        if (messenger := parse_messenger_channel(channel)) is not None:
            license_id, messenger_type = messenger
            return messenger_type in self.licenses.get(license_id, ())
        return channel in self._people_channels()

    def live_channels(self) -> frozenset[str]:
        """Name the messenger channels of the licences that are active."""
        return frozenset(
            messenger_channel(license_id, messenger_type)
            for license_id, messenger_types in self.licenses.items()
            for messenger_type in messenger_types
            if self.terms_of(license_id).active
        )

    def sign(self, socket_id: str, channel: str) -> str:
        """Return `KEY:SIGNATURE` for one channel on one socket (Pusher's auth signatures)."""
        text = f"{socket_id}:{channel}".encode()
        signature = hmac.new(self.secret.encode(), text, hashlib.sha256).hexdigest()
        return f"{self.app_key}:{signature}"

    def _people_channels(self) -> tuple[str, ...]:
        company, user = f"companies.{self.company_id}", f"users.{self.user_id}"
        return f"private-v1.{company}", f"private-v1.{user}", f"private-v1.{company}.{user}"


def messenger_channel(license_id: int, messenger_type: str) -> str:
    """Name the channel on which one messenger of one licence is published."""
    return f"private-v1.licenses.{license_id}.messengers.{messenger_type}"


def parse_messenger_channel(channel: str) -> tuple[int, str] | None:
    """Return (licence id, messenger type) of such a channel; None for any other name."""
    match = _MESSENGER_CHANNEL.fullmatch(channel)
    return (int(match[1]), match[2]) if match else None
