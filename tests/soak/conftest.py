"""The real server of the interop tests."""

from tests.interop.conftest import node, soketi

__all__ = ["node", "soketi"]
