"""One connection through `FaultyTcp`: two flows, each a task that moves pieces and applies the faults."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

from inferway_fakes.tcp_faults import Ending, Flow

if TYPE_CHECKING:
    from inferway_fakes.faulty_tcp import FaultyTcp

PIECE = 16 << 10
"""Bytes moved at once, and the buffer of a reader. A stopped flow may still read about three times as much, in addition
to the kernel's buffers."""
_LINGER_NOT = struct.pack("ii", 1, 0)

_Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connection:
    """A connection from accept to end, on the proxy's loop."""

    def __init__(self, proxy: FaultyTcp, accepted: socket.socket) -> None:
        self._proxy = proxy
        self._accepted = accepted
        self._writers: list[asyncio.StreamWriter] = []
        self._ended = False
        self._pumps: list[asyncio.Task[None]] = []
        self._has_answered = False
        self._is_frozen = False

    def freeze(self) -> None:
        """Carry nothing more in either direction, and stay open."""
        self._is_frozen = True

    async def serve(self, silent: bool) -> None:
        """Carry both flows until one ends the connection, or both have ended."""
        try:
            client = await self._streams(sock=self._accepted)
            if silent:
                await self._swallow(client[0])
                return
            target = await self._streams(host="127.0.0.1", port=self._proxy.target)
            self._pumps = [
                asyncio.ensure_future(self._carry(client[0], target[1], "to_target")),
                asyncio.ensure_future(self._carry(target[0], client[1], "to_client")),
            ]
            await asyncio.gather(*self._pumps)
            self.end(Ending.FIN)
        except (OSError, asyncio.IncompleteReadError):
            # One side is gone (reset), or the target refuses: the other side must see the same.
            self.end(Ending.RST)
        except asyncio.CancelledError:
            # `end` cancels the pumps; only that is the end of the connection and not of the proxy.
            if not self._ended:
                raise
        finally:
            for pump in self._pumps:
                pump.cancel()

    def end(self, ending: Ending) -> bool:
        """Close both sides in this way; false if they were already closed."""
        if self._ended:
            return False
        self._ended = True
        if not self._writers:
            self._accepted.close()
        for writer in self._writers:
            if ending is Ending.RST:
                sock = writer.get_extra_info("socket")
                with contextlib.suppress(OSError):  # the peer may have closed it
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
                writer.transport.abort()
            else:
                writer.close()
        for pump in self._pumps:
            pump.cancel()
        return True

    async def _streams(self, sock: socket.socket | None = None, host: str | None = None, port: int = 0) -> _Pair:
        if sock is not None:
            pair = await asyncio.open_connection(sock=sock, limit=PIECE)
        else:
            pair = await asyncio.open_connection(host, port, limit=PIECE)
        if self._ended:
            pair[1].transport.abort()
            raise ConnectionResetError("ended while it was connecting")
        self._writers.append(pair[1])
        pair[1].transport.set_write_buffer_limits(high=PIECE)
        return pair

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        while await reader.read(PIECE):
            pass
        self.end(Ending.FIN)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: str) -> None:
        carried = 0
        while True:
            flow = await self._moving(direction)
            if flow.cut_after is not None and carried >= flow.cut_after:
                self.end(flow.cut)
                return
            piece = await source.read(flow.piece_size(PIECE))
            flow = await self._moving(direction)
            if not piece:
                sink.write_eof()
                return
            if self._loses_race(direction):
                return
            size, is_last = flow.allowed(carried, len(piece))
            await asyncio.sleep(flow.seconds_for(size))
            sink.write(piece[:size])
            await sink.drain()
            carried += size
            counter = f"bytes_{direction}"
            setattr(self._proxy, counter, getattr(self._proxy, counter) + size)
            if is_last:
                self.end(flow.cut)
                return

    async def _moving(self, direction: str) -> Flow:
        """Return the direction's flow as soon as it is not stopped."""
        while True:
            flow: Flow = getattr(self._proxy, direction)
            if not flow.is_stopped and not self._is_frozen:
                return flow
            await self._proxy.changed().wait()

    def _loses_race(self, direction: str) -> bool:
        if direction == "to_client":
            self._has_answered = True
            return False
        if self._proxy.race is None or not self._has_answered:
            self._has_answered = False
            return False
        self.end(self._proxy.race)
        return True
