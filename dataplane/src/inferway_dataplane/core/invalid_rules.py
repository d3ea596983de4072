"""Rules of the live documents that reject requests because of an error in the configuration."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from inferway_contract import protection
from inferway_contract.document import Refusal, Rule
from inferway_dataplane.core.steps import Steps

_NO_DETAIL: Final = "does not resolve; see the condition ResolvedRefs"


class InvalidRule(NamedTuple):
    """One reason why a rule rejects requests, all of them or the share of a backend. `reason`: a problem's code."""

    route: str
    rule: str
    reason: str
    detail: str


class Credential(NamedTuple):
    """A rule that needs a secret."""

    route: str
    rule: str
    file: str


def protecting(rule: Rule, is_readable: Callable[[str], bool], excess: str = "") -> Steps[Rule]:
    """Return the rule; one with patterns that are not compiled here refuses what it may have been written for.

    The operator has accepted them, but RE2 may be of another version here, or the operator. `excess`: why no pattern of the
    rule is compiled, "" = those are that `is_readable` allows.
    """
    matches = []
    for match in rule.matches:
        matches.append(protection.unread(match) if excess else protection.protected(match, is_readable))
        yield
    if all(new is old for new, old in zip(matches, rule.matches, strict=True)):
        return rule
    detail = excess or "RE2 of this data plane rejects a pattern of its matches"
    if rule.refusal is not None:
        detail = rule.refusal.detail
    return Rule(name=rule.name, matches=tuple(matches), refusal=Refusal(code="invalid_rule", detail=detail))


def in_rule(route: str, rule: Rule) -> Iterator[InvalidRule]:
    """Yield the reasons that the document gives."""
    if rule.refusal is not None:
        yield InvalidRule(route, rule.name, rule.refusal.code, rule.refusal.detail)
    for index, backend in enumerate(rule.backends):
        if backend.refusal is not None:
            yield InvalidRule(
                route, rule.name, backend.refusal, f"backendRefs[{index}]: {backend.detail or _NO_DETAIL}"
            )


def credentials_of(route: str, rule: Rule) -> Iterator[Credential]:
    """Yield the secrets that a rule needs."""
    return (Credential(route, rule.name, backend.auth.file) for backend in rule.backends if backend.auth is not None)


def without_secret(needed: Iterable[Credential], objections: dict[str, str]) -> Iterator[InvalidRule]:
    """Yield the rules whose secret is missing. `objections`: why, by file, for those that are."""
    for credential in needed:
        if credential.file in objections:
            yield InvalidRule(
                credential.route,
                credential.rule,
                "credential_missing",
                f"secret {credential.file}: {objections[credential.file]}",
            )
