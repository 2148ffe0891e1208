"""Fixtures of the conformance tests."""

import random
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from chatapp_tail import items

from .harness import Client, Link
from .server import Server


@pytest.fixture
def link() -> Iterator[Link]:
    """A client that is ready at a good server, and the server's side of the connection."""
    with Server() as server, Client(server) as client:
        client.wait_for(items.Ready)
        yield client, server.peer()


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every jittered wait take its shortest form; the limit of dials still holds."""
    monkeypatch.setattr(random, "random", lambda: 0.0)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its certificate as a PEM file."""
    path: Path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Return what a server needs to speak TLS with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture(scope="session")
def trusted(authority: trustme.CA) -> ssl.SSLContext:
    """TLS for a server on 127.0.0.1 and localhost whose certificate is in order."""
    return server_context(authority.issue_cert("127.0.0.1", "localhost"))
