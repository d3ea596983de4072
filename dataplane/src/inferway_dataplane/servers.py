"""The servers of both ports: clients' by our own listener, the admin port's by uvicorn."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from functools import partial
from time import monotonic
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from inferway_contract.connection_limits import Connections, Limits
from inferway_contract.limited_connection import LimitedConnection
from inferway_dataplane.engine.downstream.listener import Listener
from inferway_dataplane.gateway import Gateway
from inferway_dataplane.observability.stats import count_in

log = logging.getLogger("inferway")

_POLL: Final = 0.05  # seconds between two looks at the connections that are left while it drains


class DataServer:
    """Accepts clients from its construction until `stop`."""

    def __init__(self, gateway: Gateway, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        """`listening`: a bound socket. `context`: None = plain HTTP."""
        self._gateway = gateway
        self._listener = Listener(listening, gateway.client_connection, gateway.context, gateway.cap, context)

    async def stop(self, drain_timeout: float) -> None:
        """Close the listener, wait for requests in flight and streams, then cut the rest. Seconds."""
        deadline = monotonic() + drain_timeout
        connections = self._gateway.cap.connections
        stopped: set[object] = set()
        self._listener.close()
        while (connections or self._listener.starting) and monotonic() < deadline:
            # In each round, because accepts and handshakes under way still bring connections.
            for connection in connections - stopped:
                stopped.add(connection)
                connection.shutdown()
            await asyncio.sleep(_POLL)  # an event would cost every connection
        if connections and self._gateway.context.in_flight:
            log.warning(
                "requests were cut, the drain took too long", extra={"requests": self._gateway.context.in_flight}
            )
        for connection in list(connections):
            connection.transport.abort()
        await self._listener.abort()


ADMIN_LIMITS: Final = Limits(connections=32)
"""Half of the descriptors that are reserved for other uses than client and upstream connections."""


class AdminServer:
    """Runs the admin application, which is ASGI."""

    def __init__(self, app: Any, closed: dict[str, int]) -> None:
        """`closed`: connections that a limit closed are counted in it, by reason."""
        connections = Connections(ADMIN_LIMITS, partial(count_in, closed))

        class Protocol(LimitedConnection):
            def __init__(self, **options: Any) -> None:
                super().__init__(connections, AutoHTTPProtocol(**options))

        self._server = _Uvicorn(
            uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None, access_log=False, ws="none")
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self, listening: socket.socket) -> None:
        """Serve on a bound socket."""
        self._serving = asyncio.get_running_loop().create_task(self._server.serve(sockets=[listening]))
        while not self._server.started:
            if self._serving.done():
                await self._serving
                raise RuntimeError("the admin server ended before it had started")
            await asyncio.sleep(0.005)

    async def stop(self, seconds: float) -> None:
        """Close the listener, let requests in flight end within these seconds, cut the rest."""
        if self._serving is None:
            return
        self._server.should_exit = True
        await asyncio.wait((self._serving,), timeout=seconds)
        if not self._serving.done():
            self._server.force_exit = True
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
        await asyncio.gather(self._serving, return_exceptions=True)


class _Uvicorn(uvicorn.Server):
    """uvicorn's server without its signal handlers: `DataPlane` has the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound but does not listen yet. `OSError` names the address and the reason."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    listening.setblocking(False)
    return listening
