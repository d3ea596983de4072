"""Writes the live documents to disk, in a thread: a slow disk delays no swap."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import time

from inferway_contract.problem_log import ProblemLog
from inferway_dataplane.sources.assembly import Documents
from inferway_dataplane.sources.last_good import LastGood

log = logging.getLogger("inferway.cluster")


@dataclass(frozen=True, slots=True)
class WriterPace:
    """Seconds."""

    rest: float = 1.0
    """Between two copies: endpoints may change many times a second, and only the newest state counts."""
    retry: float = 10.0
    """After a copy that failed."""
    end: float = 2.0
    """For the last copy: the drain comes after it."""


class LastGoodWriter:
    """Writes the newest documents that it was given."""

    def __init__(
        self, last_good: LastGood | None, pace: WriterPace | None = None, now: Callable[[], float] = time
    ) -> None:
        """`last_good`: None = there is no copy. `now`: seconds since the epoch."""
        self.is_saved: bool | None = None  # whether the last attempt worked; None = there was none
        self.saved_at = 0.0  # when one worked last, in seconds since the epoch; 0 = never
        self._last_good = last_good
        self._pace = pace or WriterPace()
        self._now = now
        self._newest: Documents | None = None
        self._saved: Documents | None = None
        self._is_changed = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._problem = ProblemLog(log)

    def keep(self, documents: Documents) -> None:
        """Take the documents that are live now."""
        self._newest = documents
        self._is_changed.set()

    async def run(self) -> None:
        """Write until cancelled, and then once more if the live documents are not saved."""
        if self._last_good is None:
            return
        try:
            while True:
                await self._is_changed.wait()
                self._is_changed.clear()
                if await self._save(self._last_good):
                    await asyncio.sleep(self._pace.rest)
                else:
                    # It was logged, and is tried again: traffic does not need the copy.
                    self._is_changed.set()
                    await asyncio.sleep(self._pace.retry)
        finally:
            await self._save_at_end(self._last_good)

    async def _save(self, last_good: LastGood) -> bool:
        """Write the newest documents. Returns whether that worked."""
        documents = self._newest
        if documents is None:
            return True
        try:
            # If this is cancelled, the thread continues; `_save_at_end` waits for it.
            self._writing = asyncio.create_task(asyncio.to_thread(last_good.save, documents))
            await asyncio.shield(self._writing)
        except OSError as error:
            self._problem.report(logging.WARNING, "the last good copy cannot be written", error=str(error))
            self.is_saved = False
        except Exception:
            # A bug, or a thread that cannot be started, must not end the source.
            log.exception("unexpected error while writing the last good copy")
            self.is_saved = False
        else:
            self._problem.clear()
            self.is_saved, self.saved_at, self._saved = True, self._now(), documents
        return self.is_saved

    async def _save_at_end(self, last_good: LastGood) -> None:
        try:
            async with asyncio.timeout(self._pace.end):
                if self._writing is not None:
                    await asyncio.wait((self._writing,))
                if self._newest is not self._saved:
                    await self._save(last_good)
        except TimeoutError:
            log.warning("the last good copy took too long at the end, it may be an older one")
