"""The data plane's source in a cluster: both index ConfigMaps are watched, assembled, served, acknowledged, kept.

Each of these steps runs concurrently, with its own time limits. None of them touches traffic: the live document stays
until a newer one is complete.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from random import random
from typing import Final, Literal

from inferway_contract import sharding
from inferway_contract.acknowledgement import RENEW_SECONDS
from inferway_dataplane.sources import Receiver, Refused, SourceState
from inferway_dataplane.sources.endpoint_changes import Endpointses
from inferway_dataplane.sources.index_watch import IndexWatch
from inferway_dataplane.sources.last_good import LastGood
from inferway_dataplane.sources.last_good_writer import LastGoodWriter, WriterPace
from inferway_dataplane.sources.lease import LeaseRenewer, Pod
from inferway_dataplane.sources.published_document import PublishedDocument
from inferway_dataplane.sources.rollout import Configs, Rollout, Sinks
from inferway_kube.api_health import ApiHealth
from inferway_kube.backoff import Backoff
from inferway_kube.client import Client

log = logging.getLogger("inferway.cluster")

_LONGEST: Final = 5.0
"""Seconds between two looks at a broken shard, which may be replaced without a change of its index."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds."""

    patience: float = 3.0
    """Wait for a first document; then the last good copy is served until there is one."""
    renew: float = RENEW_SECONDS
    """Between two renewals of the Lease."""
    copies: WriterPace = field(default_factory=WriterPace)
    """Of the last good copy."""


class ClusterSource:
    """A `Source`."""

    ends_with_process = True
    """Kubernetes starts the container again, from the last good copy."""

    def __init__(
        self,
        client: Client,
        lease_client: Client,
        namespace: str,
        pod: Pod,
        last_good: LastGood | None,
        pace: Pace | None = None,
    ) -> None:
        """`last_good`: None = there is no copy, and nothing to start from without the API server."""
        self._client = client
        self._lease_client = lease_client  # with connections of its own: a frozen one must not delay the other
        self._namespace = namespace
        self._pod = pod
        self._last_good = last_good
        self._pace = pace or Pace()
        self._health = ApiHealth(log, patience=0.0)
        self._rollout: Rollout | None = None
        self._writer: LastGoodWriter | None = None
        self._copy_error = ""
        self._is_following = False

    @property
    def waiting(self) -> str:
        if self._rollout is None:
            return "no document yet"
        reason = self._rollout.waiting
        if self._health.trouble:
            reason = self._health.trouble
        return f"{reason}; the last good copy was refused: {self._copy_error}" if self._copy_error else reason

    @property
    def error(self) -> str:
        return self._rollout.error if self._rollout is not None else ""

    @property
    def state(self) -> SourceState:
        rollout, writer = self._rollout, self._writer
        live = rollout.live if rollout is not None else None
        has_copy = self._last_good is not None
        return SourceState(
            is_connected=self._is_following and rollout is not None and rollout.is_listed and not self._health.trouble,
            endpoints_revision=live.endpoints.revision if live is not None else "",
            is_copy_saved=writer.is_saved if has_copy and writer is not None else None,
            copy_saved_at=(writer.saved_at if writer is not None else 0.0) if has_copy else None,
            copy_served_since=(rollout.restored_at if rollout is not None else 0.0) if has_copy else None,
        )

    def reload(self) -> None:
        """Do nothing: documents arrive by a watch, not from files."""

    async def follow(self, receiver: Receiver) -> None:
        """Serve what is published, until cancelled."""
        changed = asyncio.Event()
        config: Configs = PublishedDocument(
            self._watch("config", changed), sharding.ConfigIndex, sharding.ConfigShard, sharding.config_of
        )
        endpoints: Endpointses = PublishedDocument(
            self._watch("endpoints", changed), sharding.EndpointsIndex, sharding.EndpointsShard, sharding.endpoints_of
        )
        writer = LastGoodWriter(self._last_good, self._pace.copies)
        renewer = LeaseRenewer(
            self._lease_client, self._namespace, self._pod, self._health, Backoff(random), self._pace.renew
        )
        sinks = Sinks(receiver, renewer.acknowledge, writer.keep)
        rollout = Rollout(config, endpoints, sinks, self._health, Backoff(random, longest=_LONGEST), changed)
        self._rollout, self._writer = rollout, writer
        config.watch.reflector.start()
        endpoints.watch.reflector.start()
        self._is_following = True
        try:
            async with asyncio.TaskGroup() as group:
                for work in (renewer.run(), writer.run(), rollout.run(), self._restore(rollout)):
                    group.create_task(work)
        finally:
            self._is_following = False
            await config.watch.reflector.stop()
            await endpoints.watch.reflector.stop()
            await asyncio.gather(self._client.close(), self._lease_client.close())

    def _watch(self, part: Literal["config", "endpoints"], changed: asyncio.Event) -> IndexWatch:
        name = sharding.index_name(self._pod.gateway, part)
        return IndexWatch(self._client, self._namespace, name, changed.set, self._health, Backoff(random))

    async def _restore(self, rollout: Rollout) -> None:
        """Serve the last good copy when there is no first document in time, else an older one of those published."""
        await asyncio.sleep(self._pace.patience)
        await self._restore_copy(rollout)
        # By now the operator knows which formats this version reads, and has published in one of them.
        rollout.allow_older()

    async def _restore_copy(self, rollout: Rollout) -> None:
        while rollout.live is None and self._last_good is not None:
            try:
                copy = await asyncio.to_thread(self._last_good.read)
                if copy is None:
                    log.info("there is no last good copy to start from")
                    return
                await rollout.restore(copy)
                self._copy_error = ""
            except (OSError, ValueError, Refused) as error:
                self._copy_error = str(error)
                log.error("the last good copy was refused", extra={"error": str(error)})
                return
            except Exception as error:
                # Neither a bug nor the lack of a thread must end the source; the latter may be over soon.
                self._copy_error = f"internal error: {type(error).__name__}"
                log.exception("unexpected error while reading the last good copy")
                await asyncio.sleep(self._pace.patience)
