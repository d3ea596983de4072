"""Room for upstream connections: each takes a descriptor, and there are only so many.

When all seats are taken, an idle connection gives up its own, or else a client that does not take its answer; whoever
asked waits in a line until a seat is free, or until a connection to the same endpoint has nothing more to do.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from inferway_dataplane.engine.upstream.connection import UpstreamConnection
    from inferway_dataplane.engine.upstream.pool import EndpointPool


_AT_ONE_LOOK: Final = 16


class Permit:
    """The right to have one connection. Given back once, however often it is said."""

    __slots__ = ("_room",)

    def __init__(self, room: "ConnectionLimiter") -> None:
        self._room: ConnectionLimiter | None = room

    def leave(self) -> None:
        """The connection is gone, or was never made."""
        room, self._room = self._room, None
        if room is not None:
            room.on_leave()


class ConnectionLimiter:
    """All seats of the process."""

    def __init__(self, seats: int, make_way: Callable[[], None]) -> None:
        """`make_way` ends some connection that can be spared, if there is one; its seat comes back by itself."""
        self.seats = seats
        self.taken = 0
        self.waiting: deque[tuple[EndpointPool, asyncio.Future[Permit | UpstreamConnection]]] = deque()
        self._make_way = make_way

    async def enter(self, endpoint: "EndpointPool") -> "Permit | UpstreamConnection":
        """A seat for a new connection to `endpoint`, or a connection to it that has just become idle."""
        if self.taken < self.seats:
            self.taken += 1
            return Permit(self)
        self._make_way()
        got: asyncio.Future[Permit | UpstreamConnection] = asyncio.get_running_loop().create_future()
        place = (endpoint, got)
        self.waiting.append(place)
        try:
            return await got
        except asyncio.CancelledError:
            if place in self.waiting:
                self.waiting.remove(place)
            # It may have been given something in the very turn in which it stopped waiting.
            if got.done() and not got.cancelled():
                given = got.result()
                if isinstance(given, Permit):
                    given.leave()
                else:
                    given.transport.close()
            raise

    def look_again(self) -> None:
        """Called by the wheel: who could not be spared when somebody came may be by now."""
        for _ in range(min(len(self.waiting), _AT_ONE_LOOK)):
            self._make_way()

    def on_leave(self) -> None:
        """A seat is free: the next in the line has it."""
        while self.waiting:
            _, got = self.waiting.popleft()
            if not got.done():
                got.set_result(Permit(self))
                return
        self.taken -= 1

    def hand_over(self, connection: "UpstreamConnection") -> bool:
        """An idle connection goes to the first in the line, if it is for the same endpoint. Else False."""
        while self.waiting:
            endpoint, got = self.waiting[0]
            if got.done():
                self.waiting.popleft()
            elif endpoint is connection.endpoint:
                self.waiting.popleft()
                got.set_result(connection)
                return True
            else:
                return False
        return False
