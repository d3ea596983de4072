"""Bounds on the connections of one port: idle and slow clients never keep others out.

A connection is either *busy*, with a request that the server has to answer, or it waits for its client. When the port is
full, a new connection takes the place of the one that has waited longest. A busy connection keeps its place.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

Step = Literal["handshake", "head", "request", "response"]
"""Of a connection's life, each with a time limit."""
Reason = Literal["evicted", "full", "handshake", "head", "request", "response"]
"""Why the server closed a connection: `evicted` = it waited longest at a full port, `full` = all others were busy, or the
step that took too long."""

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class Limits:
    """Connections of one port at once, and seconds for each step of one connection."""

    connections: int = 256
    handshake: float = 5.0
    """For TLS, from accept."""
    head: float = 5.0
    """For a request's head, from its first byte; of the first request from accept, or from the end of the handshake."""
    request: float = 10.0
    """From the end of the head to the beginning of the response, body included."""
    response: float = 5.0
    """For the client to take the response."""


class Abortable(Protocol):
    """A connection, as the limits need it."""

    def abort(self) -> None:
        """Close at once, without sending the rest."""


class Connections:
    """The open connections of one port. `closed` counts those that a limit ended."""

    def __init__(self, limits: Limits, closed: Callable[[Reason], None]) -> None:
        self.limits = limits
        self._closed = closed
        self._is_empty = asyncio.Event()
        self._waiting: dict[Abortable, None] = {}  # the longest wait first
        self._busy: set[Abortable] = set()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._busy)

    def admit(self, connection: Abortable) -> bool:
        """Add a new connection, if need be in place of the one that has waited longest; False if all are busy."""
        if len(self) >= self.limits.connections:
            if not self._waiting:
                self._closed("full")
                return False
            self.end(next(iter(self._waiting)), "evicted")
        self._waiting[connection] = None
        return True

    def occupy(self, connection: Abortable) -> None:
        """Mark a connection busy. One that was removed stays removed."""
        if connection in self._waiting:
            del self._waiting[connection]
            self._busy.add(connection)

    def vacate(self, connection: Abortable) -> None:
        """Let a connection wait for its client, the shortest wait of all."""
        if connection in self._waiting:
            del self._waiting[connection]
        elif connection in self._busy:
            self._busy.remove(connection)
        else:
            return
        self._waiting[connection] = None

    def end(self, connection: Abortable, reason: Reason) -> None:
        """Close a connection because of a limit, and count it."""
        self.remove(connection)
        self._closed(reason)
        connection.abort()

    def remove(self, connection: Abortable) -> None:
        """Give a place back; twice is harmless."""
        self._waiting.pop(connection, None)
        self._busy.discard(connection)
        if not len(self):
            self._is_empty.set()

    async def wait_closed(self, seconds: float) -> None:
        """Wait for the end of all connections, and abort those that are left."""
        self._is_empty.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(self):
                    await self._is_empty.wait()
        for connection in (*self._waiting, *self._busy):
            self.remove(connection)
            connection.abort()
