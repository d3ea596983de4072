"""Endpoints that change while a config is built: the live config is served with them before the build ends."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from inferway_contract.document import EndpointsDocument
from inferway_contract.sharding import EndpointsIndex, EndpointsShard
from inferway_dataplane.sources import NewerEndpoints
from inferway_dataplane.sources.assembly import Assembled, Documents, with_last_known
from inferway_dataplane.sources.published_document import PublishedDocument
from inferway_kube.api_health import ApiHealth
from inferway_kube.errors import ApiError

log = logging.getLogger("inferway.cluster")

Endpointses = PublishedDocument[EndpointsIndex, EndpointsShard, EndpointsDocument]

PAUSE: Final = 1.0
"""Seconds between two looks during a build: endpoints that flap must not take the time of the build."""


class EndpointChanges:
    """What arrives during one build."""

    def __init__(
        self,
        endpoints: Endpointses,
        live: Documents,
        built: Documents,
        bad: str,
        *,
        health: ApiHealth,
        changed: asyncio.Event,
        on_served: Callable[[Documents], None],
        on_read: Callable[[], None],
    ) -> None:
        """`built`: what is built, with another config than `live`. `bad`: revision of endpoints that were refused.

        `on_served`: called with what is live from then on; `on_read`: after each look at what is published.
        """
        self.live = live
        self.built = built
        """With the endpoints that were served last during the build."""
        self.has_seen_change = False
        """Whether `changed` was cleared here: a newer config may have set it."""
        self._endpoints = endpoints
        self._bad = bad
        self._health = health
        self._changed = changed
        self._on_served = on_served
        self._on_read = on_read
        self._offered = live.endpoints.revision  # at last
        self._pending: NewerEndpoints | None = None

    def take(self) -> NewerEndpoints | None:
        """Return what arrived since the call before; None = nothing did."""
        pending, self._pending = self._pending, None
        return pending

    async def follow(self) -> None:
        """Read changed endpoints until cancelled, at most once in `PAUSE`."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            self.has_seen_change = True
            try:
                await self._look()
                self._health.answered("shards")
            except ApiError as error:
                self._health.failed("shards", error)
                self._changed.set()
            except Exception:
                # A bug must not end the build; the look after it meets the same.
                log.exception("unexpected error while assembling a document")
            await asyncio.sleep(PAUSE)

    async def _look(self) -> None:
        newest = await self._endpoints.newest()
        if newest is not None and newest.revision != self._bad:
            self._endpoints.accept()
            if newest.revision != self._offered:
                self._pending = await asyncio.to_thread(self._newer, newest)
                self._offered = newest.revision
        self._on_read()

    def _newer(self, newest: Assembled[EndpointsDocument]) -> NewerEndpoints:
        live, built = _with(self.live, newest), _with(self.built, newest)

        def serve() -> None:
            self.live, self.built = live, built
            self._on_served(live)

        return NewerEndpoints(live.endpoints.document, built.endpoints.document, serve)


def _with(documents: Documents, newest: Assembled[EndpointsDocument]) -> Documents:
    """The same config with these endpoints, and its last known addresses of Services that they lack."""
    services = documents.config.document.named_services()
    return replace(documents, endpoints=with_last_known(newest, services, documents))
