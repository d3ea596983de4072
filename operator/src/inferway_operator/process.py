"""Running: the parts of one operator process, put together."""

import asyncio
import logging
import os
import signal
from contextlib import AsyncExitStack

from inferway_operator.http_server.server import OperatorServer, Readiness
from inferway_operator.kube import client as kube_client
from inferway_operator.kube import outage_log
from inferway_operator.kube.leader_election import Leadership
from inferway_operator.metrics import OperatorMetrics
from inferway_operator.reconcile.reconciler import Reconciler
from inferway_operator.settings import HttpSettings, OperatorSettings
from inferway_operator.watch.kinds import WatchedKind
from inferway_operator.watch.object_cache import ObjectCache
from inferway_operator.watch.resync import Resync
from inferway_operator.watch.snapshot import world_of
from inferway_operator.world.world import World

logger = logging.getLogger(__name__)

_RETRY = 1.0
"""Seconds between two attempts to learn whether everything has been listed."""


class Operator:
    """What the handlers feed: what is observed, and behind it the work, while this process leads."""

    def __init__(self, settings: OperatorSettings, http: HttpSettings) -> None:
        self.settings = settings
        self.observed = ObjectCache()
        self._http = http
        self._metrics = OperatorMetrics()
        self._open = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_listed = False
        self._why_not_listed = ""

    # --- what the HTTP server asks -----------------------------------------------------------------------------------

    def world(self) -> World | None:
        """As it is now, for the webhook: of policies published before it knows nothing, and need not."""
        return world_of(self.observed, self.settings.world, {}, 1) if self._is_listed else None

    def ailment(self) -> str:
        """Why the process should be restarted, or ""."""
        return next((f"the task {task.get_name()} has ended" for task in self._tasks if _has_failed(task)), "")

    def readiness(self) -> Readiness:
        """Ready is who has listed everything, the leader as well as who stands by."""
        if not self._is_listed:
            return Readiness(False, "listing" + (f": {self._why_not_listed}" if self._why_not_listed else ""))
        return Readiness(True, "leading" if self._leadership.is_held else "standing by")

    # --- life --------------------------------------------------------------------------------------------------------

    def is_relevant(self, kind: WatchedKind, namespace: str) -> bool:
        """Whether objects of the kind in the namespace ("" = it has none) count."""
        if kind.of_gateway:
            return namespace == self.settings.namespace
        return kind.is_global or self.settings.watches(namespace)

    async def start(self) -> None:
        """Begin to wait for the Lease.

        Raises where there is no way to the API server at all (no kubeconfig), or an address cannot be listened on.
        """
        # Two clients, for a crowd of status writes must not hold up the renewal of the Lease.
        work, election = await kube_client.client(), await kube_client.client()
        self._open.push_async_callback(election.close)
        client = kube_client.Kube(work, lambda: self._leadership.is_held, self._metrics)
        await self._open.enter_async_context(client)
        reconciler = Reconciler(client, self.observed, self.settings, self._metrics)
        self._leadership = Leadership(election, self.settings, reconciler.lead, self._metrics)
        auditor = Resync(client, self.observed, self.settings)
        self._tasks = [
            asyncio.create_task(self._leadership.run(), name="leadership"),
            asyncio.create_task(self._list(auditor), name="listing"),
        ]
        for task in self._tasks:
            task.add_done_callback(_ended)
        server = OperatorServer(self._http, self, self._metrics)
        await server.start()
        self._open.push_async_callback(server.stop)

    async def stop(self) -> None:
        """Stop working and give the Lease back."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._open.aclose()

    async def _list(self, auditor: Resync) -> None:
        """Who stands by answers reviews too, and must know when it can."""
        while not self._is_listed:
            try:
                await auditor.complete()
                self._is_listed = True
            except kube_client.KubeError as error:
                self._why_not_listed = str(error)
                logger.warning("listing: %s", error, extra={"outage": outage_log.kind_of(error)})
                await asyncio.sleep(_RETRY)


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


def _ended(task: asyncio.Task[None]) -> None:
    """A mistake of ours. A process that only seems to work is worse than none: Kubernetes starts another."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("the task %s failed; ending", task.get_name(), exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
