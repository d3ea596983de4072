"""Shadowing: a match that an older route or an earlier rule has too gets no request.

It is reported, not refused: the other one may go.
"""

from collections.abc import Hashable

from inferway_contract.document import Match
from inferway_contract.field_errors import FieldError
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import Draft, RuleDraft


def find(draft: Draft) -> None:
    """Report matches that belong to an older route, or to an earlier rule of their route."""
    owners: dict[Hashable, tuple[str, str]] = {}
    for route in draft.routes:
        if route.is_barred:
            continue  # it takes no requests
        new: dict[Hashable, RuleDraft] = {}
        for rule in route.rules:
            for (index, _), match in zip(rule.source.matches, rule.matches, strict=True):
                if match.precedence is not None:
                    continue  # an invalid match, which may be another one once it is corrected
                key = key_of(match)
                earlier: RuleDraft | None = None
                for hostname in route.hostnames or ("",):
                    owner = owners.get((hostname, key))
                    if owner is None:
                        first = new.setdefault((hostname, key), rule)
                        earlier = first if first is not rule else earlier
                    else:
                        host = hostname or "any host"
                        route.shadowed.append(
                            f"rule {rule.source.name}: {match.path.type} {match.path.value} on {host} "
                            f"belongs to the older {owner[0]} rule {owner[1]}"
                        )
                if earlier is not None:
                    _advise(rule, index, earlier)
        identity = route.source.meta.id
        owners.update((place, (identity, rule.source.name)) for place, rule in new.items())


def _advise(rule: RuleDraft, index: int, earlier: RuleDraft) -> None:
    message = (
        f"rule {messages.quoted(earlier.source.name)} has the same match, and gets the requests: remove one of them"
    )
    rule.advice.append(FieldError((*rule.path, "matches", index), message))


def key_of(match: Match) -> Hashable:
    """Return what is equal for two matches that fit the same requests."""
    # Cheaper than hashing models, and independent of the order of conditions.
    return (
        match.path.type,
        match.path.value,
        match.method,
        tuple(sorted((entry.name, entry.type, entry.value) for entry in match.headers)),
        tuple(sorted((entry.name, entry.type, entry.value) for entry in match.query)),
    )
