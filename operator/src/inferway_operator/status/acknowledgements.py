"""Acknowledgements of the data-plane pods, and the part of the config of each object that they carry."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from inferway_contract.acknowledgement import LEASE_SECONDS
from inferway_operator.publish.published_state import ParsedConfig
from inferway_operator.watch.object_cache import ObjectCache
from inferway_operator.world import pods as world_pods


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """A snapshot of Pods and Leases."""

    counted: tuple[world_pods.PodAck, ...]
    """Pods that count for `Programmed`."""
    reported: frozenset[str]
    """Revisions of the configs that any pod serves; a pod that does not count may still have clients."""
    formats: frozenset[tuple[int, ...]]
    """Formats of documents that the pods read, each once."""
    live: int
    """Pods that take requests, at least 1: the divisor of a limit's local share."""
    next_expiry: float
    """Seconds until the state of a pod changes by time alone; infinite if none will."""

    @classmethod
    def of(cls, observed: ObjectCache, now: float) -> Self:
        """Read Pods and Leases from the cache; `now` in monotonic seconds."""
        pods = observed.pods()
        leases = observed.leases()
        return cls(
            counted=world_pods.counted(pods, leases, now),
            reported=frozenset(lease.acknowledgement.config for lease in leases if lease.acknowledgement.config),
            formats=world_pods.known_formats(pods, leases),
            live=max(1, sum(pod.is_ready and not pod.is_terminating for pod in pods)),
            next_expiry=_next_expiry(pods, leases, now),
        )

    @property
    def has_unresponsive(self) -> bool:
        """Whether a pod that counts seems to be unresponsive."""
        return any(ack.is_expired or ack.never_reported for ack in self.counted)


def _next_expiry(pods: Iterable[world_pods.PodState], leases: Iterable[world_pods.LeaseState], now: float) -> float:
    ends = [since + LEASE_SECONDS for lease in leases for since in (lease.renewed, lease.awaited_since)]
    ends += [pod.ready_since + world_pods.NEVER_REPORTED_SECONDS for pod in pods if pod.is_ready]
    remaining = (end - now for end in ends)
    # A little later, so that the next look is after the expiry.
    return min((seconds + 0.1 for seconds in remaining if seconds >= 0), default=float("inf"))


def carried(key: str, configs: Mapping[str, ParsedConfig]) -> Callable[[str], str | None]:
    """Return a lookup from revision to the hash of `key` there; "" = absent, None = unknown config."""

    def look_up(revision: str) -> str | None:
        config = configs.get(revision)
        return None if config is None else config.fragments.get(key, "")

    return look_up
