"""The addresses of one upstream's name, looked up again while connections stay open."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from inferway_dataplane.engine.clock import Clock

INTERVAL: Final = 15.0
"""Seconds between two look-ups of a name; so a move is followed within twice that."""

_PATIENCE: Final = 1.0
"""Seconds that a request waits for a look-up where older addresses are known."""


class ResolvedName:
    """One name. Look-ups that fail, or take long, leave the last addresses as they are."""

    __slots__ = ("_clock", "_host", "_lookup", "_on_change", "_port", "addresses", "begun_at")

    def __init__(self, host: str, port: int, clock: Clock, on_change: Callable[[], None]) -> None:
        """`on_change`: called after a look-up that brought other addresses than the one before it."""
        self._host = host
        self._port = port
        self._clock = clock
        self._on_change = on_change
        self._lookup: asyncio.Future[list[str]] | None = None
        self.begun_at = 0.0  # of the last look-up, monotonic seconds
        self.addresses: list[str] = []  # in the resolver's order; empty = never resolved

    def is_due(self, now: float) -> bool:
        """Whether the name is to be looked up again."""
        return not self.is_looking_up and now - self.begun_at >= INTERVAL

    @property
    def is_looking_up(self) -> bool:
        return self._lookup is not None and not self._lookup.done()

    def refresh(self) -> "asyncio.Future[list[str]]":
        """Look the name up, once for all that ask meanwhile: the loop has few threads for look-ups."""
        lookup = self._lookup
        if lookup is None or lookup.done():
            self.begun_at = self._clock.now()
            lookup = self._lookup = asyncio.ensure_future(self._look_up())
            lookup.add_done_callback(self._on_done)
        return lookup

    async def current(self) -> list[str]:
        """The addresses as of a recent look-up, else the last known ones. Raises `OSError` if there are none."""
        now = self._clock.now()
        if not self.addresses:
            return await asyncio.shield(self.refresh())
        if not (self.is_looking_up or self.is_due(now)):
            return self.addresses
        lookup = self.refresh()
        try:
            async with asyncio.timeout(max(self.begun_at + _PATIENCE - now, 0.0)):
                await asyncio.shield(lookup)
        except OSError:  # a TimeoutError is one
            pass
        return self.addresses

    async def _look_up(self) -> list[str]:
        infos = await asyncio.get_running_loop().getaddrinfo(self._host, self._port, proto=socket.IPPROTO_TCP)
        return list(dict.fromkeys(str(info[4][0]) for info in infos))

    def _on_done(self, lookup: "asyncio.Future[list[str]]") -> None:
        # Retrieves an exception too: all that wait may have left, and asyncio would log it.
        if lookup.cancelled() or lookup.exception() is not None:
            return
        older, self.addresses = self.addresses, lookup.result()
        if set(older) != set(self.addresses):
            self._on_change()
