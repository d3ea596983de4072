"""Claims: one match under one hostname, as far as it is compared with those of other namespaces. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from inferway_contract import protection
from inferway_contract.document import Match, PathMatch, ValueMatch
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import RouteDraft, RuleDraft

Segments = tuple[str, ...]

MOST_SEGMENTS: Final = 16
"""Of a path, by which claims are found; deeper ones are compared all the same."""
_RANK: Final = {"Exact": 0, "RegularExpression": 1, "PathPrefix": 2}
"""As in the data plane's table (docs/api.md, "Precedence")."""


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A match of a rule under a hostname ("" = any host)."""

    route: RouteDraft
    rule: RuleDraft
    match: Match
    hostname: str
    age: int
    """Position in the order of all claims."""

    @property
    def namespace(self) -> str:
        """Namespace of the route."""
        return self.route.source.meta.namespace

    @property
    def order(self) -> tuple[int, int, bool, int, int, int]:
        """Sort key within a hostname: the first gets the requests."""
        place = self.match.precedence or protection.precedence_of(self.match)
        return (
            _RANK[place.path_type],
            -place.path_length,
            not place.has_method,
            -place.headers,
            -place.query,
            self.age,
        )

    @property
    def conditions(self) -> int:
        """Number of conditions in addition to the path."""
        return (self.match.method is not None) + len(self.match.headers) + len(self.match.query)

    @property
    def is_certain(self) -> bool:
        """Whether a request exists that fits it, and each other claim of the same path without conditions."""
        return self.match.path.type != "RegularExpression" and not self.conditions

    def __str__(self) -> str:
        path = f"{self.match.path.type} {messages.quoted(self.match.path.value)}"
        more = " with conditions" if self.conditions else ""
        return f"{path}{more} on {self.hostname or 'any host'}"


def meet(one: Claim, other: Claim) -> bool:
    """Return whether a request may fit both paths and all conditions; hostnames are not compared.

    For patterns only their literal beginning counts, so true may be wrong there, and false is right.
    """
    return _paths_meet(one.match.path, other.match.path) and not _exclude(one.match, other.match)


def segments(path: PathMatch) -> Segments:
    """Return the segments of a path by which it is found: of a pattern those of its literal beginning."""
    value = path.value
    if path.type == "RegularExpression":
        value = literal_beginning(value).rpartition("/")[0]
    return tuple(value.split("/", MOST_SEGMENTS + 1)[1 : MOST_SEGMENTS + 1]) if value not in ("", "/") else ()


# Every change compiles the whole world, with mostly the same patterns.
@lru_cache(maxsize=8192)
def literal_beginning(pattern: str) -> str:
    """Return the text that every path begins with that a pattern matches."""
    literal, has_case = protection.literal_beginning(pattern)
    return literal if has_case else ""


def _paths_meet(one: PathMatch, other: PathMatch) -> bool:
    if one.type == "Exact" and other.type == "Exact":
        return one.value == other.value
    if one.type != "RegularExpression" and other.type != "RegularExpression":
        return _holds(one, other.value) or _holds(other, one.value)
    return _may_begin(one, other) and _may_begin(other, one)


def _holds(prefix: PathMatch, value: str) -> bool:
    return prefix.type == "PathPrefix" and (prefix.value in ("/", value) or value.startswith(f"{prefix.value}/"))


def _may_begin(pattern: PathMatch, other: PathMatch) -> bool:
    """Whether a path of `other` may begin as those of the pattern do; true for what is not a pattern."""
    if pattern.type != "RegularExpression":
        return True
    literal = literal_beginning(pattern.value)
    if other.type == "Exact":
        return other.value.startswith(literal)
    value = literal_beginning(other.value) if other.type == "RegularExpression" else other.value
    if value.startswith(literal):
        return True
    return _holds(other, literal) if other.type == "PathPrefix" else literal.startswith(value)


def _exclude(one: Match, other: Match) -> bool:
    """Whether no request fits the conditions of both."""
    if one.method is not None and other.method is not None and one.method != other.method:
        return True
    return _values_exclude(one.headers, other.headers) or _values_exclude(one.query, other.query)


def _values_exclude(one: Iterable[ValueMatch], other: Iterable[ValueMatch]) -> bool:
    wanted = {entry.name: entry.value for entry in one if entry.type == "Exact"}
    return any(entry.type == "Exact" and wanted.get(entry.name, entry.value) != entry.value for entry in other)


class _Node:
    """A segment: claims that end here, by namespace, and what follows."""

    __slots__ = ("cones", "following", "points")

    def __init__(self) -> None:
        self.cones: dict[str, list[Claim]] = {}
        """Those that have paths below."""
        self.points: dict[str, list[Claim]] = {}
        self.following: dict[str, _Node] = {}


class ClaimTree:
    """Claims by the segments of their paths."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, claim: Claim) -> None:
        """Add a claim. Those with fewer conditions come first in `above` if they are added first."""
        path = segments(claim.match.path)
        node = self._root
        for segment in path:
            node = node.following.setdefault(segment, _Node())
        is_point = claim.match.path.type == "Exact" and len(path) < MOST_SEGMENTS
        (node.points if is_point else node.cones).setdefault(claim.namespace, []).append(claim)

    def above(self, claim: Claim) -> Iterator[Claim]:
        """Yield claims of other namespaces whose path is that of the claim, or may hold it."""
        node = self._root
        for segment in segments(claim.match.path):
            yield from _of_others(node.cones, claim.namespace)
            following = node.following.get(segment)
            if following is None:
                return
            node = following
        yield from _of_others(node.cones, claim.namespace)
        yield from _of_others(node.points, claim.namespace)


def _of_others(claims: dict[str, list[Claim]], namespace: str) -> Iterator[Claim]:
    for owner, listed in claims.items():
        if owner != namespace:
            yield from listed
