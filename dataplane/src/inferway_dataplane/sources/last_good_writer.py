"""Keeps the last good copy in step with what is served, beside everything else: a slow disk delays no swap."""

import asyncio
import logging
from collections.abc import Callable
from time import time
from typing import Any, Final

from inferway_dataplane.sources.assembly import Documents
from inferway_dataplane.sources.last_good import Head, LastGood
from inferway_dataplane.sources.published_document import ShardLoader

log = logging.getLogger("inferway.cluster")

REST: Final = 1.0
"""Seconds between two copies: endpoints may change many times a second, and only the newest state counts."""
AGAIN: Final = 10.0
"""Seconds after a copy that failed."""
AT_LAST: Final = 2.0
"""Seconds that the end of the source waits for a last copy: a drain comes after it."""


class LastGoodWriter:
    """Writes the newest state that it was given, one after the other."""

    def __init__(
        self,
        last_good: LastGood | None,
        loaders: tuple[ShardLoader[Any, Any, Any], ...],
        rest: float = REST,
        now: Callable[[], float] = time,
    ) -> None:
        """`last_good`: None = nothing is kept. `loaders`: whose shards they are. `now`: seconds since the epoch."""
        self.is_saved: bool | None = None
        """Whether the last attempt worked; None = there was none."""
        self.saved_at = 0.0
        """When one worked last, in seconds since the epoch; 0 = never."""
        self._last_good = last_good
        self._loaders = loaders
        self._rest = rest
        self._now = now
        self._newest: Documents | None = None
        self._saved: Documents | None = None
        self._unsaved: dict[str, bytes] = {}
        """By digest: the bytes of the newest's shards that may not be on disk. Gatherings forget those of older indexes."""
        self._given = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._told = ""

    def keep(self, documents: Documents) -> None:
        """These are served now."""
        named = documents.config.shards | documents.endpoints.shards
        held = (self._unsaved, *(one.fetched for one in self._loaders))
        self._unsaved = {name: content for some in held for name, content in some.items() if name in named}
        self._newest = documents
        self._given.set()

    async def run(self) -> None:
        """Until cancelled, and then what is served is written once more if it is not yet.

        A copy that cannot be written is told once, and tried again: traffic does not need it.
        """
        try:
            while True:
                await self._given.wait()
                self._given.clear()
                if await self._save():
                    await asyncio.sleep(self._rest)
                else:
                    self._given.set()
                    await asyncio.sleep(AGAIN)
        finally:
            await self._save_at_last()

    async def _save(self) -> bool:
        """Whether it worked. A failure is told once, until one has worked."""
        live, shards = self._newest, dict(self._unsaved)
        try:
            if live is not None and self._last_good is not None:
                # Whoever is cancelled meanwhile leaves it at work: two at a time are not allowed.
                self._writing = asyncio.create_task(self._write(self._last_good, live, shards))
                await asyncio.shield(self._writing)
                self.is_saved, self.saved_at = True, self._now()
        except (OSError, ValueError) as error:
            self.is_saved = False
            if not self._told:
                log.warning("the last good copy cannot be written", extra={"error": str(error)})
            self._told = str(error)
            return False
        except Exception:
            # A mistake of ours, or want of a thread, must not end the source.
            self.is_saved = False
            log.exception("writing the last good copy failed in a way that is not foreseen")
            return False
        self._told = ""
        self._saved = live
        for name in shards:
            self._unsaved.pop(name, None)
        for one in self._loaders:
            one.forget_bytes(shards.keys())
        return True

    async def _save_at_last(self) -> None:
        """A restart begins with what is served now, if the disk lets it: a disk that hangs does not hold up the drain."""
        try:
            async with asyncio.timeout(AT_LAST):
                if self._writing is not None:
                    await asyncio.wait((self._writing,))
                if self._newest is not self._saved:
                    await self._save()
        except TimeoutError:
            log.warning("the last good copy took too long at the end, it may be an older one")

    async def _write(self, last_good: LastGood, live: Documents, shards: dict[str, bytes]) -> None:
        head = Head(config=live.config.text, endpoints=live.endpoints.text, kept=dict(live.kept))
        known = {name for one in self._loaders for name in one.known}
        await asyncio.to_thread(last_good.save, head, shards, known)
