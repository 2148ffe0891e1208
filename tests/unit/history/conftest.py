"""The HTTP server of the tests of the API."""

from tests.unit.chatapp.conftest import server

__all__ = ["server"]
