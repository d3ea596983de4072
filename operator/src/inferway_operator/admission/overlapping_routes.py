"""The routes that may overlap with one that is not stored yet, reduced to the rules that may. Broader than the compiler's answer."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from inferway_contract import paths
from inferway_contract.document import PathMatch
from inferway_contract.resources import matches as written
from inferway_operator.compiler import claims, overlaps
from inferway_operator.compiler.claims import Segments
from inferway_operator.world.objects import RouteObject, RuleObject

_MOST_MATCHES: Final = 100
"""Of other namespaces' routes, and of its own: a review names ten routes, and must not grow with what others have stored."""


def find(candidate: RouteObject, routes: Sequence[RouteObject]) -> list[RouteObject]:
    """Return the oldest routes with a hostname and a path that may meet the candidate's.

    Those of its own namespace decide which matches of others get requests at all. Without any of others there are none.
    """
    region = _Region(candidate)
    related = [
        route
        for route in sorted(routes, key=lambda route: route.meta.age)
        if route.meta.id != candidate.meta.id and region.has_host_of(route)
    ]
    home = candidate.meta.namespace
    others = _reduced(region, (route for route in related if route.meta.namespace != home), len(routes))
    if not others:
        return []
    return others + _reduced(region, (route for route in related if route.meta.namespace == home), len(routes))


def _reduced(region: "_Region", related: Iterable[RouteObject], routes: int) -> list[RouteObject]:
    """Return the first of the routes that have a path in the region, reduced to the rules that do."""
    reduced: list[RouteObject] = []
    matches = 0
    for route in related:
        rules = region.rules_of(route, routes)
        matches += sum(len(rule.matches) for rule in rules)
        if reduced and matches > _MOST_MATCHES:
            break
        if rules:
            reduced.append(replace(route, rules=rules))
    return reduced


def merged(*parts: Iterable[RouteObject]) -> list[RouteObject]:
    """Return each route once, with the rules that any part has of it."""
    routes: dict[str, RouteObject] = {}
    for route in (route for part in parts for route in part):
        before = routes.get(route.meta.id)
        if before is not None:
            rules = {rule.index: rule for rule in (*before.rules, *route.rules)}
            route = replace(route, rules=tuple(rules[index] for index in sorted(rules)))
        routes[route.meta.id] = route
    return list(routes.values())


class _Region:
    """The hosts and paths of a route."""

    def __init__(self, route: RouteObject) -> None:
        self._hostnames = frozenset(route.hostnames or ("",))
        self._wildcards = frozenset(name for hostname in self._hostnames for name in overlaps.wildcards_of(hostname))
        self._has_wildcard = any(hostname.startswith("*.") for hostname in self._hostnames)
        self._paths = {path for paths_ in _paths(route) for path in paths_}
        self._above = {path[:length] for path in self._paths for length in range(len(path))}

    def has_host_of(self, route: RouteObject) -> bool:
        """Return whether a hostname is the same, or one is below the other."""
        for hostname in route.hostnames or ("",):
            if hostname in self._hostnames or hostname in self._wildcards:
                return True
            if self._has_wildcard and not self._hostnames.isdisjoint(overlaps.wildcards_of(hostname)):
                return True
        return False

    def rules_of(self, route: RouteObject, routes: int) -> tuple[RuleObject, ...]:
        """Return the rules with a path that is one of the region, above or below one. `routes`: how many are stored."""
        paths_of_rules = zip(route.rules, _known_paths(route, routes), strict=True)
        return tuple(rule for rule, paths_ in paths_of_rules if any(map(self._has, paths_)))

    def _has(self, path: Segments) -> bool:
        return path in self._above or any(path[:length] in self._paths for length in range(len(path) + 1))


Paths = tuple[frozenset[Segments], ...]
"""Where the paths of each rule are found."""

_known: dict[str, tuple[RouteObject, Paths]] = {}


def _known_paths(route: RouteObject, routes: int) -> Paths:
    """Return the paths of a stored route, computed once for each version. `routes`: how many are stored."""
    known = _known.get(route.meta.id)
    if known is None or known[0] is not route:
        if len(_known) > 2 * routes:
            _known.clear()  # most are of routes that were deleted
        known = _known[route.meta.id] = (route, _paths(route))
    return known[1]


def _paths(route: RouteObject) -> Paths:
    """Return where its paths are found; () is the root, also of what is not wholly readable."""
    return tuple(
        frozenset(
            _segments(match.path.type, match.path.value) if isinstance(match, written.Match) else ()
            for _, match in rule.matches
        )
        for rule in route.rules
    )


# Called for every match of the world at every review, with mostly the same paths.
@lru_cache(maxsize=65536)
def _segments(kind: written.PathType, value: str) -> Segments:
    if kind == "RegularExpression":
        return claims.segments(PathMatch(type=kind, value=value))
    try:
        form = paths.match_path(value.encode()).decode()
    except (paths.AmbiguousPath, UnicodeDecodeError):
        return ()
    return claims.segments(PathMatch(type=kind, value=form.rstrip("/") or "/" if kind == "PathPrefix" else form))
