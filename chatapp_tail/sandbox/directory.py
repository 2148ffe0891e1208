"""`/v1/licenses` and `/v1/companies`: what the account has.

Not documented by ChatApp, and so a guess: the status of a licence that has ended, and the
names of messengers other than `grWhatsApp`.
"""

from collections.abc import Mapping
from typing import Any

from .access import require_token
from .account import Account
from .http_messages import Answer, Request, json_answer
from .service import Service

PAID_UNTIL = 4_102_444_800
"""2100-01-01 in unix seconds: when the licences in use end."""
ENDED_AT = 1_704_067_200
"""2024-01-01 in unix seconds: when those out of use ended."""

_MESSENGER_NAMES: Mapping[str, str] = {
    "telegram": "Telegram",
    "telegramBot": "Telegram Bot",
    "grWhatsApp": "[WEB] WhatsApp",
    "caWhatsApp": "[API] WhatsApp",
    "avito": "Avito",
    "vkontakte": "VK",
    "max": "MAX",
}
_WITHOUT_PHONE = frozenset({"telegramBot", "avito", "vkontakte", "instagram", "email"})


def list_licenses(request: Request, service: Service) -> Answer:
    """Answer `GET /v1/licenses`, whose `data` is a bare array."""
    require_token(request, service)
    account = service.account
    data = [_license(number, types, account) for number, types in account.licenses.items()]
    return json_answer(200, {"success": True, "data": data})


def list_companies(request: Request, service: Service) -> Answer:
    """Answer `GET /v1/companies`, whose items are in `data.items`."""
    require_token(request, service)
    items = [{"companyId": service.account.company_id, "name": "Demo Shop"}]
    return json_answer(200, {"success": True, "data": {"items": items}})


def _license(license_id: int, messenger_types: tuple[str, ...], account: Account) -> dict[str, Any]:
    terms = account.terms_of(license_id)
    return {
        "licenseId": license_id,
        "licenseTo": PAID_UNTIL if terms.active else ENDED_AT,
        "licenseName": terms.name,
        "active": terms.active,
        "status": {"id": 4, "code": "paid"} if terms.active else {"id": 5, "code": "expired"},
        "companies": [account.company_id],
        "messenger": [_messenger(license_id, name) for name in messenger_types],
        "access": [{"userId": str(account.user_id), "email": account.email}],
    }


def _messenger(license_id: int, messenger_type: str) -> dict[str, Any]:
    phone = None if messenger_type in _WITHOUT_PHONE else f"7000000{license_id % 1000:03d}"
    name = _MESSENGER_NAMES.get(messenger_type, messenger_type)
    return {"type": messenger_type, "name": name, "info": {"phone": phone}}
