"""Shadowing: a match that an older route has too gets no request. Reported, not refused: the older route may go."""

from collections.abc import Hashable

from inferway_contract.document import Match
from inferway_operator.compiler.draft import Draft


def find(draft: Draft) -> None:
    """Report the matches of younger routes that belong to an older one."""
    owners: dict[Hashable, tuple[str, str]] = {}
    for route in draft.routes:
        if route.is_barred:
            continue  # it takes no requests
        new: dict[Hashable, tuple[str, str]] = {}
        identity = route.source.meta.id
        for rule in route.rules:
            for match in rule.matches:
                if match.precedence is not None:
                    continue  # an invalid match, which may be another one once it is corrected
                key = _key(match)
                for hostname in route.hostnames or ("",):
                    owner = owners.get((hostname, key))
                    if owner is None:
                        new.setdefault((hostname, key), (identity, rule.source.name))
                    else:
                        host = hostname or "any host"
                        route.shadowed.append(
                            f"rule {rule.source.name}: {match.path.type} {match.path.value} on {host} "
                            f"belongs to the older {owner[0]} rule {owner[1]}"
                        )
        owners.update(new)  # not earlier: within a route the order of rules decides


def _key(match: Match) -> Hashable:
    # Cheaper than hashing models, and independent of the order of conditions.
    return (
        match.path.type,
        match.path.value,
        match.method,
        tuple(sorted((entry.name, entry.type, entry.value) for entry in match.headers)),
        tuple(sorted((entry.name, entry.type, entry.value) for entry in match.query)),
    )
