"""Claims: one match under one hostname, as far as it is compared with those of other namespaces. Pure."""

import re
from collections.abc import Iterator
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
_PLAIN: Final = re.compile("[A-Za-z0-9/._~-]{1,256}")
"""Characters that stay what they are when a text becomes a pattern."""


class Claim:
    """A match of a rule under a hostname ("" = any host)."""

    __slots__ = ("_order", "age", "conditions", "hostname", "match", "namespace", "route", "rule", "segments")

    def __init__(self, route: RouteDraft, rule: RuleDraft, match: Match, hostname: str, age: int) -> None:
        """`age`: position in the order of all claims."""
        self.route = route
        self.rule = rule
        self.match = match
        self.hostname = hostname
        self.age = age
        self.namespace = route.source.meta.namespace
        self.segments = segments(match.path)
        self.conditions = (match.method is not None) + len(match.headers) + len(match.query)
        self._order: tuple[int, ...] = ()

    @property
    def order(self) -> tuple[int, ...]:
        """Sort key within a hostname: the first gets the requests."""
        if not self._order:
            place = self.match.precedence or protection.precedence_of(self.match)
            self._order = (
                _RANK[place.path_type],
                -place.path_length,
                not place.has_method,
                -place.headers,
                -place.query,
                self.age,
            )
        return self._order

    @property
    def is_certain(self) -> bool:
        """Whether every other claim without conditions that shares a path with it shares a request."""
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
    """Return a text that every path begins with that a pattern matches; the same for what protects a broken pattern."""
    literal, has_case = protection.literal_beginning(pattern)
    plain = _PLAIN.match(literal)
    return plain[0] if has_case and plain is not None else ""


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


def _values_exclude(one: tuple[ValueMatch, ...], other: tuple[ValueMatch, ...]) -> bool:
    if not one or not other:
        return False
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
        node = self._root
        for segment in claim.segments:
            node = node.following.setdefault(segment, _Node())
        is_point = claim.match.path.type == "Exact" and len(claim.segments) < MOST_SEGMENTS
        (node.points if is_point else node.cones).setdefault(claim.namespace, []).append(claim)

    def above(self, claim: Claim) -> Iterator[Claim]:
        """Yield claims of other namespaces whose path is that of the claim, or may hold it."""
        node = self._root
        for segment in claim.segments:
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
