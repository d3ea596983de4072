"""A client of the harnesses: one connection, one request at a time, and an exact record of each outcome.

httptools parses, so a client costs little compared to the gateway. A request is *unanswered* if it was sent on an
accepted connection and its answer was not complete. A connection that was not accepted is a separate case
(`NotAcceptedError`): no request was lost.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic
from typing import cast

import httptools


class Lost(StrEnum):
    """Why there is no complete answer."""

    NOTHING = "closed without a byte of the answer"
    CUT = "closed in the middle of the answer"
    RESET = "reset"
    LATE = "not in time"
    GARBAGE = "not HTTP"


class NotAcceptedError(Exception):
    """No connection: refused, reset or not in time."""


class UnansweredError(Exception):
    """No complete answer."""

    def __init__(self, lost: Lost) -> None:
        super().__init__(str(lost))
        self.lost = lost


@dataclass(slots=True)
class Answer:
    """An answer. Seconds count from the sending of the request."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    """Names in lower case; of repeated fields the last."""
    size: int = 0
    body: bytearray = field(default_factory=bytearray)
    """Kept only if `on_body` is not given."""
    head_seconds: float = 0.0
    seconds: float = 0.0
    keeps_alive: bool = False


class Client(asyncio.Protocol):
    """One connection, created by `connect`."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._on_body: Callable[[bytes], None] | None = None
        self._has_bytes = False
        self._pause = 0.0
        self.is_open = True

    @classmethod
    async def connect(cls, port: int, within: float = 5.0, receive_buffer: int = 0) -> Client:
        """Connect to 127.0.0.1. Raises `NotAcceptedError`."""
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            async with asyncio.timeout(within):
                await loop.sock_connect(sock, ("127.0.0.1", port))
                _, client = await loop.create_connection(cls, sock=sock)
        except (OSError, TimeoutError) as error:
            sock.close()
            raise NotAcceptedError(type(error).__name__) from None
        return client

    async def ask(self, request: bytes, within: float, on_body: Callable[[bytes], None] | None = None) -> Answer:
        """Send a whole request and wait for the whole final answer. Raises `UnansweredError`."""
        if not self.is_open:
            raise UnansweredError(Lost.NOTHING)
        self._parser = httptools.HttpResponseParser(self)
        self._answer, self._has_bytes, self._on_body = Answer(), False, on_body
        self._waiting = asyncio.get_running_loop().create_future()
        self._began = monotonic()
        self._transport.write(request)
        try:
            async with asyncio.timeout(within):
                return await self._waiting
        except TimeoutError:
            self.leave()
            raise UnansweredError(Lost.LATE) from None
        finally:
            self._waiting = None

    def read_slowly(self, pause: float) -> None:
        """Stop reading for `pause` seconds after each piece, from now on."""
        self._pause = pause

    def leave(self) -> None:
        """Close at once."""
        self.is_open = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:
            self.leave()  # bytes without a request
            return
        self._has_bytes = True
        if self._pause and not self._transport.is_closing():
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(self._pause, self._read_on)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail(Lost.GARBAGE)
            self.leave()

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> None:
        self._fail(Lost.CUT if self._has_bytes else Lost.NOTHING)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._fail(Lost.RESET if exc is not None else Lost.CUT if self._has_bytes else Lost.NOTHING)

    def _fail(self, lost: Lost) -> None:
        self.is_open = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(UnansweredError(lost))

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._answer.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._answer.status = self._parser.get_status_code()
        self._answer.head_seconds = monotonic() - self._began

    def on_body(self, body: bytes) -> None:
        self._answer.size += len(body)
        if self._on_body is not None:
            self._on_body(body)
        else:
            self._answer.body += body

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer.status < 200:
            self._answer = Answer()
            return
        answer.seconds = monotonic() - self._began
        answer.keeps_alive = bool(self._parser.should_keep_alive())
        self.is_open = self.is_open and answer.keeps_alive
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(answer)


def request(target: str, method: str = "GET", body: bytes = b"", *, close: bool = False, **headers: object) -> bytes:
    """Return the bytes of a request; `x_fake_sse=3` is the header `x-fake-sse: 3`."""
    lines = [f"{method} {target} HTTP/1.1", "host: bench.example"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if close:
        lines.append("connection: close")
    if body or method in ("POST", "PUT"):
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


async def once(port: int, data: bytes, within: float = 5.0) -> Answer:
    """Send one request on a new connection, then close it. Raises `NotAcceptedError`, `UnansweredError`."""
    client = await Client.connect(port, within)
    try:
        return await client.ask(data, within)
    finally:
        client.leave()
