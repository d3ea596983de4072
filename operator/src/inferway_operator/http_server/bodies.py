"""Request bodies in a bounded amount of memory: the oldest incomplete body gives way to newer ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import StreamReader, web

from inferway_contract.limited_connection import waiting_for_client


class Bodies:
    """Reads bodies, and counts each until its use has ended."""

    def __init__(self, most: int, most_together: int, seconds: float) -> None:
        """`most`: bytes of one body. `most_together`: of all that are read or in use. `seconds`: to read one."""
        self._most, self._most_together, self.seconds = most, most_together, seconds
        self._together = 0
        self._incomplete: dict[asyncio.Transport, None] = {}  # the oldest first

    @asynccontextmanager
    async def read(self, request: web.BaseRequest) -> AsyncIterator[bytes]:
        """Read the body for the time of the block.

        Raises aiohttp's 413 above `most` bytes, 408 after `seconds`, 400 for a body that is malformed or ends early, 503 when
        the memory is full of newer bodies or of bodies in use.
        """
        if (request.content_length or 0) > self._most:
            raise _too_large(self._most, request.content_length)
        transport = request.transport
        if transport is None:  # the client has left
            raise web.HTTPBadRequest
        body = bytearray()
        try:
            self._incomplete[transport] = None
            try:
                with waiting_for_client(transport):
                    await self._fill(body, request.content, transport)
            finally:
                self._incomplete.pop(transport, None)
            yield bytes(body)
        finally:
            self._together -= len(body)

    async def _fill(self, body: bytearray, content: StreamReader, transport: asyncio.Transport) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                while piece := await content.readany():
                    body += piece
                    self._together += len(piece)
                    if len(body) > self._most:
                        raise _too_large(self._most, len(body))
                    if transport not in self._incomplete:
                        raise web.HTTPServiceUnavailable  # it gave way; these are the last bytes that had come
                    if self._together > self._most_together:
                        self._make_room(transport)
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except (OSError, web.RequestPayloadError):
            raise web.HTTPBadRequest from None

    def _make_room(self, newest: asyncio.Transport) -> None:
        """End the oldest incomplete body. Its memory is free some turns later, and each body has little more until then."""
        oldest = next(iter(self._incomplete))
        if oldest is newest:
            raise web.HTTPServiceUnavailable
        del self._incomplete[oldest]
        oldest.abort()


def _too_large(most: int, actual: int | None) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(max_size=most, actual_size=actual or 0)
