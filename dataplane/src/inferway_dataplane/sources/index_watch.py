"""One index ConfigMap, followed by list and watch."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from time import monotonic
from typing import Final

from inferway_dataplane.sources.api import Gone, Indexes, Missing, Unavailable
from inferway_dataplane.sources.api_health import ApiHealth
from inferway_dataplane.sources.backoff import Backoff

log = logging.getLogger("inferway.cluster")

_SHORT: Final = 1.0
"""Seconds: a watch that ended sooner counts as a failure, or a server that ends each at once would be asked without pause."""


class IndexWatch:
    """Keeps `text` as the index is: from a list first, from a watch then, which is resumed where it broke off.

    Listed again: after 410, after any answer that is an error (an etcd that was restored knows no version of ours), and when
    `read_again` says so.
    """

    def __init__(
        self, indexes: Indexes, name: str, changed: Callable[[], None], contact: ApiHealth, back_off: Backoff
    ) -> None:
        """`changed` is called after each change, and after the first list whatever it found."""
        self.name = name
        self.text: str | None = None
        self.is_listed = False
        """Whether `text` was true once."""
        self._indexes = indexes
        self._changed = changed
        self._contact = contact
        self._back_off = back_off
        self._version = ""
        self._since = 0.0  # monotonic, when the present watch was there; 0 = it is not
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow from now on: from a list, or from where it was."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"following {self.name}")

    async def stop(self) -> None:
        """Follow no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def read_again(self) -> None:
        """Read it now, past the watch, which may lag behind. `changed` is called if it is not what it was. `Unavailable`."""
        await self.stop()
        try:
            await self._list()
        finally:
            self.start()

    async def _run(self) -> None:
        while True:
            self._since = 0.0
            retry_after = 0.0
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                if self._lasted():
                    self._back_off.reset()
                    continue
            except Gone:
                log.debug("the watch fell behind, the index is listed again", extra={"name_of": self.name})
                self._version = ""
            except (Unavailable, Missing) as error:
                if isinstance(error, Missing):
                    error = Unavailable("it answers a watch with missing", is_answer=True)
                retry_after = error.retry_after
                if error.is_answer:
                    self._version = ""
                self._contact.failed(self.name, error)
            except Exception as error:
                # A mistake of ours must not end the watch.
                log.exception("following an index failed in a way that is not foreseen")
                self._version = ""
                self._contact.failed(self.name, Unavailable(f"internal error: {type(error).__name__}"))
            if self._lasted():
                self._back_off.reset()
            await asyncio.sleep(self._back_off.pause(retry_after))

    def _lasted(self) -> bool:
        """Whether there was a watch for long enough to say that the API server is well."""
        return self._since > 0 and monotonic() - self._since > _SHORT

    async def _list(self) -> None:
        seen = await self._indexes.list_index(self.name)
        self._version = seen.version
        self._take(seen.text)

    async def _watch(self) -> None:
        async with aclosing(self._indexes.watch_index(self.name, self._version)) as events:
            async for seen in events:
                self._version = seen.version
                self._since = self._since or monotonic()
                self._contact.answered(self.name)
                if not seen.is_bookmark:
                    self._take(seen.text)

    def _take(self, text: str | None) -> None:
        self._contact.answered(self.name)
        if text != self.text or not self.is_listed:
            self.text = text
            self.is_listed = True
            self._changed()
