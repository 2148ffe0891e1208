"""Fixtures that tests of history share with those of the API."""

from tests.unit.chatapp.conftest import server as server
