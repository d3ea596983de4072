"""Keeps the last good copy in step with what is served, beside everything else: a slow disk delays no swap."""

import asyncio
import logging
from typing import Any, Final

from inferway_dataplane.sources.assembling import Documents
from inferway_dataplane.sources.gathering import Gathering
from inferway_dataplane.sources.last_good import Head, LastGood

log = logging.getLogger("inferway.cluster")

REST: Final = 1.0
"""Seconds between two copies: endpoints may change many times a second, and only the newest state counts."""
AGAIN: Final = 10.0
"""Seconds after a copy that failed."""


class Keeping:
    """Writes the newest state that it was given, one after the other."""

    def __init__(
        self, last_good: LastGood | None, gatherings: tuple[Gathering[Any, Any, Any], ...], rest: float = REST
    ) -> None:
        """`last_good`: None = nothing is kept. `gatherings`: whose shards they are."""
        self._last_good = last_good
        self._gatherings = gatherings
        self._rest = rest
        self._newest: Documents | None = None
        self._given = asyncio.Event()
        self._is_failing = False

    def keep(self, documents: Documents) -> None:
        """These are served now."""
        self._newest = documents
        self._given.set()

    async def run(self) -> None:
        """Until cancelled. A copy that cannot be written is told once, and tried again: traffic does not need it."""
        while True:
            await self._given.wait()
            self._given.clear()
            shards = {name: content for one in self._gatherings for name, content in one.fetched.items()}
            try:
                await self._write(shards)
            except (OSError, ValueError) as error:
                if not self._is_failing:
                    log.warning("the last good copy cannot be written", extra={"error": str(error)})
                self._is_failing = True
                self._given.set()
                await asyncio.sleep(AGAIN)
            except Exception:
                # A mistake of ours, or want of a thread, must not end the source.
                log.exception("writing the last good copy failed in a way that is not foreseen")
                self._given.set()
                await asyncio.sleep(AGAIN)
            else:
                self._is_failing = False
                for one in self._gatherings:
                    one.forget_bytes(shards.keys())
                await asyncio.sleep(self._rest)

    async def _write(self, shards: dict[str, bytes]) -> None:
        if self._last_good is None or self._newest is None:
            return
        live = self._newest
        head = Head(config=live.config.text, endpoints=live.endpoints.text, kept=dict(live.kept))
        known = {name for one in self._gatherings for name in one.known}
        await asyncio.to_thread(self._last_good.save, head, shards, known)
