"""The parts of one operator process, put together."""

import asyncio
import gc
import logging
import os
import signal
from contextlib import AsyncExitStack
from typing import Final

from inferway_kube import login
from inferway_kube.api_health import ApiHealth
from inferway_kube.client import Client, Deadlines
from inferway_kube.leader_election import Election, LeaderElection
from inferway_operator import api_client
from inferway_operator.http_server.server import OperatorServer, Readiness
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.reconcile.reconciler import Reconciler
from inferway_operator.settings import HttpSettings, OperatorSettings
from inferway_operator.watch.object_cache import ObjectCache
from inferway_operator.watch.reflectors import Reflectors
from inferway_operator.world.world import World

logger = logging.getLogger(__name__)

_LEASE: Final = Deadlines(read=3.0, write=3.0)
"""There must be time for a second call before the deadline of a renewal."""


class Operator:
    """The cache that reflectors feed, and behind it the work, while this process leads."""

    def __init__(self, settings: OperatorSettings, http: HttpSettings) -> None:
        self.settings = settings
        self._cache = ObjectCache()
        self._http = http
        self._metrics = OperatorMetrics()
        self._health = ApiHealth(logger)
        self._open = AsyncExitStack()
        self._leading: asyncio.Task[None] | None = None

    # --- what the HTTP server asks -----------------------------------------------------------------------------------

    def world(self) -> World | None:
        """Return the world as it is now, for the webhook. It lacks what was published before, which a review does not need."""
        return self._cache.world(self.settings.world, {}, 1) if self.reflectors.is_synced else None

    def failure(self) -> str:
        """Return why the process should be restarted, or ""."""
        task = self._leading
        has_failed = task is not None and task.done() and not task.cancelled() and task.exception() is not None
        return "the task leadership has ended" if has_failed else ""

    def readiness(self) -> Readiness:
        """A process that has listed everything is ready: the leader as well as one that stands by."""
        if not self.reflectors.is_synced:
            trouble = self._health.trouble
            return Readiness(False, f"listing: {trouble}" if trouble else "listing")
        return Readiness(True, "leading" if self._election.is_held() else "standing by")

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to reflect the cluster and to wait for the Lease.

        Raises `NoCluster` where there is no way to an API server at all, `OSError` where an address cannot be listened on.
        """
        # A compile makes some hundred thousand objects, none of them a cycle. With Python's own thresholds the collector walks
        # through the whole cache dozens of times meanwhile: 2,000 routes take 0.65 s of CPU instead of 0.38 s.
        gc.set_threshold(100_000, 20, 20)
        account = await login.from_environment()
        client = api_client.connect(account, lambda: self._election.is_held(), self._metrics)
        await self._open.enter_async_context(client)
        # A client of its own: a crowd of status writes must not hold up the renewal of the Lease.
        lease_client = await self._open.enter_async_context(Client(account, api_client.FIELD_MANAGER, _LEASE))
        self.reflectors = Reflectors(client, self._cache, self.settings, self._health)
        reconciler = Reconciler(client, self._cache, self.reflectors, self.settings, self._metrics, self._health)
        settings = self.settings
        election = Election(
            settings.lease,
            settings.lease_namespace,
            settings.holder,
            settings.lease_duration,
            settings.renew_deadline,
            settings.retry_period,
        )
        self._election = LeaderElection(lease_client, election, reconciler.lead, self._health, self._metrics.leads)
        server = OperatorServer(self._http, self, self._metrics)
        await server.start()
        self._open.push_async_callback(server.stop)
        self.reflectors.start()
        self._open.push_async_callback(self.reflectors.stop)
        self._leading = asyncio.create_task(self._election.run(), name="leadership")
        self._leading.add_done_callback(_end_if_failed)

    async def stop(self) -> None:
        """Stop working and give the Lease back."""
        if self._leading is not None:
            self._leading.cancel()
            await asyncio.wait([self._leading])
        await self._open.aclose()


def _end_if_failed(task: asyncio.Task[None]) -> None:
    """End after a bug: a process that only seems to work is worse than none, and is started again."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("the task %s failed; ending", task.get_name(), exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
