"""The admin port over real sockets: idle and slow clients do not keep probes and scrapes out."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import uvloop
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from inferway_contract.connection_limits import REASONS
from inferway_dataplane.admin.metric_families import ADMIN_CONNECTIONS_CLOSED
from inferway_dataplane.servers import ADMIN_LIMITS, AdminServer, bind

pytestmark = pytest.mark.outside

REQUEST = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


async def healthz(request: Any) -> PlainTextResponse:
    return PlainTextResponse("ok\n")


def test_probe_answers_while_idle_connections_fill_the_port() -> None:
    async def main() -> None:
        closed: dict[str, int] = {}
        server = AdminServer(Starlette(routes=[Route("/healthz", healthz)]), closed)
        listening = bind("127.0.0.1", 0)
        await server.start(listening)
        try:
            await fill_and_probe(listening.getsockname(), closed)
        finally:
            await server.stop(1)

    async def fill_and_probe(address: tuple[str, int], closed: dict[str, int]) -> None:
        idle = [await asyncio.open_connection(*address) for _ in range(3 * ADMIN_LIMITS.connections)]
        for number, (_, writer) in enumerate(idle):
            if number % 2:
                writer.write(REQUEST[:8])
        for _ in range(3):
            reader, writer = await asyncio.open_connection(*address)
            idle.append((reader, writer))
            writer.write(REQUEST)
            async with asyncio.timeout(10):
                assert (await reader.readuntil(b"\n")).startswith(b"HTTP/1.1 200 ")
        assert closed == {"evicted": 2 * ADMIN_LIMITS.connections + 3}
        for _, writer in idle:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    uvloop.run(main())


def test_metric_lists_every_reason() -> None:
    # The admin port has no TLS.
    assert ADMIN_CONNECTIONS_CLOSED.reasons.keys() == {*REASONS} - {"handshake"}
