"""The history endpoints: the chats, and the messages of one chat, page by page.

Not documented by ChatApp, and so a guess: that `lastTime` leaves out the second it names
(`Faults.include_last_time` is the other reading), that the chats of one messenger come without
a `nextPage`, what a chat holds beside its id and `lastTime`, and the errors.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from .access import require_token
from .account import messenger_channel
from .history import Item, Position, Record, position_of
from .http_messages import Answer, Refused, Request, error_answer, json_answer
from .service import Service

_LATEST = 2**63
"""After every time and number there is."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page begins: after `position` when `forward`, else before it."""

    forward: bool
    position: Position

    def encode(self) -> str:
        """Return the text of a `nextPage`, opaque to clients."""
        direction = "next" if self.forward else "previous"
        text = ":".join((direction, *map(str, self.position)))
        return base64.urlsafe_b64encode(text.encode()).decode()

    @staticmethod
    def decode(text: str) -> "Cursor":
        """Undo `encode`; raises Refused (422)."""
        try:
            direction, time, number = base64.urlsafe_b64decode(text).decode().split(":")
            return Cursor(direction == "next", (int(time), int(number)))
        except ValueError:
            raise _invalid("nextPage") from None


def list_messages(request: Request, service: Service) -> Answer:
    """Answer `GET /v1/licenses/{l}/messengers/{m}/chats/{chatId}/messages`.

    Newest first; `direction=next` is oldest first. `lastTime` (unix seconds) is where the first
    page begins, `nextPage` the others, `limit` is 1 to 100. Of items of the type `system`,
    `includeSystemMessages=0` leaves out all.
    """
    require_token(request, service)
    license_id, messenger_type = _own_messenger(request, service)
    records = service.history.messages(license_id, messenger_type, request.parts["chat"])
    if request.query.get("includeSystemMessages") == "0":
        records = [record for record in records if record.item.get("type") != "system"]
    return _page_answer(records, _start(request, service), _limit(request, service))


def list_messenger_chats(request: Request, service: Service) -> Answer:
    """Answer `GET /v1/licenses/{l}/messengers/{m}/chats`: newest first, paged by `lastTime`."""
    require_token(request, service)
    records = service.history.chats(*_own_messenger(request, service))
    page, _ = _page(records, _before_last_time(request, service), _limit(request, service))
    if service.faults.hide_chat_times:
        page = [{**chat, "lastTime": None} for chat in page]
    return json_answer(200, {"success": True, "data": {"items": page}})


def list_chats(request: Request, service: Service) -> Answer:
    """Answer `GET /v1/chats`: newest first over all messengers, paged by `nextPage`.

    `companyId` must be the account's if given; `filter[licenseIds]` is a list with commas.
    """
    require_token(request, service)
    company_id = str(service.account.company_id)
    if request.query.get("companyId", company_id) != company_id:
        raise _forbidden()
    records = [
        record
        for license_id in _wanted_licenses(request, service)
        for record in _chats(license_id, service)
    ]
    records.sort(key=position_of)
    return _page_answer(records, _continued(request), _limit(request, service))


def _chats(license_id: int, service: Service) -> Iterable[Record]:
    for messenger_type in service.account.licenses.get(license_id, ()):
        line = {"licenseId": license_id, "messengerType": messenger_type}
        for record in service.history.chats(license_id, messenger_type):
            yield Record(record.position, {**record.item, **line})


def _wanted_licenses(request: Request, service: Service) -> Iterable[int]:
    ids = request.query.get("filter[licenseIds]")
    if ids is None:
        return service.account.licenses
    try:
        return {int(text) for text in ids.split(",")}
    except ValueError:
        raise _invalid("filter[licenseIds]") from None


def _own_messenger(request: Request, service: Service) -> tuple[int, str]:
    license_id, messenger_type = int(request.parts["license"]), request.parts["messenger"]
    if not service.account.owns(messenger_channel(license_id, messenger_type)):
        raise _forbidden()
    return license_id, messenger_type


def _limit(request: Request, service: Service) -> int:
    limit = _number(request, "limit", 20)
    if not 1 <= limit <= 100:
        raise _invalid("limit")
    return min(limit, service.faults.page_cap or limit)


def _start(request: Request, service: Service) -> Cursor:
    if "nextPage" in request.query:
        return _continued(request)
    direction = request.query.get("direction")
    if direction not in (None, "next"):
        raise _invalid("direction")
    return _after_last_time(request, service) if direction else _before_last_time(request, service)


def _continued(request: Request) -> Cursor:
    text = request.query.get("nextPage")
    return Cursor(False, (_LATEST, 0)) if text is None else Cursor.decode(text)


def _after_last_time(request: Request, service: Service) -> Cursor:
    number = -1 if service.faults.include_last_time else _LATEST
    return Cursor(True, (_number(request, "lastTime", -1), number))


def _before_last_time(request: Request, service: Service) -> Cursor:
    number = _LATEST if service.faults.include_last_time else -1
    return Cursor(False, (_number(request, "lastTime", _LATEST), number))


def _number(request: Request, name: str, default: int) -> int:
    try:
        return int(request.query.get(name, default))
    except ValueError:
        raise _invalid(name) from None


def _page(records: list[Record], start: Cursor, limit: int) -> tuple[list[Item], str | None]:
    """Cut the page at a cursor out of records that are in order; say where the next begins."""
    if start.forward:
        rest = [record for record in records if record.position > start.position]
    else:
        rest = [record for record in reversed(records) if record.position < start.position]
    page = rest[:limit]
    next_page = Cursor(start.forward, page[-1].position).encode() if len(rest) > limit else None
    return [record.item for record in page], next_page


def _page_answer(records: list[Record], start: Cursor, limit: int) -> Answer:
    items, next_page = _page(records, start, limit)
    return json_answer(200, {"success": True, "data": {"items": items, "nextPage": next_page}})


def _invalid(parameter: str) -> Refused:
    return Refused(error_answer(422, "ApiValidationError", f"{parameter} is invalid"))


def _forbidden() -> Refused:
    return Refused(error_answer(403, "ApiForbiddenError", "Not of this account"))
