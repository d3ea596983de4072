"""Evaluates a record of requests: the share that failed, and the end of a fault's effect. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request of a client."""

    at: float
    """Seconds between the start of the fault and the sending of the request; negative = before."""
    seconds: float
    """Seconds until its answer, or until the client aborted it."""
    is_good: bool
    """Answered 200, whole, and in time."""
    has_failed: bool = False
    """Not answered 200, or not whole."""


def share_bad(outcomes: Sequence[Outcome], start: float, end: float) -> float:
    """Return the share of bad ones among the requests sent in [start, end); 0 without requests."""
    results = [one.is_good for one in outcomes if start <= one.at < end]
    return results.count(False) / len(results) if results else 0.0


def share_failed(outcomes: Sequence[Outcome], start: float, end: float) -> float:
    """Return the share of failed ones, however slow, among the requests sent in [start, end); 0 without requests."""
    results = [one.has_failed for one in outcomes if start <= one.at < end]
    return results.count(True) / len(results) if results else 0.0


def seconds_until_calm(
    outcomes: Sequence[Outcome], until: float, window: float = 1.0, tolerated: float = 0.05, step: float = 0.1
) -> float | None:
    """Return when the fault's effect ends: up to `until`, no window of a second exceeds the tolerated share of bad ones.

    0 = the fault had no effect; None = it lasted to the end. A single probe of an ejected endpoint is tolerated.
    """
    calm_from = 0.0
    for number in range(round((until - window) / step) + 1):
        start = number * step
        if share_bad(outcomes, start, start + window) > tolerated:
            calm_from = start + step
    return calm_from if calm_from + window <= until else None
