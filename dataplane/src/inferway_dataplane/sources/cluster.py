"""The data plane's source in a cluster: both index ConfigMaps, followed, assembled, served, acknowledged, kept.

Each of these runs beside the others and has its own time limits. None of them touches traffic: what is live stays live
until something better is whole.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from random import random
from typing import Final, Literal, Protocol

from inferway_contract.acknowledgement import RENEW_SECONDS
from inferway_contract.sharding import (
    ConfigIndex,
    ConfigShard,
    EndpointsIndex,
    EndpointsShard,
    config_of,
    endpoints_of,
    index_name,
)
from inferway_dataplane.sources import Receiver, Refused, SourceState
from inferway_dataplane.sources.api import Indexes, Leases, Shards
from inferway_dataplane.sources.api_health import ApiHealth
from inferway_dataplane.sources.backoff import Backoff
from inferway_dataplane.sources.index_watch import IndexWatch
from inferway_dataplane.sources.last_good import LastGood
from inferway_dataplane.sources.last_good_writer import LastGoodWriter, WriterPace
from inferway_dataplane.sources.lease import LeaseRenewer, Pod
from inferway_dataplane.sources.publication import PublishedDocument
from inferway_dataplane.sources.published_document import ShardLoader
from inferway_dataplane.sources.rollout import Configs, Endpointses, Rollout, Sinks

log = logging.getLogger("inferway.cluster")

_LONGEST: Final = 5.0
"""Seconds between two looks at something broken that may be mended without its index changing: a shard."""


class Closing(Protocol):
    """Something with connections."""

    async def close(self) -> None:
        """Close them."""


class DocumentsApi(Indexes, Shards, Closing, Protocol):
    """What documents are read from."""


class LeaseApi(Leases, Closing, Protocol):
    """What the Lease is written to, by connections of its own: a frozen one must not hold up the other."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds."""

    patience: float = 3.0
    """A first document may take so long; then the last good copy is served until there is one."""
    renew: float = RENEW_SECONDS
    """Between two renewals of the Lease."""
    copies: WriterPace = field(default_factory=WriterPace)
    """Of the last good copy."""


class ClusterSource:
    """A `Source`."""

    ends_with_process = True
    """Kubernetes starts the container again, from the last good copy, and then it follows again."""

    def __init__(
        self, api: DocumentsApi, lease_api: LeaseApi, pod: Pod, last_good: LastGood | None, pace: Pace | None = None
    ) -> None:
        """`last_good`: None = nothing is kept, and nothing is there to start from without the API server."""
        self._api = api
        self._lease_api = lease_api
        self._pod = pod
        self._last_good = last_good
        self._pace = pace or Pace()
        self._contact = ApiHealth()
        self._serving: Rollout | None = None
        self._keeping: LastGoodWriter | None = None
        self._copy_error = ""
        self._is_following = False

    @property
    def waiting(self) -> str:
        """As `Source` says."""
        if self._serving is None:
            return "no document yet"
        reason = self._serving.waiting
        if self._contact.trouble:
            reason = self._contact.trouble
        return f"{reason}; the last good copy was refused: {self._copy_error}" if self._copy_error else reason

    @property
    def error(self) -> str:
        """As `Source` says."""
        return self._serving.error if self._serving is not None else ""

    @property
    def state(self) -> SourceState:
        """As `Source` says."""
        serving, keeping = self._serving, self._keeping
        live = serving.live if serving is not None else None
        has_copy = self._last_good is not None
        return SourceState(
            is_connected=self._is_following and serving is not None and serving.is_listed and not self._contact.trouble,
            endpoints_revision=live.endpoints.revision if live is not None else "",
            is_copy_saved=keeping.is_saved if has_copy and keeping is not None else None,
            copy_saved_at=(keeping.saved_at if keeping is not None else 0.0) if has_copy else None,
            copy_served_since=(serving.restored_at if serving is not None else 0.0) if has_copy else None,
        )

    async def follow(self, receiver: Receiver) -> None:
        """Runs until it is cancelled."""
        changed = asyncio.Event()
        config: Configs = PublishedDocument(
            self._following("config", changed), ShardLoader(self._api, ConfigIndex, ConfigShard, config_of)
        )
        endpoints: Endpointses = PublishedDocument(
            self._following("endpoints", changed), ShardLoader(self._api, EndpointsIndex, EndpointsShard, endpoints_of)
        )
        keeping = LastGoodWriter(self._last_good, self._pace.copies)
        acknowledging = LeaseRenewer(self._lease_api, self._pod, self._contact, Backoff(random), self._pace.renew)
        hearers = Sinks(receiver, acknowledging.say, keeping.keep)
        serving = Rollout(config, endpoints, hearers, self._contact, Backoff(random, longest=_LONGEST), changed)
        self._serving, self._keeping = serving, keeping
        config.following.start()
        endpoints.following.start()
        self._is_following = True
        try:
            async with asyncio.TaskGroup() as group:
                for work in (acknowledging.run(), keeping.run(), serving.run(), self._restore(serving)):
                    group.create_task(work)
        finally:
            self._is_following = False
            await config.following.stop()
            await endpoints.following.stop()
            await asyncio.gather(self._api.close(), self._lease_api.close())

    def _following(self, part: Literal["config", "endpoints"], changed: asyncio.Event) -> IndexWatch:
        return IndexWatch(self._api, index_name(self._pod.gateway, part), changed.set, self._contact, Backoff(random))

    async def _restore(self, serving: Rollout) -> None:
        """Serve the last good copy when there is no first document in time."""
        await asyncio.sleep(self._pace.patience)
        while serving.live is None and self._last_good is not None:
            try:
                copy = await asyncio.to_thread(self._last_good.read)
                if copy is None:
                    log.info("there is no last good copy to start from")
                    return
                serving.restore(copy)
                self._copy_error = ""
            except (OSError, ValueError, Refused) as error:
                self._copy_error = str(error)
                log.error("the last good copy was refused", extra={"error": str(error)})
                return
            except Exception as error:
                # Neither a mistake of ours nor want of a thread must end the source; the latter may be over soon.
                self._copy_error = f"internal error: {type(error).__name__}"
                log.exception("reading the last good copy failed in a way that is not foreseen")
                await asyncio.sleep(self._pace.patience)
