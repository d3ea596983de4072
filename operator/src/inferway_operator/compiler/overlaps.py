"""Overlaps: a route takes requests that fit a match of a route of another namespace too.

It is reported to both, and not refused: namespaces may share a host on purpose. The hostname policy can forbid it. A route
takes a path if its match comes first in the order of precedence (`claims`), or its hostname is below the other's wildcard.
A route without hostnames has no host of its own: what takes from it on a named host is not reported.

Routes that did not change are compared once: those that may meet each other are an area, whose result a memo keeps.
The time is bounded: each match is compared with the matches above it, `_MOST_COMPARED` at most, and with fewer where all
the matches together would take too long: namespaces share the comparisons fairly.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sized
from itertools import islice
from typing import Final

from inferway_contract.fairness import fair_level
from inferway_operator.compiler import shadowing
from inferway_operator.compiler.claims import Claim, ClaimTree, meet
from inferway_operator.compiler.draft import Draft, KnownArea, Noted, RouteDraft

_Member = tuple[RouteDraft, tuple[str, ...]]
"""A route, and those of its hostnames on which namespaces may meet."""

_MOST_COMPARED: Final = 32
"""Matches that one match is compared with, in one host. Those with the fewest conditions come first, then the oldest."""
_MOST_TOGETHER: Final = 100_000
"""Comparisons of all matches, shared fairly by their namespaces: about 0.2 s, at every change of any object."""
_LEAST_COMPARED: Final = 4
_MOST_WILDCARDS: Final = 8
"""Wildcards above a hostname that are looked at, the nearest first."""
_MOST_REPORTED: Final = 10
"""Other routes that a route names, in each direction."""


def find(draft: Draft) -> None:
    """Report what a route takes from another namespace's, to both."""
    above = _wildcards_above(_owners(draft.routes))
    members = _areas(draft.routes, above)
    areas: dict[str, KnownArea] = {}
    claims: dict[str, list[Claim]] = {}
    for name, routes in members.items():
        basis = tuple((id(route.source), names, tuple(above[name] for name in names)) for route, names in routes)
        known = draft.memo.areas.get(name)
        if known is None or known.basis != basis:
            claims[name] = list(_claims(routes))
            known = KnownArea(basis, tuple(route.source for route, _ in routes), *_demands(claims[name], above))
        areas[name] = known
    most_compared = _most_compared(areas.values())
    for name, routes in members.items():
        area = areas[name]
        most = {namespace: most_compared[namespace] for namespace in area.demands}
        if area.noted and area.most_compared == most:
            for (route, _), (lost, gained) in zip(routes, area.noted, strict=True):
                route.lost, route.gained = lost, gained
        else:
            _compare(claims[name] if name in claims else list(_claims(routes)), above, most)
            area.most_compared, area.noted = most, tuple((route.lost, route.gained) for route, _ in routes)
    draft.memo.areas = areas


def _areas(routes: Iterable[RouteDraft], above: Mapping[str, Iterable[str]]) -> dict[str, list[_Member]]:
    """Divide the routes under these hostnames into those that may meet, by the first hostname of the oldest one.

    Routes under one hostname are together, and those under the wildcards above it.
    """
    nearest = {hostname: hostname for hostname in above}

    def root(hostname: str) -> str:
        while (step := nearest[hostname]) != hostname:
            nearest[hostname] = nearest[step]
            hostname = step
        return hostname

    members = [
        (route, shared)
        for route in routes
        if route.rules and not route.is_barred
        if (shared := tuple(hostname for hostname in route.hostnames or ("",) if hostname in above))
    ]
    for hostname, wildcards in above.items():
        for wildcard in wildcards:
            nearest[root(wildcard)] = root(hostname)
    for _, (first, *others) in members:
        for other in others:
            nearest[root(other)] = root(first)
    areas: dict[str, list[_Member]] = {}
    for member in members:
        areas.setdefault(root(member[1][0]), []).append(member)
    return {area[0][1][0]: area for area in areas.values()}


def _compare(claims: Iterable[Claim], above: Mapping[str, Iterable[str]], most_compared: Mapping[str, int]) -> None:
    """Report what there is among the claims of an area; they are the oldest first."""
    at: dict[str, ClaimTree] = defaultdict(ClaimTree)
    below: dict[str, ClaimTree] = defaultdict(ClaimTree)
    for claim in sorted(claims, key=lambda claim: (claim.conditions, claim.age)):
        at[claim.hostname].add(claim)
        for wildcard in above[claim.hostname]:
            below[wildcard].add(claim)
    for claim in claims:
        for other, taker in islice(_compared(claim, at, below, above), most_compared[claim.namespace]):
            if meet(claim, other):
                is_first = claim is taker or (taker is None and claim.order < other.order)
                _report(claim if is_first else other, other if is_first else claim)


