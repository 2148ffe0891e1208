"""`/v1/tokens`: logging in, refreshing the pair, and asking whether a token is good.

Not documented by ChatApp, and so a guess: the code of a wrong login, and of a used-up quota.
"""

from .access import has_token, invalid_token
from .account import Account
from .http_messages import Answer, Request, error_answer, json_answer
from .journal import TokenChecked, TokenMade, TokenRefreshed
from .service import Service
from .token_issuer import TokenPair


def make_tokens(request: Request, service: Service) -> Answer:
    """Answer `POST /v1/tokens` with `{email,password,appId}` by a new pair.

    422 for missing fields, 401 for wrong ones, 429 when the day's quota is used up.
    """
    fields = request.fields()
    login = tuple(fields.get(name, "") for name in ("email", "password", "appId"))
    if not all(login):
        return error_answer(422, "ApiValidationError", "email, password and appId are required")
    if login != service.account.login():
        return error_answer(401, "ApiInvalidCredentialsError", "Wrong email, password or appId")
    pair = service.tokens.make()
    if pair is None:
        return error_answer(429, "ApiTokenLimitError", "Too many tokens today")
    service.journal.add(TokenMade(email=fields["email"], app_id=fields["appId"]))
    return _pair(pair, service.account)


def refresh_tokens(request: Request, service: Service) -> Answer:
    """Answer `POST /v1/tokens/refresh`, header `Refresh`, by a new pair; the old one is void."""
    pair = service.tokens.refresh(request.headers.get("Refresh"))
    if pair is None:
        return invalid_token(service)
    service.journal.add(TokenRefreshed())
    return _pair(pair, service.account)


def check_token(request: Request, service: Service) -> Answer:
    """Answer `GET /v1/tokens/check`: `{"success":true}`, or that the token is not good."""
    valid = has_token(request, service)
    service.journal.add(TokenChecked(valid=valid))
    return json_answer(200, {"success": True}) if valid else invalid_token(service)


def _pair(pair: TokenPair, account: Account) -> Answer:
    # Times are whole seconds, rounded down: who believes them is never late.
    data = {
        "cabinetUserId": account.user_id,
        "accessToken": pair.access,
        "accessTokenEndTime": int(pair.access_end),
        "refreshToken": pair.refresh,
        "refreshTokenEndTime": int(pair.refresh_end),
    }
    return json_answer(200, {"success": True, "data": data})
