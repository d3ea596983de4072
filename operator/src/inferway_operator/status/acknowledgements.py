"""Acknowledgements: what the data plane's pods say, and which object's part of the config each of them carries."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from inferway_contract.acknowledgement import LEASE_SECONDS
from inferway_operator.publish.published_state import ParsedConfig
from inferway_operator.watch.object_cache import ObjectCache
from inferway_operator.world import pods as world_pods


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """One look at Pods and Leases."""

    counted: tuple[world_pods.PodAck, ...]
    """Pods that `Programmed` asks."""
    reported: frozenset[str]
    """Revisions of the configs that any pod serves, also one that does not count: it may still have clients."""
    live: int
    """Pods that take requests: the local share of a limit is counted by them. At least 1."""
    next_expiry: float
    """Seconds until time alone makes another of a pod that counts now; infinite when there is none."""

    @classmethod
    def of(cls, observed: ObjectCache, now: float) -> Self:
        """`now` in monotonic seconds."""
        pods = observed.pods()
        leases = observed.leases()
        return cls(
            counted=world_pods.counted(pods, leases, now),
            reported=frozenset(lease.said.config for lease in leases if lease.said.config),
            live=max(1, sum(pod.is_ready and not pod.is_terminating for pod in pods)),
            next_expiry=_next_expiry(pods, leases, now),
        )

    @property
    def has_silent(self) -> bool:
        """Whether a pod that counts seems to be silent."""
        return any(ack.is_expired or ack.is_mute for ack in self.counted)


def _next_expiry(pods: Iterable[world_pods.PodState], leases: Iterable[world_pods.LeaseState], now: float) -> float:
    ends = [since + LEASE_SECONDS for lease in leases for since in (lease.renewed, lease.awaited)]
    ends += [pod.ready_since + world_pods.MUTE_SECONDS for pod in pods if pod.is_ready]
    rests = (end - now for end in ends)
    # A little later than it is due, so that it has expired when it is looked at.
    return min((rest + 0.1 for rest in rests if rest >= 0), default=float("inf"))


def carried(key: str, configs: Mapping[str, ParsedConfig]) -> Callable[[str], str | None]:
    """For `Kind/namespace/name`: its hash in the config of a revision; "" = absent, None = nobody knows that config."""

    def look_up(revision: str) -> str | None:
        config = configs.get(revision)
        return None if config is None else config.fragments.get(key, "")

    return look_up
