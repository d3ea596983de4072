"""A scripted upstream: a server on a loopback port, in this loop or in a separate thread."""

from __future__ import annotations

import asyncio
from types import TracebackType

from inferway_fakes.loop_thread import LoopThread
from inferway_fakes.scripted import control, directives, heads, modes
from inferway_fakes.scripted.connection import Connection
from inferway_fakes.scripted.responder import Seen
from inferway_fakes.scripted.stats import Stats

BACKLOG = 1024
MAX_CONNECTIONS = 10_000


class Server:
    """The state shared by all connections."""

    def __init__(self, name: str = "scripted") -> None:
        self.name = name
        self.mode = modes.Mode()
        self.stats = Stats()
        self.connections: set[Connection] = set()
        self.failures: list[BaseException] = []
        """Exceptions of this program itself; `stop` raises the first."""
        self._all_lost = asyncio.Event()
        self._share = modes.EvenShare()
        self._plain = b""

    async def start(self, port: int = 0) -> int:
        """Listen on 127.0.0.1; returns the port."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=BACKLOG)
        body = b"ok"
        fields = [("x-fake-process", self.name), ("content-type", "text/plain"), ("content-length", str(len(body)))]
        self._plain = heads.head(200, fields) + body
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything at once. Raises the first exception of this program, if there was one."""
        self._listener.close()
        for connection in list(self.connections):
            connection.close(reset=True)
        if self.connections:
            self._all_lost.clear()
            await self._all_lost.wait()
        if self.failures:
            raise self.failures[0]

    def answer_at_once(self, seen: Seen) -> bytes | None:
        """Return the answer if it needs no task: control, health, and plain requests without a fault."""
        if seen.target.startswith(control.PREFIX):
            return control.answer(self, seen.method, seen.target, bytes(seen.kept))
        if seen.target == modes.HEALTH_PATH:
            if self.mode.health_hang:
                return None
            self.stats.health_requests += 1
            return heads.head(self.mode.health_status, [("content-length", "0")])
        if self.mode != _NO_FAULT or not seen.keeps_alive or seen.method == b"HEAD":
            return None
        if any(name[:7].lower() == directives.PREFIX for name, _ in seen.headers):
            return None
        self.stats.ended()
        return self._plain

    def order(self, seen: Seen) -> directives.Order:
        """Return the request's order, changed by the mode. Raises `UnreadableOrderError`."""
        mode = self.mode
        if seen.target == modes.HEALTH_PATH:
            self.stats.health_requests += 1
            return directives.DEFAULT.model_copy(update={"hang": directives.Where.BEFORE_ANSWER})
        order = directives.read(seen.headers)
        if mode.hang:
            return order.model_copy(update={"hang": directives.Where.BEFORE_ANSWER})
        if self._share.takes(mode.fail_share):
            self.stats.failed += 1
            failure = {"status": mode.fail_status, "delay": order.delay + mode.latency}
            return directives.DEFAULT.model_copy(update=failure)
        if mode.latency:
            return order.model_copy(update={"delay": order.delay + mode.latency})
        return order

    def opened(self, connection: Connection) -> None:
        """Count a new connection; above the bound, reset it at once."""
        self.connections.add(connection)
        self.stats.opened()
        if len(self.connections) > MAX_CONNECTIONS:
            self.stats.refused += 1
            connection.close(reset=True)

    def lost(self, connection: Connection) -> None:
        """Forget an ended connection."""
        self.connections.discard(connection)
        self.stats.open_connections -= 1
        if not self.connections:
            self._all_lost.set()


_NO_FAULT = modes.Mode()


class ScriptedUpstream:
    """A `Server` in a thread, as a context manager. `mode` may be set at any time; `stats` is live."""

    def __init__(self, name: str = "scripted") -> None:
        self.server = Server(name)
        self.port = 0

    @property
    def stats(self) -> Stats:
        """Return the counts so far."""
        return self.server.stats

    @property
    def mode(self) -> modes.Mode:
        """Return the faults for subsequent requests."""
        return self.server.mode

    @mode.setter
    def mode(self, mode: modes.Mode) -> None:
        self._thread.call(lambda: setattr(self.server, "mode", mode))

    def __enter__(self) -> ScriptedUpstream:
        self._thread = LoopThread(self.server.name)
        self._thread.start()
        self.port = self._thread.run(self.server.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._thread.run(self.server.stop())
        finally:
            self._thread.stop()
