"""A scriptable upstream on a socket: it records every request byte for byte and answers by a function of the test."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int
    """Number of its connection, counted from 1."""

    def header(self, name: str) -> str | None:
        """Return the field's value, repeated fields joined; None = absent."""
        values = [value for field_name, value in self.headers if field_name.lower() == name.lower()]
        return ", ".join(values) if values else None


class Close:
    """In an answer: close the connection here."""


class Drop:
    """In an answer: end the connection below TLS, without the closing alert."""


class Pause:
    """In an answer: wait this number of seconds before the rest."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


Answer = Iterable[bytes | Close | Drop | Pause]


def answer(
    body: bytes = b"ok", status: str = "200 OK", headers: dict[str, str] | None = None, *, chunked: bool = False
) -> Answer:
    """Return a well-formed answer."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    if chunked:
        lines.append("transfer-encoding: chunked")
        pieces = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    else:
        lines.append(f"content-length: {len(body)}")
        pieces = body
    return ["\r\n".join(lines).encode() + b"\r\n\r\n" + pieces]


@dataclass
class Upstream:
    """An upstream in a separate thread. `script` may be changed at any time."""

    script: Callable[[Seen], Answer] = field(default=lambda seen: answer())
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    port: int = 0
    tls: ssl.SSLContext | None = None
    """Of a server; None = plain text."""

    def __enter__(self) -> Upstream:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise TimeoutError("the upstream did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self, ready: threading.Event) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: weakref.WeakSet[asyncio.StreamWriter] = weakref.WeakSet()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        # asyncio loses a connection that it has accepted when the server is closed before its task runs.
        self._loop.remove_reader(server.sockets[0].fileno())
        await _turns()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Bytes that the peer never reads would keep its transport open forever.
        for writer in self._writers:
            writer.transport.abort()
        await _turns()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.connections += 1
        self.open_connections += 1
        number = self.connections
        try:
            async for seen in _requests(reader, number):
                self.seen.append(seen)
                for piece in self.script(seen):
                    if isinstance(piece, Close):
                        return
                    if isinstance(piece, Drop):
                        writer.transport.abort()
                        return
                    if isinstance(piece, Pause):
                        await asyncio.sleep(piece.seconds)
                    else:
                        writer.write(piece)
                        await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self.open_connections -= 1
            writer.close()


async def _turns() -> None:
    """Let the loop run its pending callbacks."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _requests(reader: asyncio.StreamReader, number: int) -> AsyncIterator[Seen]:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        line, *fields = head[:-4].decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        headers = [(name, value.strip()) for name, _, value in (text.partition(":") for text in fields)]
        seen = Seen(method, target, headers, b"", number)
        if (seen.header("transfer-encoding") or "").lower() == "chunked":
            while size := int(await reader.readline(), 16):
                seen.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        elif length := int(seen.header("content-length") or 0):
            seen.body = await reader.readexactly(length)
        yield seen
