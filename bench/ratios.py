"""From measurements to medians and from medians to ratios. Pure.

A ratio above 1 means that Inferway does more work with the core than the other proxy. It is the quotient of requests per
second if both proxies kept their core busy. If one of them did not (wrk or the origin was the bottleneck: the case is
load-bound), requests per second would favour the slower one. Then the ratio is the quotient of CPU time per request. The
same holds if other processes used the proxy's core (the case is disturbed).
Ratios are taken within a round, between measurements close in time; the result is the median of the rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import measure, peers

BUSY_ENOUGH = 95.0
DISTURBED = 10.0
"""Percent of the proxy core used by other processes; above it, requests per second depend mostly on them."""
HEADLINE_CONNECTIONS = 32
OURS = "inferway"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    case: peers.Case
    connections: int
    peer: str


Measurements = Mapping[Key, Sequence[measure.Measurement]]


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    @property
    def percent(self) -> float:
        """Half the distance between the extremes, in percent of the median."""
        return 50.0 * (self.high - self.low) / self.median if self.median else 0.0


@dataclass(frozen=True, slots=True)
class Ratio:
    value: Spread
    basis: str
    """`req/s` or `cpu us/request`."""
    load_bound: tuple[str, ...]
    """The proxies whose case was load-bound."""
    disturbed: tuple[str, ...]


def is_load_bound(rounds: Sequence[measure.Measurement]) -> bool:
    return statistics.median(one.proxy_busy for one in rounds) < BUSY_ENOUGH


def is_disturbed(rounds: Sequence[measure.Measurement]) -> bool:
    return statistics.median(one.foreign for one in rounds) > DISTURBED


def ratio(ours: Sequence[measure.Measurement], theirs: Sequence[measure.Measurement], name: str) -> Ratio:
    both = ((OURS, ours), (name, theirs))
    load_bound = tuple(peer for peer, rounds in both if is_load_bound(rounds))
    disturbed = tuple(peer for peer, rounds in both if is_disturbed(rounds))
    pairs = list(zip(ours, theirs, strict=True))
    if load_bound or disturbed:
        # A pass shorter than a tick of CPU time has no cost to divide by; such a round is ignored.
        quotients = [other.cpu_us / ours.cpu_us for ours, other in pairs if ours.cpu_us > 0]
        return Ratio(Spread.of(quotients or [0.0]), "cpu us/request", load_bound, disturbed)
    quotients = [ours.per_second / other.per_second for ours, other in pairs]
    return Ratio(Spread.of(quotients), "req/s", load_bound, disturbed)


def name_of(case: peers.Case, peer: str) -> str:
    return f"{'hits' if case is peers.Case.HIT else 'proxied'}_vs_{peer}"


def all_ratios(measurements: Measurements) -> dict[tuple[str, int], Ratio]:
    """Return the ratios of Inferway to each other proxy, for the same case and number of connections."""
    by_name = {}
    for key in measurements:
        ours = Key(key.case, key.connections, OURS)
        if key.peer != OURS and ours in measurements:
            name = name_of(key.case, key.peer)
            by_name[name, key.connections] = ratio(measurements[ours], measurements[key], key.peer)
    return by_name


def headline(ratios: Mapping[tuple[str, int], Ratio]) -> dict[str, float]:
    """Return the field `ratios` of `latest.json`, without ratios that were not measured."""
    names = ("proxied_vs_envoy", "proxied_vs_nginx", "hits_vs_nginx")
    return {
        name: round(ratios[name, HEADLINE_CONNECTIONS].value.median, 4)
        for name in names
        if (name, HEADLINE_CONNECTIONS) in ratios
    }
