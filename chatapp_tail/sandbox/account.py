"""The account the sandbox plays: its app, its token, its licences and its channels."""

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
}

_MESSENGER_CHANNEL = re.compile(r"private-v1\.licenses\.([0-9]+)\.messengers\.([A-Za-z0-9_-]+)")


@dataclass(frozen=True, slots=True)
class Account:
    """One ChatApp account, the only one this server knows.

    `licenses` maps a licence id to the messenger types it serves; `secret` signs channel
    authorisations, and `token` is the text expected in the `Authorization` header.
    """

    app_key: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    licenses: Mapping[int, tuple[str, ...]]
    company_id: int = 2224
    user_id: int = 685

    def owns(self, channel: str) -> bool:
        """Say whether this account may listen to the private channel of that name."""
        if (messenger := parse_messenger_channel(channel)) is not None:
            license_id, messenger_type = messenger
            return messenger_type in self.licenses.get(license_id, ())
        return channel in self._people_channels()

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
