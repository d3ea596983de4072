"""One connection of a server within limits: an asyncio protocol in front of the protocol of any HTTP/1.1 server.

The server needs no support for it. A request begins with its first byte and is in flight from the end of its head to the
first write of its response. A server that waits for more from the client, such as a body, marks this by `waiting_for_client`. TLS
begins here too, so that a handshake counts as a connection from accept on.
"""

import asyncio
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from inferway_contract.connection_limits import Connections, Step

_NAME: Final = "inferway.connection"
_END_OF_HEAD: Final = b"\r\n\r\n"
_SHUTDOWN_SECONDS: Final = 1.0
"""For the peer's half of TLS's own close."""


class LimitedConnection(asyncio.Protocol):
    """Passes everything on to `server`, the protocol of an HTTP server, while the limits hold."""

    def __init__(self, connections: Connections, server: asyncio.Protocol, tls: ssl.SSLContext | None = None) -> None:
        self._connections, self._server, self._tls = connections, server, tls
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        """The socket's. With TLS the server has another, on top of it."""
        self._top: asyncio.Transport
        self._handshake: asyncio.Task[None] | None = None
        self._early: list[bytes] = []  # what came in the turn in which the handshake ended
        self._deadline: asyncio.TimerHandle | None = None
        self._is_serving = False  # the server knows the connection
        self._is_lost = False
        self._is_in_head = True  # what comes next is a head, or the rest of one
        self._is_first = True  # nothing was written yet
        self._tail = b""  # the end of an incomplete head

    # --- asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place; begin TLS, or serve."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker: a stream's protocol
        self._transport = transport
        if not self._connections.admit(self):
            self._is_lost = True
            transport.abort()
        elif self._tls is None:
            self._serve(transport)
        else:
            transport.pause_reading()  # until the TLS protocol reads
            self._limit("handshake")
            self._handshake = self._loop.create_task(self._start_tls(self._tls), name="TLS handshake")

    async def _start_tls(self, tls: ssl.SSLContext) -> None:
        try:
            top = await self._loop.start_tls(
                self._transport,
                self,
                tls,
                server_side=True,
                ssl_handshake_timeout=self._connections.limits.handshake * 2,  # the limit here is the one that counts
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )
        except OSError:  # of which ssl.SSLError is one: not TLS, no valid certificate of the client, a client that left
            top = None
        if top is None or self._is_lost:
            self._transport.abort()
            self.connection_lost(None)  # asyncio does not report it of a connection whose handshake failed
        else:
            self._serve(top)

    def _serve(self, top: asyncio.Transport) -> None:
        self._top, self._is_serving = top, True
        self._limit("head")
        self._server.connection_made(_WatchedTransport(top, self))
        for data in self._early:
            self.data_received(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on; look for the end of a head."""
        if not self._is_serving:
            self._early.append(data)
            return
        if self._is_in_head:
            self._read_head(data)
        self._server.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass the end of the client's bytes on."""
        return self._server.eof_received() if self._is_serving else None

    def pause_writing(self) -> None:
        """Pass on that the client does not keep up."""
        self._server.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that it does again."""
        self._server.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._is_lost = True
        self._stop_clock()
        self._connections.remove(self)
        if self._is_serving:
            self._is_serving = False
            self._server.connection_lost(exc)

    # --- limits

    def abort(self) -> None:
        """Close at once; during a handshake too."""
        self._stop_clock()
        self._is_lost = True
        if self._handshake is not None:
            self._handshake.cancel()
        self._transport.abort()

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

    def wrote(self) -> None:
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
        if not self._is_lost:
            seconds: float = getattr(self._connections.limits, step)
            self._deadline = self._loop.call_later(seconds, self._expire, step)

    def _expire(self, step: Step) -> None:
        if step == "response" and not self._unsent():
            return  # it was taken; how long the connection may be idle then is the server's decision
        self._connections.end(self, step)

    def _unsent(self) -> int:
        """Bytes; TLS has a buffer of its own in front of the socket's."""
        unsent = self._transport.get_write_buffer_size()
        return unsent if self._tls is None else unsent + self._top.get_write_buffer_size()

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


class _WatchedTransport(asyncio.Transport):
    """The transport that the server sees: another, and its writes are noted."""

    def __init__(self, transport: asyncio.Transport, connection: LimitedConnection) -> None:
        super().__init__()
        self._transport, self._connection = transport, connection

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._connection if name == _NAME else self._transport.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(data)
        self._connection.wrote()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self._transport.writelines(list_of_data)
        self._connection.wrote()

    def write_eof(self) -> None:
        self._transport.write_eof()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)
