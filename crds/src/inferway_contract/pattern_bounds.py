"""Bounds on the sum of pattern sizes: what the patterns of one tenant cost both planes, in memory and time.

A size is that of `patterns.size`: a unit takes about 1 µs to compile and 16 bytes of memory. The sum of a route counts each
pattern once. Routes of a namespace are admitted in the order of the document, oldest first: a route that is refused takes no
place of others. What all namespaces may take together is shared fairly, so that no namespace takes the share of another.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from inferway_contract import fairness, patterns
from inferway_contract.document import Match


@dataclass(frozen=True, slots=True)
class PatternBounds:
    """Largest sums of pattern sizes, in instructions."""

    route: int = 50_000
    namespace: int = 500_000
    document: int = 2_000_000


DEFAULT: Final = PatternBounds()
"""The operator's, unless its settings have others."""
HARD: Final = PatternBounds(route=200_000, namespace=2_000_000, document=8_000_000)
"""A data-plane pod's own, whatever the operator publishes; settings of the operator may not exceed them."""


@dataclass(frozen=True, slots=True)
class Excess:
    """A route that does not fit. `size`: the sum that it would have made, at least."""

    scope: Literal["route", "namespace", "document"]
    size: int
    limit: int
    """For a document it is the namespace's share of it."""

    def __str__(self) -> str:
        subject = "this route" if self.scope == "route" else "all routes of this namespace"
        share = ", its share of what all namespaces may take" if self.scope == "document" else ""
        return (
            f"the patterns of {subject} take {self.size} instructions of RE2, and may take {self.limit}{share}: "
            "use fewer or simpler patterns"
        )


def patterns_of(matches: Iterable[Match]) -> Iterator[str]:
    """Yield the patterns of matches, repeated ones too."""
    for match in matches:
        if match.path.type == "RegularExpression":
            yield match.path.value
        for condition in (*match.headers, *match.query):
            if condition.type == "RegularExpression":
                yield condition.value


def sum_of(written: Iterable[str], limit: int, size: Callable[[str], int] = patterns.size) -> int:
    """Return the sum of the sizes of distinct patterns. Beyond `limit` it stops and compiles nothing more."""
    total = 0
    for pattern in dict.fromkeys(written):
        total += size(pattern)
        if total > limit:
            break
    return total


def excesses(routes: Sequence[tuple[str, int | None]], bounds: PatternBounds) -> list[Excess | None]:
    """Return why each route does not fit; None = it does.

    `routes`: namespace and sum of sizes, the oldest first; None = not measured, which does not fit.
    """
    result = _over(routes, bounds, bounds.namespace, "namespace")
    used: dict[str, int] = {}
    for (namespace, size), excess in zip(routes, result, strict=True):
        used[namespace] = used.get(namespace, 0) + (0 if excess else size or 0)
    if sum(used.values()) <= bounds.document:
        return result
    share = fairness.fair_level(used.values(), bounds.document)
    # A namespace within its share keeps what it has: a smaller limit would admit other routes of it.
    cut = {namespace for namespace, size in used.items() if size > share}
    shared = _over(routes, bounds, share, "document")
    return [
        of_share if namespace in cut else excess
        for (namespace, _), of_share, excess in zip(routes, shared, result, strict=True)
    ]


def _over(
    routes: Iterable[tuple[str, int | None]], bounds: PatternBounds, most: int, scope: Literal["namespace", "document"]
) -> list[Excess | None]:
    used: dict[str, int] = {}
    result: list[Excess | None] = []
    for namespace, size in routes:
        total = most + 1 if size is None else used.get(namespace, 0) + size
        if size is not None and size > bounds.route:
            result.append(Excess("route", size, bounds.route))
        elif total > most and size != 0:
            result.append(Excess(scope, total, most))
        else:
            used[namespace] = total
            result.append(None)
    return result
