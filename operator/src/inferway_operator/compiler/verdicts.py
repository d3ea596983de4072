"""Verdicts: the conditions of each object, except those that depend on the data plane."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from inferway_contract.conditions import Condition, ConditionType, Reason
from inferway_contract.field_errors import FieldError
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import Draft, PolicyDraft, RouteDraft
from inferway_operator.world.objects import Meta

_TRUE: Final = (
    *(Reason.ACCEPTED, Reason.RESOLVED_REFS, Reason.TARGETS_RESOLVED, Reason.SHADOWED, Reason.OVERLAPS),
    # The valid rules are served; as in Gateway API, the reason shows that they are not all.
    Reason.PARTIALLY_INVALID,
)
"""Reasons of true conditions."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One object's conditions, and the errors behind them with their locations."""

    meta: Meta
    conditions: tuple[Condition, ...]
    errors: tuple[FieldError, ...] = ()
    """Errors of the object itself: the list behind `Accepted`."""
    unresolved: tuple[FieldError, ...] = ()
    """References that do not resolve: the list behind `ResolvedRefs` or `TargetsResolved`."""
    idle: tuple[FieldError, ...] = ()
    """Those of `unresolved` that exist and have no ready endpoint."""
    shadowed: tuple[str, ...] = ()
    """A message for each match that an older route has too: the list behind `Shadowed`."""
    overlaps: tuple[str, ...] = ()
    """A message for each other namespace's route that one of the two takes requests of: the list behind `Overlaps`."""
    left_out: tuple[str, ...] = ()
    """Messages about endpoints that get no requests."""
    advice: tuple[FieldError, ...] = ()
    """Valid fields that probably mean something else."""


def verdicts_of(draft: Draft) -> tuple[Verdict, ...]:
    """Return a verdict for every route, then for every policy, the oldest first."""
    return (*map(_route_verdict, draft.routes), *map(_policy_verdict, draft.policies))


def _route_verdict(route: RouteDraft) -> Verdict:
    of_rules = (error for rule in route.rules for error in rule.errors)
    excess = () if route.excess is None else (route.excess,)
    errors = (*route.source.errors, *route.forbidden, *excess, *of_rules)
    conditions = [_accepted(route, errors), _resolved(route)]
    if route.shadowed:
        conditions.append(_condition(ConditionType.SHADOWED, Reason.SHADOWED, messages.joined(route.shadowed)))
    overlaps = tuple(text for _, text in (*route.lost.values(), *route.gained.values()))
    if overlaps:
        message = messages.joined(overlaps)
        conditions.append(_condition(ConditionType.OVERLAPS, Reason.OVERLAPS, message))
    unresolved = tuple(error for _, error in route.unresolved)
    advice = tuple(item for rule in route.rules for item in rule.advice)
    idle = tuple(error for reason, error in route.unresolved if reason is Reason.NO_ENDPOINTS)
    return Verdict(
        route.source.meta,
        tuple(conditions),
        errors,
        unresolved,
        idle,
        shadowed=tuple(route.shadowed),
        overlaps=overlaps,
        left_out=tuple(route.left_out),
        advice=advice,
    )


def _accepted(route: RouteDraft, errors: tuple[FieldError, ...]) -> Condition:
    served = [rule for rule in route.rules if not rule.errors]
    if not errors:
        message = f"{messages.counted(served, 'rule')} accepted{_broken_policies(route)}"
        return _condition(ConditionType.ACCEPTED, Reason.ACCEPTED, message)
    if route.forbidden:
        # First: to fix the other errors would not be enough.
        reason = Reason.HOSTNAME_NOT_ALLOWED
    elif route.source.is_too_large or route.excess is not None:
        reason = Reason.TOO_LARGE
    elif route.source.errors or not served:
        reason = Reason.INVALID
    else:
        reason = Reason.PARTIALLY_INVALID
    # A route keeps the hostnames that it may claim.
    prefix = "served under its other hostnames only: " if route.forbidden and not route.is_barred else ""
    return _condition(ConditionType.ACCEPTED, reason, prefix + messages.joined(errors))


def _broken_policies(route: RouteDraft) -> str:
    """Name the invalid policies that make a valid route refuse requests."""
    # Rules may share one long tuple: it is looked at once.
    distinct = {id(policies): policies for rule in route.rules if (policies := rule.broken_policies)}
    broken = dict.fromkeys(policy.id for policies in distinct.values() for policy in policies)
    if not broken:
        return ""
    return f"; requests refused until fixed: RateLimitPolicy {messages.joined(broken).replace('; ', ', ')}"


def _resolved(route: RouteDraft) -> Condition:
    reasons = [reason for reason, _ in route.unresolved]
    if not reasons:
        has_invalid = route.excess is not None or any(rule.source.rule is None for rule in route.rules)
        message = f"all backendRefs {'of valid rules ' if has_invalid else ''}resolve"
        if route.left_out:
            message = f"{message}; {messages.joined(route.left_out)}"
        return _condition(ConditionType.RESOLVED_REFS, Reason.RESOLVED_REFS, message)
    # An unknown name needs a change of the route; an endpoint may just be starting.
    lasting = [reason for reason in reasons if reason is not Reason.NO_ENDPOINTS]
    message = messages.joined([*(error for _, error in route.unresolved), *route.left_out])
    return _condition(ConditionType.RESOLVED_REFS, (lasting or reasons)[0], message)


def _policy_verdict(policy: PolicyDraft) -> Verdict:
    errors = (*policy.source.errors, *(() if policy.excess is None else (policy.excess,)))
    return Verdict(policy.source.meta, tuple(_policy_conditions(policy, errors)), errors, tuple(policy.missing))


def _policy_conditions(policy: PolicyDraft, errors: tuple[FieldError, ...]) -> Iterator[Condition]:
    source = policy.source
    if source.spec is not None and not errors:
        limits = messages.counted(source.spec.limits, "limit")
        yield _condition(ConditionType.ACCEPTED, Reason.ACCEPTED, f"{limits} accepted")
    else:
        fallback = "the last published limits apply" if policy.published else "its targets refuse all requests"
        reason = Reason.TOO_LARGE if source.is_too_large or policy.excess is not None else Reason.INVALID
        yield _condition(ConditionType.ACCEPTED, reason, f"{fallback} until fixed: {messages.joined(errors)}")
    if source.targets is None:
        # Fails closed: any route may be a target.
        message = "spec.targetRefs invalid: the policy applies to every route of the namespace"
    else:
        message = messages.joined(policy.missing) or "all targets exist"
    is_resolved = source.targets is not None and not policy.missing
    reason = Reason.TARGETS_RESOLVED if is_resolved else Reason.TARGET_NOT_FOUND
    yield _condition(ConditionType.TARGETS_RESOLVED, reason, message)


def _condition(kind: ConditionType, reason: Reason, message: str) -> Condition:
    return Condition(type=kind, status=reason in _TRUE, reason=reason, message=message)
