"""Accepts TLS connections that count from accept on: asyncio's own server knows them only after their handshakes."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from inferway_contract.limited_connection import LimitedConnection

_PAUSE: Final = 0.1
"""Seconds without accepting after an error: no descriptor, or a client that has left already."""


class TlsAcceptor:
    """Accepts on a listening socket until it is closed."""

    def __init__(
        self, listening: socket.socket, connection: Callable[[], LimitedConnection], tls: ssl.SSLContext
    ) -> None:
        """Begin to accept."""
        listening.setblocking(False)
        self._listening, self._connection, self._tls = listening, connection, tls
        self._accepting = asyncio.create_task(self._accept(), name="accept TLS connections")

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listening)
            except OSError:
                await asyncio.sleep(_PAUSE)
                continue
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection().start_tls(accepted, self._tls)

    async def close(self) -> None:
        """Stop to accept."""
        self._accepting.cancel()
        with suppress(asyncio.CancelledError):
            await self._accepting
        self._listening.close()
