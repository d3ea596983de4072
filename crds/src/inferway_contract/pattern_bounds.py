"""Bounds on the sum of pattern sizes: what the patterns of one tenant cost both planes, in memory and time.

A size is that of `patterns.size`: a unit takes about 1 µs to compile and 16 bytes of memory. The sum of a route counts each
pattern once. Routes are admitted in the order of the document, oldest first: a route that is refused takes no place of others.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from inferway_contract import patterns
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

    def __str__(self) -> str:
        subject = {"route": "this route", "namespace": "all routes of this namespace", "document": "all routes"}
        return (
            f"the patterns of {subject[self.scope]} take {self.size} instructions of RE2, and may take {self.limit}: "
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


class PatternSums:
    """The sums of one document, route by route."""

    def __init__(self, bounds: PatternBounds = DEFAULT) -> None:
        self.bounds = bounds
        self.document = 0
        self.namespaces: dict[str, int] = {}

    def admit(self, namespace: str, size: int) -> Excess | None:
        """Count a route with this sum of sizes, or return why it does not fit; it is then not counted."""
        bounds = self.bounds
        if size > bounds.route:
            return Excess("route", size, bounds.route)
        of_namespace = self.namespaces.get(namespace, 0) + size
        if of_namespace > bounds.namespace:
            return Excess("namespace", of_namespace, bounds.namespace)
        if self.document + size > bounds.document:
            return Excess("document", self.document + size, bounds.document)
        self.namespaces[namespace] = of_namespace
        self.document += size
        return None
