"""The short way to the API for the call made once a channel: `http.client`, kept alive.

`requests` takes 55 ms of CPU to import, and each call of it 360 µs, against 6 ms and 90 µs here: a
quarter of a tail's start, and half of it with 500 channels. Only what is plain takes this way:
a form, to an ASCII host and path, with nobody in between. Proxies, other requests and answers that
are encoded are `requests`' work, in `http`, which is the only one to use this module.
"""

import contextlib
import re
import select
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from functools import cached_property
from http.client import HTTPConnection, HTTPSConnection
from typing import NamedTuple, cast
from urllib.parse import urlencode, urlsplit

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "Connection": "keep-alive"}


class Answer(NamedTuple):
    """What came back; `plain` is whether `content` is the body as it was meant."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def plain(self) -> bool:
        """Whether nothing was compressed, which was not asked for."""
        return not self.headers.get("Content-Encoding")


class Direct:
    """Kept-alive connections to one API, as many as there are threads that call at once.

    `timeout` (seconds) holds for the connect and for each read; `authorities` is a PEM file.
    """

    def __init__(self, url: str, authorities: str, timeout: float) -> None:
        self._parts = urlsplit(url)
        self._authorities = authorities
        self._timeout = timeout
        self._idle: deque[HTTPConnection] = deque()

    def __del__(self) -> None:
        for connection in self._idle:
            connection.close()

    @staticmethod
    def reaches(url: str) -> bool:
        """Return whether a URL needs nothing of what `requests` knows about URLs."""
        plain = r"https?://([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?(/[A-Za-z0-9/_-]*)?"
        return re.fullmatch(plain, url) is not None

    def prepare(self) -> None:
        """Do what needs no network, which the first call would do else."""
        if self._parts.scheme == "https":
            with contextlib.suppress(OSError):
                _ = self._tls  # what is wrong with it is for the call to say

    def post(self, path: str, headers: Mapping[str, str], form: Mapping[str, str]) -> Answer:
        """Post a form; OSError, HTTPException or ValueError when no answer comes.

        A kept connection may end just as it is used. Then a new one is asked, once: what is signed
        twice does no harm.
        """
        if kept := self._kept():
            with contextlib.suppress(ConnectionError):
                return self._post_by(kept, path, headers, form)
        return self._post_by(self._new_connection(), path, headers, form)

    def _post_by(
        self,
        connection: HTTPConnection,
        path: str,
        headers: Mapping[str, str],
        form: Mapping[str, str],
    ) -> Answer:
        try:
            connection.request(
                "POST",
                self._parts.path + path,
                urlencode(form),
                {**headers, **_HEADERS},
            )
            response = connection.getresponse()
            try:
                content = response.read()
            except TimeoutError as error:
                # Not the same as no answer at all, and told apart by the caller.
                raise OSError(*error.args) from error
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return Answer(response.status, cast("Mapping[str, str]", response.headers), content)

    def _kept(self) -> HTTPConnection | None:
        """Return the connection used last, unless the server ended it; other threads ask too."""
        try:
            connection = self._idle.pop()
        except IndexError:
            return None
        if connection.sock and not _is_readable(connection.sock):
            return connection
        connection.close()
        return None

    def _new_connection(self) -> HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "http":
            return HTTPConnection(host, port, timeout=self._timeout)
        return HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # One for all connections: reading certifi's authorities takes 14 ms.
        return ssl.create_default_context(cafile=self._authorities)


def _is_readable(sock: socket.socket) -> bool:
    """Return whether something came that nobody asked for, which can only be the end."""
    waits = select.poll()
    waits.register(sock, select.POLLIN)
    return bool(waits.poll(0))
