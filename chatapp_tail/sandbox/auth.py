"""`POST /broadcasting/auth`: who may listen to which private channel on which socket."""

from .access import has_token, invalid_token
from .http_messages import Answer, Request, error_answer, json_answer
from .journal import AuthAnswered, AuthRequested
from .service import Service


def authorise(request: Request, service: Service) -> Answer:
    """Answer `POST /broadcasting/auth`, faithfully or as the faults in force demand."""
    fields = request.fields()
    socket_id, channel = fields.get("socket_id", ""), fields.get("channel_name", "")
    service.journal.add(
        AuthRequested(
            socket_id=socket_id,
            channel=channel,
            peer_port=request.peer_port,
            content_type=request.headers.get_content_type(),
            headers=tuple(request.headers.items()),
        )
    )
    _hold_back(service)
    answer = service.faults.take_auth_answer() or _judge(request, socket_id, channel, service)
    service.journal.add(AuthAnswered(socket_id=socket_id, channel=channel, status=answer.status))
    return answer


def _hold_back(service: Service) -> None:
    if service.faults.auth_hangs:
        service.stopping.wait()
    elif service.faults.auth_delay > 0:
        service.stopping.wait(service.faults.auth_delay)


def _judge(request: Request, socket_id: str, channel: str, service: Service) -> Answer:
    if status := service.faults.refuse_channels.get(channel):
        return error_answer(status, "ApiForbiddenError", "Refused by the sandbox's script")
    if not has_token(request, service):
        return invalid_token(service)
    if not socket_id or not channel:
        return error_answer(422, "ApiValidationError", "socket_id and channel_name are required")
    if not service.is_connected(socket_id):
        return error_answer(403, "ApiForbiddenError", "No connection has this socket_id")
    if not service.account.owns(channel):
        return error_answer(403, "ApiForbiddenError", "Not a channel of this account")
    return json_answer(200, {"auth": service.account.sign(socket_id, channel)})
