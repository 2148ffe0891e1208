"""Fixtures of the tests against real peers; they skip, with the reason, where node is missing."""

from collections.abc import Iterator

import pytest

from tests.interop.soketi import (
    AuthEndpoint,
    Certificate,
    Soketi,
    issue_certificate,
    why_unavailable,
)


@pytest.fixture(scope="session")
def node() -> str:
    """The command `node`, when it can run the packages of this directory."""
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    return "node"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for 127.0.0.1 and localhost by an authority nobody trusts by default."""
    return issue_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def soketi(node: str) -> Iterator[Soketi]:
    """A running server shared by a module; a test that breaks its server takes `own_soketi`."""
    with Soketi() as server:
        yield server


@pytest.fixture
def own_soketi(node: str) -> Iterator[Soketi]:
    """A running server that the test may stop, kill, pause and restart."""
    with Soketi() as server:
        yield server


@pytest.fixture
def tls_soketi(node: str, certificate: Certificate) -> Iterator[Soketi]:
    """A running server that speaks wss only."""
    with Soketi(certificate) as server:
        yield server


@pytest.fixture
def auth() -> Iterator[AuthEndpoint]:
    """The auth endpoint beside soketi."""
    with AuthEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def tls_auth(certificate: Certificate) -> Iterator[AuthEndpoint]:
    """The auth endpoint over TLS, with the certificate of `tls_soketi`."""
    with AuthEndpoint(certificate) as endpoint:
        yield endpoint
