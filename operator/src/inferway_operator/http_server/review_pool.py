"""Threads for reviews: side by side, a bounded number of them, and one namespace never takes all.

A thread cannot be ended. The bounds of a candidate (`admission/bounds`) end each review soon, and until then it keeps its
thread, even when its client has been answered at the deadline.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")

THREADS: Final = 4
"""They share one interpreter: more would not be faster, and the event loop would wait longer for its turn."""
MOST_WAITING: Final = 64
"""Reviews at once, in threads or waiting for one."""
MOST_OF_A_NAMESPACE: Final = 16
"""Of these, reviews of objects of one namespace."""
THREADS_OF_A_NAMESPACE: Final = 2
"""Of the threads. With one, a slow review would hold up the others of its namespace."""


class OverloadedError(Exception):
    """A review that cannot be answered in time. The message is for the API server's caller."""


class ReviewPool:
    """Runs functions in threads, a few at a time for each namespace."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: time limit of each call, waiting included."""
        self.seconds = seconds
        self._executor = ThreadPoolExecutor(THREADS, "admission")
        self.waiting: Counter[str] = Counter()
        self._turns: dict[str, asyncio.Semaphore] = {}

    def close(self) -> None:
        """Cancel waiting calls."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def run(self, namespace: str, function: Callable[[], T]) -> T:
        """Return the result of a function that runs in a thread. Raises `OverloadedError`, and what the function raises."""
        if self.waiting.total() >= MOST_WAITING:
            raise OverloadedError("too many reviews at once: try again")
        if self.waiting[namespace] >= MOST_OF_A_NAMESPACE:
            raise OverloadedError(f"too many reviews of namespace {namespace} at once: try again")
        self.waiting[namespace] += 1
        # A task of its own: it holds the namespace's turn until the thread is free, after the deadline too.
        task = asyncio.create_task(self._take_turn(namespace, function), name="review")
        try:
            async with asyncio.timeout(self.seconds):
                return await asyncio.shield(task)
        except TimeoutError:
            raise OverloadedError(f"no review within {self.seconds:g} s: try again") from None

    async def _take_turn(self, namespace: str, function: Callable[[], T]) -> T:
        try:
            turn = self._turns.setdefault(namespace, asyncio.Semaphore(THREADS_OF_A_NAMESPACE))
            async with turn:
                return await asyncio.get_running_loop().run_in_executor(self._executor, function)
        finally:
            self.waiting[namespace] -= 1
            if not self.waiting[namespace]:
                del self.waiting[namespace], self._turns[namespace]
