"""One client connection of a scripted upstream. llhttp parses; requests are answered in order, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from inferway_fakes.scripted import control, directives, heads, modes, responder
from inferway_fakes.scripted.responder import CloseHereError, Seen

if TYPE_CHECKING:
    from inferway_fakes.scripted.server import Server

MAX_HEAD = 256 << 10
"""Bytes of one request head."""
MAX_REQUEST_BODY = 1 << 30
"""Bytes of one request body; it is counted, not kept."""
MAX_CONTROL_BODY = 64 << 10
_WAITING = 16
"""Pipelined requests read before the connection is no longer read."""
_LINGER_NOT = struct.pack("ii", 1, 0)


class TooMuchError(Exception):
    """The request is larger than this server takes."""


class Connection(asyncio.Protocol):
    """Collects requests by callbacks of the parser; `_next` answers the oldest one."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._requests: deque[Seen] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_lost = False
        self._is_last = False
        self._seen: Seen | None = None
        self._head_bytes = 0

    # ------------------------------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._writable.set()
        self._server.lost(self)
        if self._task is not None:
            self._task.cancel()
        for seen in self._requests:
            if self._is_counted(seen):
                self._server.stats.left()
        self._requests.clear()

    def data_received(self, data: bytes) -> None:
        if self._seen is None:
            self._head_bytes += len(data)
        try:
            if self._head_bytes > MAX_HEAD:
                raise TooMuchError
            self._parser.feed_data(data)
        except (httptools.HttpParserError, TooMuchError):
            # An exception in a callback of the parser arrives as the parser's error.
            self._refuse()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # ------------------------------------------------------------------------------------------ httptools

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        self._seen = Seen(
            self._parser.get_method(), self._target, self._headers, bool(self._parser.should_keep_alive())
        )
        # The client may wait for this response before it sends its body (RFC 9110, 10.1.1).
        if any(name.lower() == b"expect" and value.lower() == b"100-continue" for name, value in self._headers):
            self._transport.write(heads.head(100, []))

    def on_body(self, body: bytes) -> None:
        seen = self._seen
        if seen is None:
            return
        seen.body_length += len(body)
        seen.digest = seen.digest or hashlib.sha256()
        seen.digest.update(body)
        if seen.target.startswith(control.PREFIX):
            seen.kept += body
        if seen.body_length > MAX_REQUEST_BODY or len(seen.kept) > MAX_CONTROL_BODY:
            raise TooMuchError

    def on_message_complete(self) -> None:
        if self._seen is None:
            return
        seen, self._seen = self._seen, None
        if self._is_counted(seen):
            self._server.stats.began()
        self._requests.append(seen)
        if len(self._requests) > _WAITING:
            self._transport.pause_reading()
        if self._task is None:
            self._next()

    # ------------------------------------------------------------------------------------------ answering

    async def write(self, data: bytes) -> None:
        """Implement `Wire.write`."""
        if self._is_lost or self._transport.is_closing():
            raise ConnectionResetError("the client has left")
        self._transport.write(data)
        await self._writable.wait()

    def close(self, *, reset: bool) -> None:
        """Close after the written bytes, or at once by a reset."""
        if reset:
            sock: socket.socket | None = self._transport.get_extra_info("socket")
            if sock is not None:
                with contextlib.suppress(OSError):  # the peer may have closed it
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self._transport.abort()
        else:
            self._transport.close()

    def _next(self) -> None:
        """Answer waiting requests, as long as that needs no task."""
        while self._requests and not self._is_lost:
            seen = self._requests.popleft()
            if len(self._requests) == _WAITING:
                self._transport.resume_reading()
            if (at_once := self._server.answer_at_once(seen)) is not None:
                self._transport.write(at_once)
                if not seen.keeps_alive:
                    self._transport.close()
                    return
            else:
                task = self._task = asyncio.get_running_loop().create_task(self._answer(seen))
                task.add_done_callback(lambda done, seen=seen: self._answered(done, seen))  # type: ignore[misc]
                return

    async def _answer(self, seen: Seen) -> None:
        stats = self._server.stats
        try:
            order = self._server.order(seen)
            await responder.perform(order, seen, self, self._server.name)
            if not seen.keeps_alive:
                self._transport.close()
        except CloseHereError as end:
            stats.closed += 1
            self.close(reset=end.is_reset)
        except directives.UnreadableOrderError as error:
            stats.refused += 1
            body = f"{error}\n".encode()
            self._transport.write(heads.head(400, [("content-length", str(len(body)))]) + body)

    def _answered(self, task: asyncio.Task[None], seen: Seen) -> None:
        # Here and not in the task, because a task that is cancelled before its first step never runs.
        self._task = None
        has_left = task.cancelled() or isinstance(task.exception(), ConnectionError)
        if not has_left and (error := task.exception()) is not None:
            self._server.failures.append(error)
            self._transport.abort()
        if self._is_counted(seen):
            if has_left:
                self._server.stats.left()
            else:
                self._server.stats.ended()
        self._next()

    @staticmethod
    def _is_counted(seen: Seen) -> bool:
        return not seen.target.startswith(control.PREFIX) and seen.target != modes.HEALTH_PATH

    def _refuse(self) -> None:
        self._server.stats.refused += 1
        self._transport.write(heads.head(400, [("content-length", "0"), ("connection", "close")]))
        self._transport.close()
