"""Shadows: a match that an older route has too never sees a request. Said, not refused: the older may go one day."""

from collections.abc import Hashable

from inferway_contract.document import Match
from inferway_operator.compiler.draft import Draft


def find(draft: Draft) -> None:
    """Tell younger routes which of their matches belong to an older one."""
    owners: dict[Hashable, tuple[str, str]] = {}
    for route in draft.routes:
        if route.is_barred:
            continue  # it takes no request from anybody
        own: dict[Hashable, tuple[str, str]] = {}
        identity = route.source.meta.id
        for rule in route.rules:
            for match in rule.matches:
                key = _key(match)
                for hostname in route.hostnames or ("",):
                    owner = owners.get((hostname, key))
                    if owner is None:
                        own.setdefault((hostname, key), (identity, rule.source.name))
                    else:
                        host = hostname or "any host"
                        route.shadowed.append(
                            f"rule {rule.source.name}: {match.path.type} {match.path.value} on {host} "
                            f"belongs to the older {owner[0]} rule {owner[1]}"
                        )
        owners.update(own)  # only now: within a route the order of rules decides, and is the author's own affair


def _key(match: Match) -> Hashable:
    # Cheaper than hashing models, and blind to the order in which conditions are written.
    return (
        match.path.type,
        match.path.value,
        match.method,
        tuple(sorted((entry.name, entry.type, entry.value) for entry in match.headers)),
        tuple(sorted((entry.name, entry.type, entry.value) for entry in match.query)),
    )
