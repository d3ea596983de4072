"""Long computations as generators of short steps, so that an event loop can turn between them.

A step takes less than about 20 ms of CPU time, whatever the input; a computation yields behind each and returns its result.
"""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]
"""A computation with this result."""


def completed(steps: Steps[T]) -> T:
    """Take all steps at once, and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
