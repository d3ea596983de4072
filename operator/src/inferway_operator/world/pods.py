"""The data-plane pods that count, and what each has acknowledged. Pure: the time is a parameter."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from inferway_contract.acknowledgement import LEASE_SECONDS, Acknowledgement

NEVER_REPORTED_SECONDS: Final = 30
"""A pod that is Ready this long without a Lease counts as behind: it may not write one, or hangs."""


@dataclass(frozen=True, slots=True)
class PodState:
    """A Pod that the data plane's selector matches."""

    name: str
    uid: str
    is_terminating: bool
    """It is being deleted, or has ended."""
    is_ready: bool
    ready_since: float = float("inf")
    """Seconds, by the clock of `now`: since when the Pod is Ready and its Lease could have been received."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The Lease of a pod: named after it, held by its uid."""

    name: str
    holder: str
    renewed: float
    """Seconds, by the clock of `now`: the last renewal; minus infinity = none received yet."""
    acknowledgement: Acknowledgement
    awaited_since: float = float("-inf")
    """Seconds, by the clock of `now`: since when a renewal could have been received."""


@dataclass(frozen=True, slots=True)
class PodAck:
    """A pod that counts, and its last acknowledgement."""

    pod: str
    acknowledgement: Acknowledgement
    is_expired: bool
    """Its Lease was not renewed in time: the pod hangs or is cut off, and its acknowledgement may be outdated."""
    in_grace_period: bool = False
    """No renewal was received yet, and it is too early for one: neither the acknowledgement nor its absence counts."""
    never_reported: bool = False
    """It has been Ready for `NEVER_REPORTED_SECONDS` and never wrote a Lease."""

    @property
    def is_starting(self) -> bool:
        """It has not reported yet, or has no config to serve."""
        reported = self.acknowledgement
        return not self.is_expired and not self.never_reported and not reported.config and not reported.refused


def known_formats(pods: Iterable[PodState], leases: Iterable[LeaseState]) -> frozenset[tuple[int, ...]]:
    """Return the formats of documents that pods read: of those that count, and of those that start and have a Lease.

    A pod without a Lease is not known yet, and one that is terminating keeps the document that it has.
    """
    uids = {(pod.name, pod.uid) for pod in pods if not pod.is_terminating}
    return frozenset(lease.acknowledgement.formats for lease in leases if (lease.name, lease.holder) in uids)


def counted(pods: Iterable[PodState], leases: Iterable[LeaseState], now: float) -> tuple[PodAck, ...]:
    """Return the pods that count for `Programmed`, sorted by name. `now`: seconds, by any clock.

    A pod counts if it is not terminating and is Ready, or serves a config and keeps renewing its Lease (a briefly unready
    pod still serves). A Ready pod with an expired Lease counts as behind; once unready it gets no requests and does not count.
    """
    by_name = {lease.name: lease for lease in leases}
    acks = []
    for pod in sorted(pods, key=lambda pod: (pod.name, pod.uid)):
        lease = by_name.get(pod.name)
        if lease is not None and lease.holder != pod.uid:
            lease = None  # of an earlier pod with this name
        is_renewed = lease is None or now - lease.renewed <= LEASE_SECONDS
        in_grace_period = lease is not None and not is_renewed and now - lease.awaited_since <= LEASE_SECONDS
        is_expired = not is_renewed and not in_grace_period
        acknowledgement = lease.acknowledgement if lease is not None else Acknowledgement()
        is_serving = lease is not None and not is_expired and acknowledgement.config != ""
        never_reported = lease is None and pod.is_ready and now - pod.ready_since > NEVER_REPORTED_SECONDS
        if not pod.is_terminating and (pod.is_ready or is_serving):
            acks.append(PodAck(pod.name, acknowledgement, is_expired, in_grace_period, never_reported))
    return tuple(acks)
