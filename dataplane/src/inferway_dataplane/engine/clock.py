"""The engine's time: clocks that a test may set, and the wheel, the one timer behind all time limits."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from email.utils import formatdate
from math import inf
from time import monotonic, time
from typing import Final

NEVER: Final = inf
"""A deadline that does not pass."""

TICK: Final = 0.25
"""Seconds between two turns of the wheel. `coarse_now` may be this far behind: added to short limits, none ends early."""

log = logging.getLogger("inferway")


class Clock:
    """Monotonic seconds (`now()`), Unix time (`wall()`), and their values as of the last turn of the wheel."""

    __slots__ = ("coarse_now", "date", "now", "wall")

    def __init__(self, now: Callable[[], float] = monotonic, wall: Callable[[], float] = time) -> None:
        self.now = now
        self.wall = wall
        self.coarse_now = 0.0  # enough for time limits of seconds
        self.date = b""  # the value of a Date field
        self.update()

    def update(self) -> None:
        self.coarse_now = self.now()
        self.date = formatdate(self.wall(), usegmt=True).encode()


class Wheel:
    """Runs periodic checks with each turn. One timer for the process, none for a request."""

    def __init__(self, clock: Clock, checks: Sequence[Callable[[float], None]], tick: float = TICK) -> None:
        """`checks` are called with monotonic seconds, `tick` seconds apart."""
        self._clock = clock
        self._checks = checks
        self._tick = tick
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the timer; the loop must run."""
        self._task = asyncio.get_running_loop().create_task(self._turn(), name="wheel")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _turn(self) -> None:
        while True:
            await asyncio.sleep(self._tick)
            self._clock.update()
            for check in self._checks:
                try:
                    check(self._clock.coarse_now)
                except Exception:
                    # A bug in one check must not end every time limit of the process.
                    log.exception("unexpected error in a periodic check")
