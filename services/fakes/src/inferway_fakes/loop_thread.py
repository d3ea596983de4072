"""An event loop in a thread of its own, for servers that run beside a test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

Value = TypeVar("Value")

PATIENCE = 10.0
"""Seconds that anything asked of the loop may take."""


class LoopThread:
    """Runs coroutines of the caller's on a loop that it owns, from `start` to `stop`."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """`loop`: another than asyncio's own."""
        self.loop = loop or asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> LoopThread:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the thread. `run` and `call` work from here on."""
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Value]) -> Value:
        """What the coroutine returns or raises; `TimeoutError` after `PATIENCE`."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def call(self, function: Callable[[], Value]) -> Value:
        """What a plain function returns or raises on the loop: nothing else runs there meanwhile."""

        async def work() -> Value:
            return function()

        return self.run(work())

    def stop(self) -> None:
        """End the loop; whoever has work on it ends that before."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise TimeoutError(f"the thread {self._thread.name} does not end")

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()
