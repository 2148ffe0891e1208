"""Dialer: how each step that does not succeed ends a dial, without a server process."""

import socket
from collections.abc import Callable, Iterator

import pytest

from chatapp_tail.pusher.backoff import Retry
from chatapp_tail.pusher.dialer import Dialer, DialFailed
from chatapp_tail.pusher.endpoint import Endpoint
from chatapp_tail.pusher.resolver import DialCancelled
from chatapp_tail.threads import Waker


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def dial(host: str, port: int, *, stopping: Callable[[], bool] = lambda: False) -> None:
    waker = Waker()
    try:
        dialer = Dialer("key", None, None, 0.1, waker, stopping)
        dialer.dial(Endpoint(False, host, port))
    finally:
        waker.close()


def test_a_silent_server_is_given_up_at_the_deadline(listener: socket.socket) -> None:
    with pytest.raises(DialFailed, match=r"no answer within 0\.1 s") as failure:
        dial(*listener.getsockname())
    assert failure.value.ended.retry is Retry.BACK_OFF


def test_a_stop_cancels_a_dial(listener: socket.socket) -> None:
    with pytest.raises(DialCancelled):
        dial(*listener.getsockname(), stopping=lambda: True)


def test_a_port_without_a_listener_is_retried(listener: socket.socket) -> None:
    address = listener.getsockname()
    listener.close()
    with pytest.raises(DialFailed) as failure:
        dial(*address)
    assert (failure.value.ended.retry, failure.value.ended.stop) == (Retry.BACK_OFF, None)
