"""Who may use the API: the token in the `Authorization` header, raw, without `Bearer`."""

from .http_messages import Answer, Refused, Request, error_answer
from .service import Service


def require_token(request: Request, service: Service) -> None:
    """Return if the request carries a valid access token, else raise Refused."""
    if not has_token(request, service):
        raise Refused(invalid_token(service))


def has_token(request: Request, service: Service) -> bool:
    """Say whether the request carries a valid access token."""
    return service.tokens.is_valid(request.headers.get("Authorization"))


def invalid_token(service: Service) -> Answer:
    """Build ChatApp's own answer to a token it does not know; 401 but for a fault."""
    status = service.faults.invalid_token_status
    return error_answer(status, "ApiInvalidTokenError", "Invalid Token")
