"""A gateway process watched from outside: memory, descriptors, and its own gauges, over time."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import monotonic

from prometheus_client.parser import text_string_to_metric_families

from bench import clients, procfs

GAUGES = ("connections", "upstream_connections", "requests_in_flight")


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    """Monotonic seconds."""
    resident: int
    """Bytes."""
    descriptors: int
    gauges: dict[str, float]
    """Those of `GAUGES`; none when the admin port did not answer."""


def sums(text: str) -> dict[str, float]:
    """Prometheus text -> the sum of each sample name over its labels."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def count(text: str, name: str, **labels: str) -> float:
    """Prometheus text -> the sum of one sample name over those that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def metrics(admin_port: int) -> dict[str, float]:
    """What /metrics says now. Raises `clients.NotAcceptedError`, `clients.UnansweredError`."""
    answer = await clients.once(admin_port, clients.request("/metrics", close=True))
    return sums(answer.body.decode())


async def sample(pid: int, admin_port: int) -> Sample:
    """Memory and descriptors are read before the gateway is asked, so that asking is not among them."""
    resident, descriptors, at = procfs.memory_of(pid).resident, procfs.descriptors_of(pid), monotonic()
    try:
        told = await metrics(admin_port)
    except (clients.NotAcceptedError, clients.UnansweredError):
        return Sample(at, resident, descriptors, {})
    return Sample(at, resident, descriptors, {name: told[name] for name in GAUGES})


def slope(samples: Sequence[Sample]) -> float:
    """Bytes of resident memory a second, by least squares; 0 with less than two samples."""
    if len(samples) < 2:
        return 0.0
    return statistics.linear_regression(
        [one.at for one in samples], [one.resident for one in samples]
    ).slope  # fmt: skip


def quantile(values: Iterable[float], share: float) -> float:
    """The value that this share of them does not exceed; 0 when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
