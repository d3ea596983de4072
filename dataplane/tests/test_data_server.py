"""The data port's server: what its stop waits for, and what it cuts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic

import pytest
import trustme

from inferway_contract.document import ConfigDocument, DirectResponse, EndpointsDocument, Route, Rule
from inferway_contract.listener import tls_context
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.access_log import AccessLog
from inferway_dataplane.servers import DataServer, bind
from inferway_dataplane.settings import Settings

pytestmark = pytest.mark.outside

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def run(test: Callable[[DataServer, int], Awaitable[None]], certificate: tuple[Path, Path] | None = None) -> None:
    """Run the test with a server that answers by itself."""

    async def main() -> None:
        gateway = Gateway(Settings(access_log=False), AccessLog(0, enabled=False, query=False))
        respond = DirectResponse(status=200, content_type="text/plain", body="ok")
        route = Route(id="x/y", rules=(Rule(name="all", respond=respond),))
        gateway.start()
        await gateway.live.accept(ConfigDocument(routes=(route,)), EndpointsDocument())
        listening = bind("127.0.0.1", 0)
        server = DataServer(gateway, listening, tls_context(*certificate) if certificate is not None else None)
        try:
            # As the process does before it stops.
            gateway.drain()
            await test(server, listening.getsockname()[1])
        finally:
            await gateway.stop()

    asyncio.run(main())


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 5)


async def read_all(client: socket.socket) -> bytes:
    """Everything until the server closes."""
    client.setblocking(False)
    loop, received = asyncio.get_running_loop(), b""
    async with asyncio.timeout(5):
        while data := await loop.sock_recv(client, 1 << 16):
            received += data
    return received


def test_stop_serves_the_backlog_and_refuses_new_connections() -> None:
    async def test(server: DataServer, port: int) -> None:
        # The loop has not turned since: the kernel has these connections, the server does not.
        clients = [connect(port) for _ in range(20)]
        for client in clients:
            client.sendall(REQUEST)
        await server.stop(5.0)
        for client in clients:
            response = await read_all(client)
            assert response.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in response.lower()
            client.close()
        with pytest.raises(ConnectionRefusedError):
            connect(port)

    run(test)


def test_stop_closes_silent_connections_of_the_backlog() -> None:
    async def test(server: DataServer, port: int) -> None:
        with connect(port) as client:  # accepted during the stop
            began = monotonic()
            await server.stop(9.0)
            assert monotonic() - began < 5.0, "the head timeout of 10 s must not hold the stop"
            assert await read_all(client) == b""

    run(test)


def test_stop_ends_as_soon_as_idle_connections_are_closed() -> None:
    async def test(server: DataServer, port: int) -> None:
        with connect(port) as client:
            client.sendall(REQUEST)
            await asyncio.sleep(0.1)
            began = monotonic()
            await server.stop(10.0)
            assert monotonic() - began < 5.0
            assert (await read_all(client)).startswith(b"HTTP/1.1 200")

    run(test)


def test_stop_cuts_handshakes_after_the_timeout(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("gateway.test")
    issued.private_key_pem.write_to_path(str(tmp_path / "tls.key"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "tls.crt"))

    async def test(server: DataServer, port: int) -> None:
        with connect(port) as client:
            client.sendall(b"\x16\x03\x01")
            await asyncio.sleep(0.1)
            began = monotonic()
            await server.stop(0.3)
            assert 0.3 <= monotonic() - began < 2.0
            assert await read_all(client) == b""

    run(test, (tmp_path / "tls.crt", tmp_path / "tls.key"))
