"""Sends the bytes of a case on a connection of its own, and keeps what comes back."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from typing import Final

from corpus import reading
from corpus.cases import RequestCase
from corpus.judging import Observed, heads

PATIENCE: Final = 3.0
"""Seconds in which what must happen has to happen."""
_SINGLE_BYTES: Final = 4096
_PIECE: Final = 997


def pieces(data: bytes, *, is_bytewise: bool) -> Iterator[bytes]:
    """All at once, or one byte at a time (after the first 4 KiB in pieces of an odd size, to stay quick)."""
    if not is_bytewise:
        yield data
        return
    for at in range(min(len(data), _SINGLE_BYTES)):
        yield data[at : at + 1]
    for at in range(_SINGLE_BYTES, len(data), _PIECE):
        yield data[at : at + _PIECE]


class Connection(asyncio.Protocol):
    """Keep the received bytes, and wake the task that waits for them."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.is_closed = False
        self._changed = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._changed.set()

    def eof_received(self) -> bool:
        self.is_closed = True
        self._changed.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._changed.set()

    async def send(self, data: bytes, *, is_bytewise: bool) -> None:
        """Send, each piece by itself, until the peer does not want more."""
        for piece in pieces(data, is_bytewise=is_bytewise):
            if self.is_closed:
                return
            self.transport.write(piece)
            await asyncio.sleep(0)

    def half_close(self) -> None:
        """Close the sending direction."""
        if not self.is_closed and self.transport.can_write_eof():
            self.transport.write_eof()

    async def until(self, has_enough: Sequence[bool], count: int) -> None:
        """Wait until the peer closes, or `count` whole final answers are there (negative: only for the close)."""
        end = asyncio.get_running_loop().time() + PATIENCE
        while not self.is_closed and (count < 0 or self._finals(has_enough) < count):
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                return
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                return

    def _finals(self, to_head: Sequence[bool]) -> int:
        answers = reading.answers(bytes(self.received), to_head, is_closed=self.is_closed)
        return sum(answer.status >= 200 and answer.is_whole for answer in answers)


async def send_case(address: tuple[str, int], source: str | None, case: RequestCase, *, is_bytewise: bool) -> Observed:
    """One case on a connection of its own, from the address `source`."""
    connection = await connect(address, source)
    try:
        await connection.send(case.sent, is_bytewise=is_bytewise)
        waits_for_close = case.verdict == "close" or (case.verdict == "refuse" and not case.keeps)
        if case.verdict != "cut":
            await connection.until(heads(case), -1 if waits_for_close else len(case.statuses))
        is_closed = connection.is_closed
        if not is_closed:
            # Surplus answers would still arrive.
            connection.half_close()
            await connection.until([], -1)
        is_closed = connection.is_closed if case.verdict == "cut" else is_closed
        answers = reading.answers(bytes(connection.received), heads(case), is_closed=connection.is_closed)
        return Observed(answers, is_closed)
    finally:
        connection.transport.abort()


async def connect(address: tuple[str, int], source: str | None) -> Connection:
    """A connection to the proxy."""
    loop = asyncio.get_running_loop()
    local = None if source is None else (source, 0)
    _, connection = await loop.create_connection(Connection, *address, local_addr=local)
    return connection
