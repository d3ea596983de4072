"""Many callers at once, for tests of what is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from inferway_testing.until import DEADLINE

Value = TypeVar("Value")


@contextmanager
def begun(count: int, work: Callable[[], Value]) -> Iterator[list[Future[Value]]]:
    """So many callers in threads of their own, which have begun; when the block ends they must end too."""
    with ThreadPoolExecutor(count, "crowd") as pool:
        calls = [pool.submit(work) for _ in range(count)]
        yield calls
        for call in calls:
            call.exception(DEADLINE)


def at_once(count: int, work: Callable[[], Value]) -> list[Value]:
    """What each of so many callers got; raises what the first of them raised."""
    with begun(count, work) as calls:
        return [call.result(DEADLINE) for call in calls]
