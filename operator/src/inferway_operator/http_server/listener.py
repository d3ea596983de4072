"""A small HTTP server on one address with tight limits, on aiohttp's low-level server."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

from aiohttp import web

from inferway_contract.connection_limits import Connections, Limits, Reason
from inferway_contract.limited_connection import LimitedConnection
from inferway_contract.listener import address_and_port
from inferway_contract.tls_acceptor import TlsAcceptor

log = logging.getLogger("inferway")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

LIMITS: Final = Limits(connections=256)
"""Of each port: the operator's connections to the API server need file descriptors too."""

_IDLE_SECONDS: Final = 120.0
"""Longer than the 90 s after which the API server closes an idle connection: the client closes first."""
_STOP_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 1.0

_silent = logging.Logger("aiohttp requests", logging.CRITICAL)
"""aiohttp logs a traceback for each malformed request, and any client can send those."""


class Listener:
    """Serves `handler` on `address:port` until stopped, with TLS if there is a context."""

    def __init__(
        self,
        address: str,
        handler: Handler,
        closed: Callable[[Reason], None],
        context: ssl.SSLContext | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        """`closed` counts the connections that a limit ended."""
        self._address, self._handler, self._context = address, handler, context
        self._connections = Connections(limits, closed)
        self._exit = AsyncExitStack()
        self.address = ("", 0)
        """Address and port, also a port that the system chose."""

    async def start(self) -> None:
        """Begin to listen; `OSError` if the address is unavailable."""
        host, port = address_and_port(self._address)
        self._server = web.Server(
            self._answer,
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=0,
            auto_decompress=False,  # the API server does not compress; a bomb would fill the memory
            access_log=None,
            logger=_silent,
        )
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        name, number, *_ = listening.getsockname()
        self.address = name, number
        if self._context is None:
            server = await asyncio.get_running_loop().create_server(self._connection, sock=listening)
            self._exit.callback(server.close)
        else:
            self._exit.push_async_callback(TlsAcceptor(listening, self._connection, self._context).close)

    def _connection(self) -> LimitedConnection:
        return LimitedConnection(self._connections, self._server())

    async def stop(self) -> None:
        """Accept no more connections, finish requests in flight, close."""
        await self._exit.aclose()
        self._server.pre_shutdown()
        await self._server.shutdown(_STOP_SECONDS)
        await self._connections.wait_closed(_CLOSE_SECONDS)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._handler(request)
        except web.HTTPException as rejection:
            # The rest of the request is unread, so no other can follow on this connection.
            request.protocol.close()
            return web.Response(status=rejection.status, text=f"{rejection.reason}\n", headers={"Connection": "close"})
        except Exception:
            log.exception("unexpected error in a request")
            return web.Response(status=500, text="internal error: see the operator's log\n")
