"""The limit on upstream connections: each takes a descriptor, and descriptors are few.

At the limit an idle connection is closed, or else a client that does not read its response. The caller queues until a
permit is free, or until a connection to the same endpoint becomes idle.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

_AT_ONE_LOOK: Final = 16


class Closable(Protocol):
    """A connection, as far as the limit needs it."""

    def close(self) -> object: ...


_C = TypeVar("_C", bound=Closable)


class Permit:
    """The right to have one connection. It counts as given back once, however often `leave` is called."""

    __slots__ = ("_on_leave",)

    def __init__(self, on_leave: Callable[[], None]) -> None:
        self._on_leave: Callable[[], None] | None = on_leave

    def leave(self) -> None:
        """Give the permit back: the connection is gone, or was never made."""
        on_leave, self._on_leave = self._on_leave, None
        if on_leave is not None:
            on_leave()


class ConnectionLimiter(Generic[_C]):
    """All permits of the process, and the queue for them."""

    def __init__(self, permits: int, make_way: Callable[[], None]) -> None:
        """`make_way` closes a connection that can be spared, if there is one; its permit comes back by itself."""
        self.permits = permits
        self.taken = 0
        self.waiting: deque[tuple[object, asyncio.Future[Permit | _C]]] = deque()
        self._make_way = make_way

    async def enter(self, endpoint: object) -> Permit | _C:
        """A permit for a new connection to `endpoint`, or a connection to it that has just become idle."""
        if self.taken < self.permits:
            self.taken += 1
            return Permit(self._on_leave)
        self._make_way()
        grant: asyncio.Future[Permit | _C] = asyncio.get_running_loop().create_future()
        place = (endpoint, grant)
        self.waiting.append(place)
        try:
            return await grant
        except asyncio.CancelledError:
            if place in self.waiting:
                self.waiting.remove(place)
            # It may have been granted in the very turn of the loop in which the wait was cancelled.
            if grant.done() and not grant.cancelled():
                granted = grant.result()
                if isinstance(granted, Permit):
                    granted.leave()
                else:
                    granted.close()
            raise

    def look_again(self) -> None:
        """Try again to make way; called with each turn of the wheel."""
        for _ in range(min(len(self.waiting), _AT_ONE_LOOK)):
            self._make_way()

    def _on_leave(self) -> None:
        """A permit is free: the first in the queue gets it."""
        while self.waiting:
            _, grant = self.waiting.popleft()
            if not grant.done():
                grant.set_result(Permit(self._on_leave))
                return
        self.taken -= 1

    def hand_over(self, endpoint: object, connection: _C) -> bool:
        """Give an idle connection to the first in the queue, if it waits for the same endpoint; whether it did."""
        while self.waiting:
            wanted, grant = self.waiting[0]
            if grant.done():
                self.waiting.popleft()
            elif wanted is endpoint:
                self.waiting.popleft()
                grant.set_result(connection)
                return True
            else:
                return False
        return False
