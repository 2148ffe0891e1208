from collections.abc import Iterator

import pytest

from chatapp_tail.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running