def _compared(
    claim: Claim, at: Mapping[str, ClaimTree], below: Mapping[str, ClaimTree], above: Mapping[str, Iterable[str]]
) -> Iterator[tuple[Claim, Claim | None]]:
    """Yield what a claim is compared with, each with the one of both that takes the requests; None = the first in order."""
    for other in islice(at[claim.hostname].above(claim), _MOST_COMPARED):
        yield other, None
    for wildcard in above[claim.hostname]:
        for other in islice(at[wildcard].above(claim), _MOST_COMPARED):
            yield other, claim
    if claim.hostname in below:
        for other in islice(below[claim.hostname].above(claim), _MOST_COMPARED):
            yield other, other


def _demands(claims: Iterable[Claim], above: Mapping[str, Sized]) -> tuple[Counter[str], Counter[str]]:
    """Return the number of claims by namespace, and the comparisons that they need."""
    numbers: Counter[str] = Counter()
    demands: Counter[str] = Counter()
    for claim in claims:
        numbers[claim.namespace] += 1
        demands[claim.namespace] += _MOST_COMPARED * (2 + len(above[claim.hostname]))
    return numbers, demands


def _most_compared(areas: Collection[KnownArea]) -> dict[str, int]:
    """Return by namespace with how many matches each of its matches is compared."""
    numbers: Counter[str] = Counter()
    demands: Counter[str] = Counter()
    for area in areas:
        numbers.update(area.matches)
        demands.update(area.demands)
    share = fair_level(list(demands.values()), _MOST_TOGETHER)
    return {
        namespace: demand if demand <= share else max(_LEAST_COMPARED, share // numbers[namespace])
        for namespace, demand in demands.items()
    }


def wildcards_of(hostname: str) -> Iterator[str]:
    """Yield the wildcards that cover a hostname and are not the hostname itself, the nearest first."""
    rest = hostname.removeprefix("*.")
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"


def _owners(routes: Iterable[RouteDraft]) -> dict[str, set[str]]:
    """Return the namespaces that have each hostname."""
    owners: dict[str, set[str]] = {}
    for route in routes:
        if not route.is_barred and route.rules:
            for hostname in route.hostnames or ("",):
                owners.setdefault(hostname, set()).add(route.source.meta.namespace)
    return owners


def _wildcards_above(owners: Mapping[str, set[str]]) -> dict[str, tuple[str, ...]]:
    """Return the hostnames on which namespaces may meet, each with the wildcards above it that others have."""
    above: dict[str, tuple[str, ...]] = {}
    for hostname, namespaces in owners.items():
        wildcards = (name for name in wildcards_of(hostname) if len(owners.get(name, namespaces) | namespaces) > 1)
        nearest = tuple(islice((name for name in wildcards if name in owners), _MOST_WILDCARDS))
        if nearest or len(namespaces) > 1:
            above[hostname] = nearest
    for wildcard in {name for nearest in above.values() for name in nearest}:
        above.setdefault(wildcard, ())
    return above


def _claims(members: Iterable[_Member]) -> Iterator[Claim]:
    """Yield the claims of routes, the oldest first; without those that get no request (`shadowing`)."""
    taken: set[Hashable] = set()
    age = 0
    for route, hostnames in members:
        for rule in route.rules:
            for match in rule.matches:
                key = shadowing.key_of(match) if match.precedence is None else None
                for hostname in hostnames:
                    if key is not None:
                        place = (hostname, key)
                        if place in taken:
                            continue
                        taken.add(place)
                    age += 1
                    yield Claim(route, rule, match, hostname, age)


def _report(taker: Claim, other: Claim) -> None:
    is_certain = taker.is_certain and other.is_certain
    _note(taker.route.gained, taker, is_certain, "takes" if is_certain else "may take", "requests of", other)
    _note(other.route.lost, other, is_certain, "loses" if is_certain else "may lose", "requests to", taker)


def _note(noted: Noted, claim: Claim, is_certain: bool, verb: str, preposition: str, other: Claim) -> None:
    """Note the first of what there is with each other route; what is certain replaces what may be."""
    route = other.route.source.meta.id
    if route in noted:
        if noted[route][0] or not is_certain:
            return
    elif len(noted) > _MOST_REPORTED:
        return
    elif len(noted) == _MOST_REPORTED:
        noted[route] = True, f"{verb} {preposition} more routes"
        return
    rules = claim.rule.source.name, other.rule.source.name
    noted[route] = is_certain, f"rule {rules[0]}: {claim} {verb} {preposition} {route} rule {rules[1]}: {other}"
