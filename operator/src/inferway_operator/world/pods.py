"""Which pods of the data plane count, and what each says of itself. Pure: the time is a parameter."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from inferway_contract.acknowledgement import LEASE_SECONDS, Acknowledgement

MUTE_SECONDS: Final = 30
"""A pod that is Ready for so long and has no Lease is behind, and not starting: it may not write one, or hangs."""

_SILENT: Final = Acknowledgement()


@dataclass(frozen=True, slots=True)
class PodState:
    """A Pod that the data plane's selector matches."""

    name: str
    uid: str
    is_terminating: bool
    is_ready: bool
    ready_since: float = float("inf")
    """Seconds, by the same clock as `now`: since when it was seen to be Ready, and a Lease could have been heard of."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The Lease of a pod: named after it, held by its uid."""

    name: str
    holder: str
    renewed: float
    """Seconds, by the same clock as the `now` that it is compared with; minus infinity = no renewal was heard yet."""
    said: Acknowledgement
    awaited: float = float("-inf")
    """Since when, by the same clock, a renewal could have been heard: who was not listened to is not silent."""


@dataclass(frozen=True, slots=True)
class PodAck:
    """A pod that counts, and its last word."""

    pod: str
    said: Acknowledgement
    is_expired: bool
    """Its Lease was not renewed in time: it hangs, or cannot be heard. What it said may be over."""
    is_unjudged: bool = False
    """Its Lease is known, and was not listened to for long enough: what it says is no proof, and its silence neither."""

    is_mute: bool = False
    """It has been Ready for long and never wrote a Lease."""

    @property
    def is_starting(self) -> bool:
        """It was never heard of, or has nothing to serve yet. Its Pod and its Lease come by two ways, in any order."""
        return not self.is_expired and not self.is_mute and not self.said.config and not self.said.refused


def counted(pods: Iterable[PodState], leases: Iterable[LeaseState], now: float) -> tuple[PodAck, ...]:
    """The pods that `Programmed` asks, in the order of their names.

    One counts that is not Terminating, and that is Ready, or serves a config and renews its Lease: a pod that is briefly
    not Ready still serves what it has. A Ready pod whose Lease has expired counts, as one that is behind; once it is not
    Ready no request reaches it, and it counts no more.
    """
    by_name = {lease.name: lease for lease in leases}
    found = []
    for pod in sorted(pods, key=lambda pod: (pod.name, pod.uid)):
        lease = by_name.get(pod.name)
        if lease is not None and lease.holder != pod.uid:
            lease = None  # of a pod that had this name before
        is_heard = lease is None or now - lease.renewed <= LEASE_SECONDS
        is_unjudged = lease is not None and not is_heard and now - lease.awaited <= LEASE_SECONDS
        is_expired = not is_heard and not is_unjudged
        said = lease.said if lease is not None else _SILENT
        serves = lease is not None and not is_expired and said.config != ""
        is_mute = lease is None and pod.is_ready and now - pod.ready_since > MUTE_SECONDS
        if not pod.is_terminating and (pod.is_ready or serves):
            found.append(PodAck(pod.name, said, is_expired, is_unjudged, is_mute))
    return tuple(found)
