"""An event loop in a separate thread, for servers that run during a test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

Value = TypeVar("Value")

PATIENCE = 10.0
"""Seconds that one call of `run` or `call` may take."""


class LoopThread:
    """Runs the caller's coroutines on its event loop, from `start` to `stop`."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Create the thread. `loop`: instead of asyncio's default."""
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
        """Run a coroutine; returns or raises its result. Raises `TimeoutError` after `PATIENCE`."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def call(self, function: Callable[[], Value]) -> Value:
        """Call a plain function on the loop, where nothing else runs meanwhile; returns or raises its result."""

        async def work() -> Value:
            return function()

        return self.run(work())

    def stop(self) -> None:
        """End the loop. The caller must end its own work on the loop first."""
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
