"""One connection of a server within limits: an asyncio protocol in front of the protocol of any HTTP/1.1 server.

The server needs no support for it. A request begins with its first byte and is in flight from the end of its head to the
first write of its response. A server that waits for more from the client, such as a body, marks this by `waiting_for_client`.
With TLS a connection begins before its handshake (`tls_acceptor`).
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, cast

from inferway_contract.connection_limits import Connections, Step
from inferway_contract.watched_transport import WatchedTransport

_NAME: Final = "inferway.connection"
_END_OF_HEAD: Final = b"\r\n\r\n"
_SHUTDOWN_SECONDS: Final = 1.0
"""For the peer's half of TLS's own close."""


class LimitedConnection(asyncio.Protocol):
    """Passes everything on to `server`, the protocol of an HTTP server, while the limits hold."""

    def __init__(self, connections: Connections, server: asyncio.Protocol) -> None:
        self._connections, self._server = connections, server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_serving = False  # the server knows the connection
        self._is_ended = False
        self._is_in_head = True  # what comes next is a head, or the rest of one
        self._is_first = True  # nothing was written yet
        self._tail = b""  # the end of an incomplete head

    def start_tls(self, accepted: socket.socket, tls: ssl.SSLContext) -> None:
        """Take a place, and begin the handshake on an accepted socket; `connection_made` follows it."""
        if not self._connections.admit(self):
            accepted.close()
            return
        self._limit("handshake")
        self._handshake = self._loop.create_task(self._connect(accepted, tls), name="TLS handshake")
        self._handshake.add_done_callback(lambda task: self._end_handshake(accepted))

    async def _connect(self, accepted: socket.socket, tls: ssl.SSLContext) -> None:
        # Of OSError, ssl.SSLError is one: not TLS, no valid certificate of the client, a client that has left.
        with suppress(OSError):
            await self._loop.connect_accepted_socket(
                lambda: self,
                accepted,
                ssl=tls,
                ssl_handshake_timeout=2 * self._connections.limits.handshake,  # the limit here counts
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )

    def _end_handshake(self, accepted: socket.socket) -> None:
        if self._transport is None:
            accepted.close()
            self._stop_clock()
            self._connections.remove(self)

    # --- asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, if there was no handshake, and let the server begin."""
        self._transport = cast(asyncio.Transport, transport)  # not by class, with uvloop
        if self._handshake is None and not self._connections.admit(self):
            self._transport.abort()
            return
        self._is_serving = True
        self._limit("head")
        self._server.connection_made(WatchedTransport(self._transport, self._wrote, {_NAME: self}))

    def data_received(self, data: bytes) -> None:
        """Pass bytes on; look for the end of a head."""
        if self._is_in_head:
            self._read_head(data)
        self._server.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass the end of the client's bytes on."""
        return self._server.eof_received()

    def pause_writing(self) -> None:
        """Pass on that the client does not keep up."""
        self._server.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that it does again."""
        self._server.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._is_ended = True
        self._stop_clock()
        self._connections.remove(self)
        if self._is_serving:
            self._server.connection_lost(exc)

    # --- limits

    def abort(self) -> None:
        """Close at once; during a handshake too."""
        self._is_ended = True
        self._stop_clock()
        if self._transport is not None:
            self._transport.abort()
        elif self._handshake is not None:
            self._handshake.cancel()

    def _read_head(self, data: bytes) -> None:
        if not self._tail:
            data = data.lstrip(b"\r\n")  # servers skip empty lines in front of a request
            if not data:
                return
            if not self._is_first:
                self._limit("head")
        text = self._tail + data
        if _END_OF_HEAD in text:
            self._is_in_head, self._tail = False, b""
            self._connections.occupy(self)
            self._limit("request")
        else:
            self._tail = text[-(len(_END_OF_HEAD) - 1) :]

    def _wrote(self) -> None:
        """Note that the server has written. Now it is up to the client to take it, and to send the next request."""
        self._is_in_head, self._is_first, self._tail = True, False, b""
        self._connections.vacate(self)
        self._limit("response")

    @contextmanager
    def waits(self) -> Iterator[None]:
        """Let a connection with a request count as one that waits for its client."""
        self._connections.vacate(self)
        try:
            yield
        finally:
            self._connections.occupy(self)

    def _limit(self, step: Step) -> None:
        """Begin the time limit of a step, in place of the limit of the step before."""
        self._stop_clock()
        if not self._is_ended:
            seconds: float = getattr(self._connections.limits, step)
            self._deadline = self._loop.call_later(seconds, self._expire, step)

    def _expire(self, step: Step) -> None:
        if step == "response" and self._transport is not None and not self._transport.get_write_buffer_size():
            return  # it was taken; how long the connection may be idle then is the server's decision
        self._connections.end(self, step)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


@contextmanager
def waiting_for_client(transport: asyncio.BaseTransport | None) -> Iterator[None]:
    """Let the connection of a server's transport wait for its client, while the server reads a body for example."""
    connection = transport.get_extra_info(_NAME) if transport is not None else None
    if not isinstance(connection, LimitedConnection):
        yield
        return
    with connection.waits():
        yield
