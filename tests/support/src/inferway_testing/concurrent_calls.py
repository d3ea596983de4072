"""Concurrent calls, for tests of bounded resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from inferway_testing.until import DEADLINE

Value = TypeVar("Value")


@contextmanager
def start_calls(count: int, work: Callable[[], Value]) -> Iterator[list[Future[Value]]]:
    """Start `count` calls in separate threads; they must end before the block does."""
    with ThreadPoolExecutor(count, "concurrent-calls") as pool:
        calls = [pool.submit(work) for _ in range(count)]
        yield calls
        for call in calls:
            call.exception(DEADLINE)


def run_concurrently(count: int, work: Callable[[], Value]) -> list[Value]:
    """Run `count` calls concurrently and return their results. Raises the first call's exception."""
    with start_calls(count, work) as calls:
        return [call.result(DEADLINE) for call in calls]
