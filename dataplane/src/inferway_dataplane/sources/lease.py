"""The pod's own Lease: by it the operator knows that the pod lives, what it serves, and what it refused.

It is not removed at the end. A pod that stops serves until its last request is done, a container that restarts is the same
pod, and when the pod goes its owner reference takes the Lease along; removing it would need one more permission, and one
more request that a stop would wait for.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from inferway_contract.acknowledgement import (
    GATEWAY_LABEL,
    LEASE_SECONDS,
    RENEW_SECONDS,
    Acknowledgement,
    annotations,
)
from inferway_dataplane.sources.api import Gone, Leases, Missing, Unavailable
from inferway_dataplane.sources.api_health import ApiHealth
from inferway_dataplane.sources.backoff import Backoff

log = logging.getLogger("inferway.cluster")

_WHAT: Final = "the Lease"


@dataclass(frozen=True, slots=True)
class Pod:
    """Whose Lease it is."""

    name: str
    uid: str
    gateway: str


def lease_of(pod: Pod, said: Acknowledgement, now: datetime) -> dict[str, Any]:
    """The Lease as it is to be."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": pod.name,
            "labels": {GATEWAY_LABEL: pod.gateway},
            "annotations": annotations(said),
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}],
        },
        "spec": {
            "holderIdentity": pod.uid,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": now.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        },
    }


class LeaseRenewer:
    """Says what it was last given: every `every` seconds, and at once when that changes. Traffic knows nothing of it."""

    def __init__(
        self,
        leases: Leases,
        pod: Pod,
        contact: ApiHealth,
        back_off: Backoff,
        every: float = RENEW_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._leases = leases
        self._pod = pod
        self._contact = contact
        self._back_off = back_off
        self._every = every
        self._now = now
        self._said = Acknowledgement()
        self._changed = asyncio.Event()
        self._told = ""

    def say(self, said: Acknowledgement) -> None:
        """Of this pod, from now on."""
        if said != self._said:
            self._said = said
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled. Failures are told once while they are the same, and tried again; not those of an outage that
        concerns all who talk to the API server, which is told by `ApiHealth`."""
        while True:
            self._changed.clear()
            pause = self._every
            try:
                await self._leases.apply_lease(self._pod.name, lease_of(self._pod, self._said, self._now()))
            except (Unavailable, Missing, Gone) as failure:
                if isinstance(failure, Unavailable):
                    error = failure
                else:
                    error = Unavailable(str(failure) or "there is no such namespace", is_answer=True)
                self._failed(error)
                await asyncio.sleep(self._back_off.pause(error.retry_after))
                continue
            except Exception:
                # A mistake of ours must not end the renewals.
                log.exception("renewing the Lease failed in a way that is not foreseen")
                await asyncio.sleep(pause)
                continue
            self._worked()
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _failed(self, error: Unavailable) -> None:
        if not error.is_answer:
            self._contact.failed(_WHAT, error)
            return
        self._contact.answered(_WHAT)
        if not self._contact.trouble and str(error) != self._told:
            more = {"mend": error.mend} if error.mend else {}
            log.warning("the Lease cannot be renewed, traffic goes on", extra={"error": str(error), **more})
            self._told = str(error)

    def _worked(self) -> None:
        self._back_off.reset()
        self._contact.answered(_WHAT)
        if self._told:
            log.info("the Lease is renewed again")
        self._told = ""
