"""Overlaps: a route takes requests that fit a match of a route of another namespace too.

It is reported to both, and not refused: namespaces may share a host on purpose. The hostname policy can forbid it. A route
takes a path if its match comes first in the order of precedence (`claims`), or its hostname is below the other's wildcard.
A route without hostnames has no host of its own: what takes from it on a named host is not reported.

The time is bounded: each match is compared with the matches above it, `_MOST_COMPARED` at most, and with fewer where all
the matches together would take too long: namespaces share the comparisons fairly.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sized
from itertools import islice
from typing import Final

from inferway_contract.fairness import fair_level
from inferway_operator.compiler import shadowing
from inferway_operator.compiler.claims import Claim, ClaimTree, meet
from inferway_operator.compiler.draft import Draft, RouteDraft

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
    if not above:
        return
    claims = list(_claims(draft.routes, above))
    at: dict[str, ClaimTree] = {hostname: ClaimTree() for hostname in above}
    below: dict[str, ClaimTree] = {hostname: ClaimTree() for wildcards in above.values() for hostname in wildcards}
    for claim in sorted(claims, key=lambda claim: (claim.conditions, claim.age)):
        at[claim.hostname].add(claim)
        for wildcard in above[claim.hostname]:
            below[wildcard].add(claim)
    most_compared = _most_compared(claims, above)
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


def _most_compared(claims: Iterable[Claim], above: Mapping[str, Sized]) -> dict[str, int]:
    """Return by namespace with how many matches each of its matches is compared."""
    numbers: Counter[str] = Counter()
    demands: Counter[str] = Counter()
    for claim in claims:
        numbers[claim.namespace] += 1
        demands[claim.namespace] += _MOST_COMPARED * (2 + len(above[claim.hostname]))
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


def _claims(routes: Iterable[RouteDraft], hostnames: Mapping[str, object]) -> Iterator[Claim]:
    """Yield the claims under these hostnames, the oldest first; without those that get no request (`shadowing`)."""
    taken: set[Hashable] = set()
    age = 0
    for route in routes:
        if route.is_barred:
            continue
        shared = [hostname for hostname in route.hostnames or ("",) if hostname in hostnames]
        for rule in route.rules if shared else ():
            for match in rule.matches:
                for hostname in shared:
                    if match.precedence is None:
                        place = (hostname, shadowing.key_of(match))
                        if place in taken:
                            continue
                        taken.add(place)
                    age += 1
                    yield Claim(route, rule, match, hostname, age)


def _report(taker: Claim, other: Claim) -> None:
    is_certain = taker.is_certain and other.is_certain
    _note(taker.route.gained, taker, is_certain, "takes" if is_certain else "may take", "requests of", other)
    _note(other.route.lost, other, is_certain, "loses" if is_certain else "may lose", "requests to", taker)


def _note(
    noted: dict[str, tuple[bool, str]], claim: Claim, is_certain: bool, verb: str, preposition: str, other: Claim
) -> None:
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
