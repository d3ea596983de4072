"""uvicorn's Server twice in one loop: one for the data port, one for the admin port."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn

from inferway_dataplane import admin
from inferway_dataplane.engine.downstream import protocol_class
from inferway_dataplane.engine.gateway import Gateway


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: two servers share this loop, and `DataPlane` owns the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class DataServer(Server):
    """Runs client connections. It listens by itself, for uvicorn gives a TLS handshake a whole minute."""

    def __init__(self, gateway: Gateway, context: ssl.SSLContext | None) -> None:
        # uvicorn only ever calls what `http=` is given; that it is a class is its annotation's wish alone.
        protocol: Any = protocol_class(gateway)
        super().__init__(_config(admin.nothing, http=protocol, backlog=gateway.admission.backlog))
        self._context = context
        self._handshake = gateway.settings.head_timeout if context is not None else None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        protocol: Any = self.config.http_protocol_class

        def accept() -> asyncio.Protocol:
            made: asyncio.Protocol = protocol(config=self.config, server_state=self.server_state, app_state={})
            return made

        self.servers = [
            await loop.create_server(
                accept,
                sock=listener,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake,
                backlog=self.config.backlog,
            )
            for listener in sockets or ()
        ]
        self.started = True


def admin_server(app: Any) -> Server:
    """Runs the admin application."""
    return Server(_config(app))


def _config(app: Any, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, ws="none", **options)


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound but does not listen yet. `OSError` says which address cannot be had, and why."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    listener.setblocking(False)
    return listener
