"""A small HTTP server on one address: few connections, small heads, no patience. aiohttp's low-level server."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from inferway_contract.listener import address_and_port

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

MOST_CONNECTIONS: Final = 256
"""At once. Descriptors are what the operator's own connections to the API server need too."""

_IDLE_SECONDS: Final = 120.0
"""Longer than the 90 s that the API server keeps an unused connection, so that it is the one who closes."""
_HANDSHAKE_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 5.0
_FAREWELL_SECONDS: Final = 1.0


class Listener:
    """Serves `handler` on `address:port` until it is stopped; TLS when there is a context."""

    def __init__(self, address: str, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self._address, self._handler, self._context = address, handler, context

    async def start(self) -> None:
        """Begin to listen; `OSError` when the address cannot be had."""
        host, port = address_and_port(self._address)
        self._server = _Server(
            self._handler,
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=0,
            auto_decompress=False,  # nobody compresses here, but who wants our memory
            access_log=None,
        )
        self._listening = await asyncio.get_running_loop().create_server(
            self._server,
            host,
            port,
            ssl=self._context,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._context is not None else None,
        )

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, with the port that was taken."""
        host, port, *_ = self._listening.sockets[0].getsockname()
        return host, port

    async def stop(self) -> None:
        """Take no more connections, let requests in flight end, close."""
        self._listening.close()
        self._server.pre_shutdown()
        await self._server.shutdown(_STOP_SECONDS)
        await self._server.wait_until_left()


class _Server(web.Server):
    """Knows its connections until they are closed for good; aiohttp forgets them a moment earlier."""

    def __init__(self, handler: Handler, **options: Any) -> None:
        super().__init__(handler, **options)
        self._open: dict[web.RequestHandler, asyncio.Transport] = {}
        self._left = asyncio.Event()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._open[handler] = transport
        if len(self._open) > MOST_CONNECTIONS:
            transport.abort()

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._open.pop(handler, None)
        if not self._open:
            self._left.set()

    async def wait_until_left(self) -> None:
        """Until the last connection is closed; a peer that does not say its part of TLS's farewell is cut."""
        self._left.clear()
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                while self._open:
                    await self._left.wait()
        except TimeoutError:
            for transport in list(self._open.values()):
                transport.abort()


async def read_body(request: web.BaseRequest, most: int, seconds: float) -> bytes:
    """The body; aiohttp's 413 when it has more bytes than `most`, its 408 when it takes longer than `seconds`."""
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


def _too_large(most: int, seen: Any) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(max_size=most, actual_size=seen)
