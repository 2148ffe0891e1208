"""What `doctor` checks of a destination by HTTP: its secrets, and what it answers to HEAD."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from ..errors import ExitStatus, UsageError
from ..net import Proxy, without_secrets
from ..sinks.http_answers import Answer, Verdict, describe_answer, describe_error, verdict
from ..sinks.http_connection import Connection, Route
from ..sinks.http_request import RequestWriter
from ..threads import Waker
from .check_result import Check, CheckFailed
from .destination import check_forward_proxy, read_secrets

_TIMEOUT = 10.0
_NO_HEAD = (405, 501)
"""What an endpoint answers that takes POST alone."""
_OFTEN_TO_HEAD = (401, 403, 404)
"""What it may answer too: HEAD has no signature, and routes of Express for POST have no HEAD."""


class ForwardArguments(msgspec.Struct, frozen=True):
    """The options that say where a tail forwards to."""

    url: str
    headers: tuple[tuple[str, str], ...]
    secret_file: Path | None
    ca_file: str | None
    proxy: Proxy | None


def forward_checks(arguments: ForwardArguments) -> Iterator[tuple[str, Check]]:
    """Yield the checks: what is wrong for good ends a tail, the rest it would try again."""
    yield "forward signature", lambda: _signature(arguments.secret_file)
    yield "forward", lambda: _forward(arguments)


def _signature(file: Path | None) -> str:
    try:
        count = len(read_secrets(file))
    except UsageError as error:
        advice = "write whsec_ and the secret in base64 on a line of that file"
        raise CheckFailed(str(error), advice, error.exit_status) from error
    return f"by {count} secret{'s' * (count > 1)}" if count else "none: no secret is given"


def _forward(arguments: ForwardArguments) -> str:
    name = without_secrets(arguments.url).partition("?")[0]
    try:
        check_forward_proxy(arguments.url, arguments.proxy)
        route = Route(arguments.url, arguments.proxy, arguments.ca_file)
        request = RequestWriter(
            arguments.url, arguments.headers, (), route.forwarder, method="HEAD"
        ).without_body()
    except (OSError, ValueError, UsageError) as error:
        advice = "check --forward-ca-file and --proxy"
        raise CheckFailed(f"{name}: {error}", advice, ExitStatus.USAGE) from error
    answer = _answer(route, request, name)
    return _judge(answer, arguments.url, name)


def _answer(route: Route, request: bytes, name: str) -> Answer:
    through = f" (through the proxy {route.proxy})" if route.proxy else ""
    with (
        closing(Waker()) as waker,
        closing(Connection(route, waker, lambda: False, method="HEAD")) as connection,
    ):
        try:
            return connection.exchange(request, _TIMEOUT)
        except Exception as error:
            # A server can make libraries raise undocumented exceptions.
            reason = describe_error(error, _TIMEOUT)
            advice = _advice_for(reason, route)
            raise CheckFailed(f"{name}: {reason}{through}", advice, ExitStatus.DONE) from error


def _advice_for(reason: str, route: Route) -> str:
    if route.proxy:
        return "check --proxy, or HTTPS_PROXY and the like, and then --forward-to"
    if "certificate" in reason:
        return "if you trust its authority, name it with --forward-ca-file"
    if "TLS" in reason or "no HTTP" in reason:
        return "check --forward-to: is it http or https, and the right port?"
    if "resolved" in reason:
        return "check the name in --forward-to, and the resolver"
    return "start the receiver, or check host and port in --forward-to; a tail tries again"


def _judge(answer: Answer, url: str, name: str) -> str:
    """Return what came back; a status that would hold deliveries up is a warning."""
    status = answer.status
    means = verdict(status)
    if status in _NO_HEAD:
        return f"{name} answered {status}: it is there, and takes no HEAD"
    if means in (Verdict.SETTLED, Verdict.REFUSED):
        return f"{name} answered {status}"
    detail, _, advice = describe_answer(answer, url).partition(": ")
    if status in _OFTEN_TO_HEAD:
        advice += ", unless it answers so to HEAD only"
    ends = ExitStatus.OUTPUT_FAILED if means is Verdict.GONE else ExitStatus.DONE
    raise CheckFailed(f"{name} {detail}", advice or _TROUBLE, ends)


_TROUBLE = "look why it fails there; a tail tries again until it is acknowledged"
