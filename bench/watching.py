"""Samples of a gateway process: memory, descriptors, and its own gauges, over time."""

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
    """The gauges of `GAUGES`; empty if the admin port did not answer."""


def sums(text: str) -> dict[str, float]:
    """Return the sum of each sample name over its labels, from Prometheus text."""
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
    return totals


def count(text: str, name: str, **labels: str) -> float:
    """Return the sum of the samples with this name and these labels, from Prometheus text."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def metrics(admin_port: int) -> dict[str, float]:
    """Return the sums of /metrics. Raises `clients.NotAcceptedError`, `clients.UnansweredError`."""
    answer = await clients.once(admin_port, clients.request("/metrics", close=True))
    return sums(answer.body.decode())


async def sample(pid: int, admin_port: int) -> Sample:
    """Sample memory and descriptors, then request the gauges, so that this request is not counted."""
    resident, descriptors, at = procfs.memory_of(pid).resident, procfs.descriptors_of(pid), monotonic()
    try:
        totals = await metrics(admin_port)
    except (clients.NotAcceptedError, clients.UnansweredError):
        return Sample(at, resident, descriptors, {})
    return Sample(at, resident, descriptors, {name: totals[name] for name in GAUGES})


def slope(samples: Sequence[Sample]) -> float:
    """Return the growth of resident memory in bytes per second, by least squares; 0 with less than two samples."""
    if len(samples) < 2:
        return 0.0
    return statistics.linear_regression(
        [one.at for one in samples], [one.resident for one in samples]
    ).slope  # fmt: skip


def quantile(values: Iterable[float], share: float) -> float:
    """Return the value that this share of the values does not exceed; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
