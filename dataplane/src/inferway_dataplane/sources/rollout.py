"""From published to live documents: the one place that swaps, waits and refuses."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import time

from inferway_contract.acknowledgement import FORMATS, Acknowledgement
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_contract.sharding import ConfigIndex, ConfigShard
from inferway_dataplane.sources import Receiver, Refused
from inferway_dataplane.sources.assembly import Assembled, Documents, decide
from inferway_dataplane.sources.endpoint_changes import EndpointChanges, Endpointses
from inferway_dataplane.sources.published_document import PublishedDocument
from inferway_kube.api_health import ApiHealth
from inferway_kube.backoff import Backoff
from inferway_kube.errors import ApiError

log = logging.getLogger("inferway.cluster")

Configs = PublishedDocument[ConfigIndex, ConfigShard, ConfigDocument]


@dataclass(frozen=True, slots=True)
class Sinks:
    """What takes the live documents."""

    receiver: Receiver
    acknowledge: Callable[[Acknowledgement], None]
    keep: Callable[[Documents], None]


class Rollout:
    """Looks at both published documents whenever one has changed."""

    def __init__(
        self,
        config: Configs,
        endpoints: Endpointses,
        sinks: Sinks,
        health: ApiHealth,
        backoff: Backoff,
        changed: asyncio.Event,
        now: Callable[[], float] = time,
    ) -> None:
        """`changed` is set when one of both has. `backoff`: pauses after failures, and before a broken document is read again."""
        self.live: Documents | None = None
        self.restored_at = 0.0
        """Since when the last good copy is served instead of the published documents, in seconds since the epoch; 0 = it is not."""
        self.missing: tuple[str, ...] = ()  # Services whose endpoints the newest config waits for
        self._may_serve_older = False
        self._bad_older: set[str] = set()  # revisions of older configs that could not be built
        self._changed = changed
        self._now = now
        self._config = config
        self._endpoints = endpoints
        self._sinks = sinks
        self._health = health
        self._backoff = backoff
        self._accepting = asyncio.Lock()  # a document is built between turns of the loop, and only one at a time
        self._reported = ""  # the error that the receiver has, while it stands; "" = none
        self._bad_config = ("", "")
        """Revisions of a config that could not be built, and of the endpoints that it was tried with."""
        self._bad_endpoints = ""  # revision of endpoints that the live config could not be built with

    @property
    def error(self) -> str:
        """Why a published document is not served; "" = both are, or wait."""
        return self._config.error or self._endpoints.error

    @property
    def is_listed(self) -> bool:
        """Whether both have been read."""
        return self._config.watch.is_listed and self._endpoints.watch.is_listed

    @property
    def waiting(self) -> str:
        """Why the documents are not served yet."""
        if self.error:
            return f"the document was refused: {self.error}"
        for followed in (self._config.watch, self._endpoints.watch):
            if followed.is_listed and followed.text is None:
                return f"there is no ConfigMap {followed.name} yet"
        if self.missing:
            more = f" and {len(self.missing) - 3} more" if len(self.missing) > 3 else ""
            return f"waiting for endpoints of {', '.join(self.missing[:3])}{more}"
        return "no document yet"

    async def run(self) -> None:
        """Follow both until cancelled."""
        while True:
            pause: float | None = None
            try:
                await self._look()
                if self._config.may_recover or self._endpoints.may_recover:
                    pause = self._backoff.pause()
                else:
                    self._backoff.reset()
                self._health.answered("shards")
            except ApiError as error:
                self._health.failed("shards", error)
                pause = self._backoff.pause(error.retry_after)
            except Exception:
                # A bug must not end the source: the next document may not meet it.
                log.exception("unexpected error while assembling a document")
                pause = self._backoff.pause()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            self._changed.clear()

    async def restore(self, copy: Documents) -> None:
        """Serve the last good copy, unless there is a live document by now. `Refused`."""
        async with self._accepting:
            if self.live is None:
                await self._accept(copy)
                self.restored_at = self._now()
                log.warning("serving the last good copy, nothing was published in time")
                self._acknowledge()
                self._changed.set()

    def allow_older(self) -> None:
        """Serve an older published config from now on where the newest is refused and nothing is live."""
        if not self._may_serve_older:
            self._may_serve_older = True
            self._changed.set()

    async def _look(self) -> None:
        # The config first: endpoints are published before the config that needs them, so these are new enough for it.
        config = await self._config.newest()
        endpoints = await self._endpoints.newest()
        if endpoints is not None:
            if endpoints.revision == self._bad_endpoints:
                endpoints = None
            else:
                self._endpoints.accept()
        if config is not None:
            if self._is_bad(config, endpoints):
                config = None
            else:
                self._config.accept()
        is_over = bool(self._reported) and not self.error
        decision = await asyncio.to_thread(decide, config, endpoints, self.live, is_anew=is_over)
        if decision.missing and decision.missing != self.missing:
            log.debug("the newest config waits for endpoints", extra={"services": decision.missing[:10]})
        self.missing = decision.missing
        if decision.swap is not None:
            async with self._accepting:
                await self._swap(decision.swap)
        if self._may_serve_older and self._config.refused:
            async with self._accepting:
                await self._serve_older(endpoints)
        if self.live and config and endpoints and self.live.revisions == (config.revision, endpoints.revision):
            self.restored_at = 0.0
        # Once for each error, however often endpoints change while it stands.
        if self.error and self.error != self._reported:
            self._sinks.receiver.reject(self.error)
        self._reported = self.error
        self._acknowledge()

    async def _serve_older(self, endpoints: Assembled[EndpointsDocument] | None) -> None:
        """Serve the newest config of the history that can be read and built, where nothing is live."""
        if self.live is not None:
            return
        async for config in self._config.older():
            if config.revision in self._bad_older:
                continue
            together = (await asyncio.to_thread(decide, config, endpoints, None)).swap
            if together is None:
                continue  # its endpoints are gone
            try:
                await self._accept(together)
            except Refused as refused:
                self._bad_older.add(config.revision)
                log.debug("an older config is refused too", extra={"revision": config.revision, "error": str(refused)})
                continue
            extra = {"revision": config.revision, "error": self._config.error}
            log.warning("serving an older config, this version cannot read the newest one", extra=extra)
            return

    def _is_bad(self, config: Assembled[ConfigDocument], endpoints: Assembled[EndpointsDocument] | None) -> bool:
        """Whether this config was refused, and not because of endpoints that were replaced since."""
        revision, tried_with = self._bad_config
        if config.revision != revision or tried_with == self._bad_endpoints:
            return False
        # Before there is a live document, either may be the reason: other endpoints are worth a try.
        return self.live is not None or endpoints is None or endpoints.revision == tried_with

    async def _swap(self, new: Documents) -> None:
        live = self.live
        try:
            await self._accept(new)
        except Refused as refused:
            error = self._reported = str(refused)  # the receiver has reported it
            if live is not None and new.config.revision == live.config.revision:
                self._bad_endpoints = new.endpoints.revision
                self._endpoints.refuse(new.endpoints.revision, error)
            else:
                self._bad_config = new.revisions
                self._config.refuse(new.config.revision, error)
            # The live config may still take newer endpoints.
            self._changed.set()

    async def _accept(self, new: Documents) -> None:
        document, revision = new.config.document, new.config.revision
        live = self.live
        if live is None or live.config.revision == revision:
            await self._sinks.receiver.accept(document, new.endpoints.document, revision, self.error)
        else:
            changes = EndpointChanges(
                self._endpoints,
                live,
                new,
                self._bad_endpoints,
                health=self._health,
                changed=self._changed,
                on_served=self._serve_meanwhile,
                on_read=self._acknowledge,
            )
            following = asyncio.create_task(changes.follow())
            try:
                await self._sinks.receiver.accept(document, new.endpoints.document, revision, self.error, changes.take)
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
                if changes.has_seen_change:
                    self._changed.set()
            new = changes.built
        self.live = new
        self._sinks.keep(new)

    def _serve_meanwhile(self, live: Documents) -> None:
        """The live config was swapped in with newer endpoints, while a newer config is built."""
        self.live = live
        self._sinks.keep(live)
        self._acknowledge()

    def _acknowledge(self) -> None:
        config, endpoints = self.live.revisions if self.live is not None else ("", "")
        self._sinks.acknowledge(
            Acknowledgement(
                config=config, endpoints=endpoints, refused=self._config.refused, error=self.error, formats=FORMATS
            )
        )
