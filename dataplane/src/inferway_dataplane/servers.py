"""uvicorn's Server twice in one loop: one for the data port, one for the admin port."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn

from inferway_dataplane.admin import app as admin_app
from inferway_dataplane.engine.downstream.connection import ClientConnection
from inferway_dataplane.engine.downstream.listener import Listener
from inferway_dataplane.gateway import Gateway


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: two servers share this loop, and `DataPlane` owns the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class DataServer(Server):
    """Runs client connections. It listens by itself (`engine/downstream/listener.py`)."""

    def __init__(self, gateway: Gateway, context: ssl.SSLContext | None) -> None:
        super().__init__(_config(admin_app.nothing))
        self._gateway = gateway
        self._context = context

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        gateway = self._gateway

        def accept() -> ClientConnection:
            return gateway.client_connection()

        # To uvicorn they are servers: things to close.
        self.servers: Any = [
            Listener(listener, accept, gateway.context, gateway.cap, self._context) for listener in sockets or ()
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
