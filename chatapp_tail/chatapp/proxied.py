"""Kept-alive connections to the API by `requests`: through a proxy, or to an unusual URL.

The only module that uses `requests`, which takes 55 ms of CPU to import; so this one is imported at
the first call that needs it. Its connections are made by `sockets`, so that the same limits apply
as in `auth_connections`.
"""

import socket
import ssl
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ..net import Proxy
from .auth_connections import ENCODINGS, Call, RawResponse, read_body
from .sockets import connect, connect_by_socks

_CONNECTIONS = 8


class Session:
    """A `requests` session with the API at `url`; use it under `sockets.within`."""

    def __init__(self, url: str, proxy: Proxy | None, tls: ssl.SSLContext | None) -> None:
        self._url = url
        self._session = requests.Session()
        self._adapter = _Adapter(proxy if proxy and proxy.scheme != "http" else None, tls)
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers["Accept-Encoding"] = ENCODINGS
        # Off, because it also lets ~/.netrc replace the Authorization header.
        self._session.trust_env = False
        self._proxies = {}
        if proxy and proxy.scheme == "http":
            self._proxies = {"http": proxy.url, "https": proxy.url}

    def send(self, call: Call) -> RawResponse:
        """Send a request; raises anything that `requests` raises, even undocumented exceptions."""
        request = self._session.prepare_request(
            requests.Request(
                call.method,
                self._url + call.path,
                headers=dict(call.headers),
                params=call.query,
                data=call.form,
                json=call.json,
            )
        )
        # By the adapter, since the session parses a redirect even if it is not to follow it, which
        # fails on invalid ones. Redirects are never followed: they could leak a token.
        response = self._adapter.send(request, stream=True, proxies=self._proxies)
        try:
            raw: urllib3.HTTPResponse = response.raw
            content = read_body(lambda size: raw.read(size, decode_content=False))
        finally:
            response.close()
        return RawResponse(response.status_code, response.headers, content)


class _Adapter(HTTPAdapter):
    """Makes connections by `sockets`, through a SOCKS proxy if there is one."""

    def __init__(self, socks: Proxy | None, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._pools = _pools(socks)
        super().__init__(pool_maxsize=_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._tls)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._tls)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def cert_verify(self, conn: Any, *_: Any) -> None:
        # `requests` would read its own file of authorities; the context has them already.
        conn.cert_reqs = "CERT_REQUIRED"


def _pools(socks: Proxy | None) -> dict[str, type[HTTPConnectionPool]]:
    """Return the pools by scheme; `sockets` makes their connections."""

    def open_socket(connection: HTTPConnection) -> socket.socket:
        host, port = connection.host, connection.port
        return connect_by_socks(socks, host, port) if socks else connect(host, port)

    class Plain(HTTPConnection):
        _new_conn = open_socket

    class Secured(HTTPSConnection):
        _new_conn = open_socket

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecuredPool(HTTPSConnectionPool):
        ConnectionCls = Secured

    return {"http": PlainPool, "https": SecuredPool}
