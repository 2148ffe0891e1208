"""The servers of the tests of history: one that says what it is told to, and a whole ChatApp."""

from collections.abc import Iterator

import pytest

from chatapp_tail.chatapp.api import Api
from chatapp_tail.chatapp.http import Http
from chatapp_tail.chatapp.secret import Secret
from chatapp_tail.chatapp.tokens import StaticToken
from chatapp_tail.sandbox import Sandbox
from tests.unit.chatapp.conftest import server

__all__ = ["api", "sandbox", "server"]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A ChatApp; no proxy of the developer stands before it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with Sandbox() as running:
        yield running


def api(url: str, token: str = "made-up-token") -> Api:
    return Api(Http(url), StaticToken(Secret(token)))
