"""Running: the parts of one operator process, put together."""

import asyncio
import logging
import os
import signal
from contextlib import AsyncExitStack

from inferway_operator import kube
from inferway_operator.entries import Kind
from inferway_operator.leadership import Leadership
from inferway_operator.observed import Observed
from inferway_operator.reconciler import Reconciler
from inferway_operator.settings import OperatorSettings

logger = logging.getLogger(__name__)


class Operator:
    """What the handlers feed: what is observed, and behind it the work, while this process leads."""

    def __init__(self, settings: OperatorSettings) -> None:
        self.settings = settings
        self.observed = Observed()
        self._open = AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    def is_relevant(self, kind: Kind, namespace: str) -> bool:
        """Whether objects of the kind in the namespace ("" = it has none) count."""
        if kind.of_gateway:
            return namespace == self.settings.namespace
        return kind.is_global or self.settings.watches(namespace)

    async def start(self) -> None:
        """Begin to wait for the Lease. Raises where there is no way to the API server at all (no kubeconfig)."""
        # Two clients, for a crowd of status writes must not hold up the renewal of the Lease.
        work, election = await kube.client(), await kube.client()
        self._open.push_async_callback(election.close)
        client = await self._open.enter_async_context(kube.Kube(work, lambda: leadership.is_held))
        reconciler = Reconciler(client, self.observed, self.settings)
        leadership = Leadership(election, self.settings, reconciler.lead)
        self._task = asyncio.create_task(leadership.run(), name="leadership")
        self._task.add_done_callback(_ended)

    async def stop(self) -> None:
        """Stop working and give the Lease back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._open.aclose()


def _ended(task: asyncio.Task[None]) -> None:
    """Election has ended though nobody asked: a mistake of ours. A process that only seems to work is worse than none."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("the election failed; ending", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
