"""Verdicts: what the author of each object is told."""

from collections.abc import Iterator
from dataclasses import dataclass

from inferway_contract.conditions import Condition, ConditionType, Reason
from inferway_contract.field_errors import FieldError
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import Draft, PolicyDraft, RouteDraft
from inferway_operator.world.objects import Meta


@dataclass(frozen=True, slots=True)
class Verdict:
    """One object's conditions, and the same mistakes with their places for who can point at them."""

    meta: Meta
    conditions: tuple[Condition, ...]
    complaints: tuple[FieldError, ...] = ()
    """What is wrong with the object itself: the list behind `Accepted`."""
    unresolved: tuple[FieldError, ...] = ()
    """What it names and does not find: the list behind `ResolvedRefs` or `TargetsResolved`."""
    shadowed: tuple[str, ...] = ()
    """A sentence for each match that an older route has too: the list behind `Shadowed`."""


def verdicts_of(draft: Draft) -> tuple[Verdict, ...]:
    """A verdict for every route, then for every policy, the oldest first."""
    return (*map(_judge_route, draft.routes), *map(_judge_policy, draft.policies))


def _judge_route(route: RouteDraft) -> Verdict:
    of_rules = (complaint for rule in route.rules for complaint in rule.complaints)
    complaints = (*route.source.complaints, *route.forbidden, *of_rules)
    conditions = [_accepted(route, complaints), _resolved(route)]
    if route.shadowed:
        told = messages.joined(route.shadowed)
        conditions.append(Condition(type=ConditionType.SHADOWED, status=True, reason=Reason.SHADOWED, message=told))
    unresolved = tuple(complaint for _, complaint in route.unresolved)
    return Verdict(route.source.meta, tuple(conditions), complaints, unresolved, tuple(route.shadowed))


def _accepted(route: RouteDraft, complaints: tuple[FieldError, ...]) -> Condition:
    served = [rule for rule in route.rules if not rule.complaints]
    if not complaints:
        message = f"{messages.counted(served, 'rule')} accepted{_held_back(route)}"
        return Condition(type=ConditionType.ACCEPTED, status=True, reason=Reason.ACCEPTED, message=message)
    if route.forbidden:
        # Whatever else is wrong, mending it would not be enough.
        reason = Reason.HOSTNAME_NOT_ALLOWED
    elif route.source.is_too_large:
        reason = Reason.TOO_LARGE
    elif route.source.complaints or not served:
        reason = Reason.INVALID
    else:
        reason = Reason.PARTIALLY_INVALID
    return Condition(
        type=ConditionType.ACCEPTED,
        # The good rules are served; as with Gateway API, the reason says that they are not all.
        status=reason is Reason.PARTIALLY_INVALID,
        reason=reason,
        message=_but_for(route) + messages.joined(complaints),
    )


def _but_for(route: RouteDraft) -> str:
    """What is left of a route that claims more hostnames than it may."""
    return "served under its other hostnames only: " if route.forbidden and not route.is_barred else ""


def _held_back(route: RouteDraft) -> str:
    """The route is fine, but an invalid policy makes it refuse: its author should not have to guess."""
    broken = list(dict.fromkeys(name for rule in route.rules for name in rule.broken_policies))
    return f"; refusing until mended: RateLimitPolicy {', '.join(broken)}" if broken else ""


def _resolved(route: RouteDraft) -> Condition:
    reasons = [reason for reason, _ in route.unresolved]
    if not reasons:
        unread = any(rule.source.rule is None for rule in route.rules)
        return Condition(
            type=ConditionType.RESOLVED_REFS,
            status=True,
            reason=Reason.RESOLVED_REFS,
            message=f"all backendRefs {'of readable rules ' if unread else ''}resolve",
        )
    # A name that means nothing needs its author; an endpoint may just be starting.
    lasting = [reason for reason in reasons if reason is not Reason.NO_ENDPOINTS]
    return Condition(
        type=ConditionType.RESOLVED_REFS,
        status=False,
        reason=(lasting or reasons)[0],
        message=messages.joined(complaint for _, complaint in route.unresolved),
    )


def _judge_policy(policy: PolicyDraft) -> Verdict:
    return Verdict(
        policy.source.meta,
        tuple(_policy_conditions(policy)),
        policy.source.complaints,
        tuple(policy.missing),
    )


def _policy_conditions(policy: PolicyDraft) -> Iterator[Condition]:
    source = policy.source
    if source.spec is not None:
        limits = messages.counted(source.spec.limits, "limit")
        yield Condition(type=ConditionType.ACCEPTED, status=True, reason=Reason.ACCEPTED, message=f"{limits} accepted")
    else:
        meanwhile = "what was published last is kept" if policy.published else "its targets refuse all requests"
        yield Condition(
            type=ConditionType.ACCEPTED,
            status=False,
            reason=Reason.TOO_LARGE if source.is_too_large else Reason.INVALID,
            message=f"until mended, {meanwhile}: {messages.joined(source.complaints)}",
        )
    if source.targets is None:
        # Fails closed: nobody can say which routes were meant.
        message = "spec.targetRefs cannot be read: taken for every route of the namespace"
    else:
        message = messages.joined(policy.missing) or "all targets exist"
    found = source.targets is not None and not policy.missing
    yield Condition(
        type=ConditionType.TARGETS_RESOLVED,
        status=found,
        reason=Reason.TARGETS_RESOLVED if found else Reason.TARGET_NOT_FOUND,
        message=message,
    )
