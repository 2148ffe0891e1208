"""An auth endpoint that can be out of order."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.interop.soketi import AuthEndpoint, AuthRequest


class FailingAuth(AuthEndpoint):
    """Signs for soketi, but for the time of `failing()`."""

    _out_of_order = False

    def answer(self, request: AuthRequest) -> tuple[int, dict[str, Any]]:
        if self._out_of_order:
            return 503, {"success": False}
        return super().answer(request)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Answer 503 in the block."""
        self._out_of_order = True
        try:
            yield
        finally:
            self._out_of_order = False
