"""The pod's own Lease: by it the operator knows that the pod lives, what it serves, and what it refused.

It is not removed at the end. A pod that stops serves until its last request is done, a container that restarts is the same
pod, and when the pod goes its owner reference takes the Lease along; removing it would need one more permission, and one
more request that a stop would wait for.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from inferway_contract import acknowledgement
from inferway_contract.acknowledgement import FORMATS, GATEWAY_LABEL, LEASE_SECONDS, RENEW_SECONDS, Acknowledgement
from inferway_contract.problem_log import ProblemLog
from inferway_kube.api_health import ApiHealth
from inferway_kube.backoff import Backoff
from inferway_kube.client import Client, path
from inferway_kube.errors import ApiError
from inferway_kube.leader_election import LEASES, timestamp

log = logging.getLogger("inferway.cluster")

_CALLER: Final = "the Lease"


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod that owns the Lease."""

    name: str
    uid: str
    gateway: str


def lease_of(pod: Pod, acknowledged: Acknowledgement, now: datetime) -> dict[str, Any]:
    """Return the Lease as it is to be."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": pod.name,
            "labels": {GATEWAY_LABEL: pod.gateway},
            "annotations": acknowledgement.annotations(acknowledged),
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}],
        },
        "spec": {"holderIdentity": pod.uid, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": timestamp(now)},
    }


class LeaseRenewer:
    """Writes the last acknowledgement: every `every` seconds, and at once when it changes. Traffic does not depend on it."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        pod: Pod,
        health: ApiHealth,
        backoff: Backoff,
        every: float = RENEW_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._where = path(LEASES, "leases", namespace, pod.name)
        self._pod = pod
        self._health = health
        self._backoff = backoff
        self._every = every
        self._now = now
        self._acknowledged = Acknowledgement(formats=FORMATS)
        self._changed = asyncio.Event()
        self._problem = ProblemLog(log)

    def acknowledge(self, acknowledged: Acknowledgement) -> None:
        """Write this from now on."""
        if acknowledged != self._acknowledged:
            self._acknowledged = acknowledged
            self._changed.set()

    async def run(self) -> None:
        """Run until cancelled. Each kind of failure is logged once, and retried."""
        while True:
            self._changed.clear()
            try:
                await self._client.apply(self._where, lease_of(self._pod, self._acknowledged, self._now()))
            except ApiError as error:
                self._failed(error)
                await asyncio.sleep(self._backoff.pause(error.retry_after))
                continue
            except Exception:
                # A bug must not end the renewals.
                log.exception("unexpected error while renewing the Lease")
                await asyncio.sleep(self._every)
                continue
            self._backoff.reset()
            self._health.answered(_CALLER)
            if self._problem.clear():
                log.info("the Lease is renewed again")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._changed.wait()

    def _failed(self, error: ApiError) -> None:
        """Log it, unless it is part of an outage that `ApiHealth` logs."""
        if not error.is_answer:
            self._health.failed(_CALLER, error)
            return
        self._health.answered(_CALLER)
        if not self._health.trouble:
            remedy = {"mend": error.remedy} if error.remedy else {}
            message = "the Lease cannot be renewed, traffic continues"
            self._problem.report(logging.WARNING, message, error=str(error), **remedy)
