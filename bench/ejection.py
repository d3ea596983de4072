"""Reading a record of requests: how many failed when, and from when on a fault is no longer seen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request of a client."""

    at: float
    """Seconds since the fault began, when it was sent; negative = before."""
    seconds: float
    """Until its answer, or until it was given up."""
    is_good: bool
    """Answered 200, whole, and in time."""
    has_failed: bool = False
    """Not answered 200, or not whole."""


def share_bad(outcomes: Sequence[Outcome], start: float, end: float) -> float:
    """Of the requests sent in [start, end); 0 when there were none."""
    found = [one.is_good for one in outcomes if start <= one.at < end]
    return found.count(False) / len(found) if found else 0.0


def share_failed(outcomes: Sequence[Outcome], start: float, end: float) -> float:
    """Of the requests sent in [start, end), those without a good answer, however long it took; 0 when there were none."""
    found = [one.has_failed for one in outcomes if start <= one.at < end]
    return found.count(True) / len(found) if found else 0.0


def seconds_until_calm(
    outcomes: Sequence[Outcome], until: float, window: float = 1.0, tolerated: float = 0.05, step: float = 0.1
) -> float | None:
    """From when on no window of one second, up to `until`, has more than the tolerated share of bad requests.

    0 = the fault was never seen; None = it was seen to the end. A single probe of an ejected endpoint is tolerated.
    """
    calm_from = 0.0
    for number in range(round((until - window) / step) + 1):
        start = number * step
        if share_bad(outcomes, start, start + window) > tolerated:
            calm_from = start + step
    return calm_from if calm_from + window <= until else None
