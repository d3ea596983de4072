"""Long computations on the event loop: some steps a turn, so that requests are answered in between.

A thread would not help: RE2, pydantic and `json` hold the interpreter's lock.
"""

import asyncio
from time import monotonic
from typing import Final, TypeVar

from inferway_dataplane.core.steps import Steps

T = TypeVar("T")

SLICE: Final = 0.005
"""Seconds of a turn in which steps begin."""


async def between_turns(steps: Steps[T]) -> T:
    """Take the steps of a computation, and return its result; errors pass through."""
    while True:
        until = monotonic() + SLICE
        try:
            while monotonic() < until:
                next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)
