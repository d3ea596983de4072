"""A small HTTP server on one address with tight limits, on aiohttp's low-level server."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from inferway_contract.listener import address_and_port

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

MOST_CONNECTIONS: Final = 256
"""Concurrent connections: the operator's connections to the API server need file descriptors too."""

_IDLE_SECONDS: Final = 120.0
"""Longer than the 90 s after which the API server closes an idle connection: the client closes first."""
_HANDSHAKE_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 5.0
_CLOSE_SECONDS: Final = 1.0


class Listener:
    """Serves `handler` on `address:port` until stopped, with TLS if there is a context."""

    def __init__(self, address: str, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self._address, self._handler, self._context = address, handler, context

    async def start(self) -> None:
        """Begin to listen; `OSError` if the address is unavailable."""
        host, port = address_and_port(self._address)
        self._server = _Server(
            self._handler,
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=0,
            auto_decompress=False,  # the API server does not compress; a bomb would fill the memory
            access_log=None,
        )
        self._socket_server = await asyncio.get_running_loop().create_server(
            self._server,
            host,
            port,
            ssl=self._context,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._context is not None else None,
        )

    @property
    def address(self) -> tuple[str, int]:
        """Address and port, also a port that the system chose."""
        host, port, *_ = self._socket_server.sockets[0].getsockname()
        return host, port

    async def stop(self) -> None:
        """Accept no more connections, finish requests in flight, close."""
        self._socket_server.close()
        self._server.pre_shutdown()
        await self._server.shutdown(_STOP_SECONDS)
        await self._server.wait_closed()


class _Server(web.Server):
    """Tracks connections until their transports are closed; aiohttp drops them earlier."""

    def __init__(self, handler: Handler, **options: Any) -> None:
        super().__init__(handler, **options)
        self._open: dict[web.RequestHandler, asyncio.Transport] = {}
        self._is_empty = asyncio.Event()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._open[handler] = transport
        if len(self._open) > MOST_CONNECTIONS:
            transport.abort()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._open.pop(handler, None)
        if not self._open:
            self._is_empty.set()

    async def wait_closed(self) -> None:
        """Wait for the last connection; abort peers that do not finish the TLS shutdown."""
        self._is_empty.clear()
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                while self._open:
                    await self._is_empty.wait()
        except TimeoutError:
            for transport in list(self._open.values()):
                transport.abort()


async def read_body(request: web.BaseRequest, most: int, seconds: float) -> bytes:
    """Read the body; raises aiohttp's 413 above `most` bytes, its 408 after `seconds`."""
    if (request.content_length or 0) > most:
        raise _too_large(most, request.content_length)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while piece := await request.content.readany():
                body += piece
                if len(body) > most:
                    raise _too_large(most, len(body))
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return bytes(body)


def _too_large(most: int, actual: Any) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(max_size=most, actual_size=actual)
