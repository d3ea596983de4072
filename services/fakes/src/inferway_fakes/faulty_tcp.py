"""A TCP proxy for tests that injects network faults: refuse, hang, delay, cut, reset, stop reading.

    with FaultyTcp(upstream.port) as tcp:
        ...                                                # forwards to 127.0.0.1:upstream.port
        tcp.change(accepting=Accepting.REFUSE)             # from now on, until changed again
        tcp.change(to_client=Flow(cut_after=100, cut=Ending.RST))

It runs in a separate thread. All faults may be changed at any time and apply when `change` has returned. A change of
`accepting` does not affect open connections (`cut_all` ends them). A change of a flow affects them from the next piece.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from types import TracebackType

from inferway_fakes.loop_thread import LoopThread
from inferway_fakes.tcp_connection import Connection
from inferway_fakes.tcp_faults import Accepting, Ending, Flow
from inferway_fakes.tcp_listener import Listener

__all__ = ["Accepting", "Ending", "FaultyTcp", "Flow"]


@dataclass
class FaultyTcp:
    """Forwards to a local port, with faults."""

    target: int
    """Port on 127.0.0.1."""
    receive_buffer: int = 0
    """SO_RCVBUF of the clients' side in bytes, for early back-pressure; 0 = the system's."""
    accepting: Accepting = Accepting.FORWARD
    to_target: Flow = field(default_factory=Flow)
    to_client: Flow = field(default_factory=Flow)
    race: Ending | None = None
    """Close at the first byte of the next request on a connection that has given an answer (the keep-alive race)."""
    port: int = 0
    connections: int = 0
    """Accepted so far."""
    bytes_to_target: int = 0
    bytes_to_client: int = 0
    _open: set[Connection] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _failures: list[BaseException] = field(default_factory=list)

    @property
    def open_connections(self) -> int:
        """Return the number of open connections."""
        return len(self._open)

    def __enter__(self) -> FaultyTcp:
        self._thread = LoopThread("faulty-tcp")
        self._thread.start()
        self._thread.run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.run(self._stop())
        self._thread.stop()
        if self._failures:
            raise self._failures[0]

    def change(
        self,
        *,
        accepting: Accepting | None = None,
        to_target: Flow | None = None,
        to_client: Flow | None = None,
    ) -> None:
        """Change the given faults, keep the others."""
        self._thread.run(self._change(accepting, to_target, to_client))

    def arm_race(self, ending: Ending | None) -> None:
        """Close kept connections at the first byte of their next request; None = stop doing so."""
        self._thread.call(lambda: setattr(self, "race", ending))

    def heal(self) -> None:
        """Remove all faults."""
        self.arm_race(None)
        self.change(accepting=Accepting.FORWARD, to_target=Flow(), to_client=Flow())

    def cut_all(self, ending: Ending = Ending.RST) -> int:
        """End every open connection; returns their number."""
        return self._thread.call(lambda: sum(connection.end(ending) for connection in list(self._open)))

    def freeze_open(self) -> int:
        """Let open connections carry nothing more; new ones work. Returns the number of frozen ones.

        A peer sees this if a device on the path has forgotten its connection. Frozen connections never recover.
        """
        return self._thread.call(self._freeze)

    def _freeze(self) -> int:
        for connection in self._open:
            connection.freeze()
        return len(self._open)

    async def _start(self) -> None:
        self._changed = asyncio.Event()
        self._listener = Listener(self._accepted, self.receive_buffer)
        self.port = self._listener.port
        await self._listen()

    async def _stop(self) -> None:
        self._listener.close()
        for connection in list(self._open):
            connection.end(Ending.RST)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _change(self, accepting: Accepting | None, to_target: Flow | None, to_client: Flow | None) -> None:
        if accepting is not None and accepting is not self.accepting:
            self.accepting = accepting
            await self._listen()
        self.to_target = to_target or self.to_target
        self.to_client = to_client or self.to_client
        # A flow that waits for a change holds this event; the next one to wait gets a new event.
        self._changed.set()
        self._changed = asyncio.Event()

    async def _listen(self) -> None:
        if self.accepting is Accepting.REFUSE:
            self._listener.shut()
        elif self.accepting is Accepting.DROP:
            await self._listener.hang()
        else:
            self._listener.open()

    def changed(self) -> asyncio.Event:
        """Return an event that is set at the next change."""
        return self._changed

    def _accepted(self, accepted: socket.socket) -> None:
        self.connections += 1
        connection = Connection(self, accepted)
        self._open.add(connection)
        task = asyncio.get_running_loop().create_task(connection.serve(self.accepting is Accepting.SILENT))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, connection))

    def _ended(self, task: asyncio.Task[None], connection: Connection) -> None:
        self._tasks.discard(task)
        self._open.discard(connection)
        # A task that is cancelled before its first step never closes anything.
        connection.end(Ending.RST)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)
