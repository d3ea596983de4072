"""TLS to an upstream, so that an answer is read that came before writing failed.

The loop gives a connection up when a write to it fails, and with it the records that the socket has received. A server
that answers early and closes resets the connection: its answer is among them (RFC 9112 9.5).
"""

import asyncio
import os
import ssl
from typing import Any, Final

_READ: Final = 64 << 10
_MOST_READS: Final = 128  # of a lost connection: more than a socket's buffer holds


class _Records(asyncio.BufferedProtocol):
    """Receives the records of one connection for the loop's TLS protocol.

    All but the end goes to that protocol directly: these attributes are its own methods.
    """

    def __init__(self, transport: Any, tls: Any) -> None:
        self._transport = transport
        self._tls = tls
        for name in ("get_buffer", "buffer_updated", "eof_received", "pause_writing", "resume_writing"):
            setattr(self, name, getattr(tls, name))

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            if exc is not None:
                self._read_rest()
        finally:
            self._tls.connection_lost(exc)

    def _read_rest(self) -> None:
        descriptor = self._transport.get_extra_info("socket").fileno()
        for _ in range(_MOST_READS):
            buffer = self._tls.get_buffer(_READ)
            try:
                size = os.readv(descriptor, [buffer])
            except OSError:
                return  # nothing is left
            if not size:
                return
            self._tls.buffer_updated(size)


async def connect(protocol: asyncio.Protocol, address: str, port: int, context: ssl.SSLContext, host: str) -> None:
    """Connect and shake hands; the protocol's `connection_made` gets the transport. `host`: verified, and sent as SNI.

    Raises `OSError`, of which `ssl.SSLError` is one.
    """
    loop = asyncio.get_running_loop()
    plain, _ = await loop.create_connection(asyncio.Protocol, address, port)
    try:
        transport = await loop.start_tls(plain, protocol, context, server_hostname=host)
        if plain.is_closing() or transport is None:
            raise ConnectionResetError("closed after the handshake")
    except BaseException:
        plain.abort()
        raise
    plain.set_protocol(_Records(plain, plain.get_protocol()))
    protocol.connection_made(transport)
