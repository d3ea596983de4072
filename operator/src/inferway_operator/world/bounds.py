"""Bounds of what the objects of one namespace, and of all, may take of the data plane. Without I/O."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from inferway_contract import pattern_bounds


class Usage(NamedTuple):
    """What objects take, or may take."""

    patterns: int = 0
    """Sum of the sizes of patterns (`inferway_contract.patterns`), in instructions of RE2."""
    matches: int = 0
    """Sum over routes: hostnames, at least 1, times matches; and each condition on a header or query parameter."""
    limits: int = 0
    """Sum over policies of the number of limits times the number of rules that they apply to."""
    backends: int = 0
    """Number of backendRefs."""
    bytes: int = 0
    """Sum of the sizes of specs as compact JSON."""


NOTHING: Final = Usage()
UNBOUNDED: Final = Usage(*[1 << 62] * len(Usage._fields))
OF_NAMESPACE: Final = Usage(
    pattern_bounds.DEFAULT.namespace, matches=50_000, limits=50_000, backends=20_000, bytes=4 << 20
)
OF_ALL: Final = Usage(
    pattern_bounds.DEFAULT.document, matches=500_000, limits=500_000, backends=200_000, bytes=64 << 20
)
"""Of all namespaces together."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits; those of all namespaces together are shared fairly (docs/decisions/0014)."""

    route_patterns: int = pattern_bounds.DEFAULT.route
    namespace: Usage = OF_NAMESPACE
    total: Usage = OF_ALL
    namespace_refusals: int = 256 << 10
    """Bytes of the document that the refused routes of a namespace take."""
    total_refusals: int = 16 << 20
    """Those of all namespaces together."""


DEFAULT: Final = Bounds()
