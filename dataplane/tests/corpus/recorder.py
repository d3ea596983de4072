"""The upstream behind the proxy under test: it records each request, and replies as the case defines.

Requests are distinguished by the client's address, which the proxy must give as the last member of X-Forwarded-For: the
runner sends each case from a loopback address of its own. `is_serial` is for proxies that do not: one case at a time.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from corpus import reading
from corpus.reading import ForwardedRequest


@dataclass
class Reply:
    """What is answered to a request: pieces that are written one by one, and whether the connection closes after."""

    pieces: Iterable[bytes]
    closes: bool = False


@dataclass
class Link:
    """One connection from the proxy."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """The proxy closed it."""


def ok(request: ForwardedRequest) -> Reply:
    """200 with the body `ok`."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    return Reply([head if request.method == "HEAD" else head + b"ok"])


class Recorder:
    """A recording upstream in the running loop."""

    def __init__(self, script: Callable[[ForwardedRequest], Reply] = ok, *, is_serial: bool = False) -> None:
        self.script = script
        self.is_serial = is_serial
        self.requests: dict[str, list[ForwardedRequest]] = defaultdict(list)
        self.links: dict[str, list[Link]] = defaultdict(list)
        self.current = ""  # the case that runs, where they run one at a time
        self.strays: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._accept, host, port, backlog=1024, limit=1 << 21)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        link = Link()
        try:
            while (request := await self._next(reader, link)) is not None:
                reply = self.script(request)
                for piece in reply.pieces:
                    if writer.transport.is_closing():
                        raise ConnectionResetError  # uvloop does not raise it
                    writer.write(piece)
                    await asyncio.sleep(0)
                await writer.drain()
                if reply.closes:
                    return
        except ConnectionError:
            link.ended.set()
        except asyncio.CancelledError:
            return  # `stop`; asyncio 3.11 complains of a connection whose task ends cancelled
        finally:
            writer.close()

    async def _next(self, reader: asyncio.StreamReader, link: Link) -> ForwardedRequest | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as end:
            link.ended.set()
            if end.partial:
                self.strays.append(end.partial)
            return None
        request = reading.request_head(head[:-4])
        if request is None:
            self.requests[self.current].append(ForwardedRequest("", body=head))
            self.strays.append(head)
            return None
        forwarded = request.all("x-forwarded-for")
        client = self.current if self.is_serial or not forwarded else forwarded[-1].rpartition(",")[2].strip()
        self.requests[client].append(request)
        self.links[client].append(link)
        try:
            await _read_body(reader, request)
        except (asyncio.IncompleteReadError, ValueError):
            link.ended.set()
            return None  # it stays on record as a request that never was complete
        request.is_whole = True
        return request


async def _read_body(reader: asyncio.StreamReader, request: ForwardedRequest) -> None:
    if not request.all("transfer-encoding"):
        request.body = await reader.readexactly(int((request.all("content-length") or ["0"])[0]))
        return
    while size := int((await reader.readuntil(b"\r\n"))[:-2], 16):
        request.body += (await reader.readexactly(size + 2))[:-2]
    if await reader.readexactly(2) != b"\r\n":
        raise ValueError("a trailer was forwarded")
