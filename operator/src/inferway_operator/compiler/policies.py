"""Policies: their limits, and the rules that they apply to."""

from collections.abc import Iterable, Iterator, Mapping, Set

from inferway_contract import document, values
from inferway_contract.field_errors import FieldError
from inferway_contract.policy_targets import PolicyTargets
from inferway_contract.resources import rate_limit_policy as written
from inferway_operator.compiler.draft import Draft, PolicyDraft
from inferway_operator.world.objects import PolicyObject


def translate(draft: Draft) -> None:
    """Translate every valid policy; an invalid one keeps its last published form."""
    for policy in draft.policies:
        meta, spec = policy.source.meta, policy.source.spec
        if policy.excess is not None:
            continue  # its last published form may be over the bound too
        targets = _targets(policy.source)
        if spec is None:
            last = draft.world.last_published.get(meta.id)
            policy.published = (
                None if last is None else last.model_copy(update={"targets": targets, "created": meta.created})
            )
        else:
            policy.published = document.Policy(
                id=meta.id,
                created=meta.created,
                targets=targets,
                limits=tuple(_limit(limit) for limit in spec.limits),
                headers=spec.on_limit.headers,
            )


def _limit(limit: written.Limit) -> document.Limit:
    return document.Limit(
        name=limit.name,
        requests=limit.rate.requests,
        per=values.milliseconds(limit.rate.per),
        burst=limit.burst,
        scope=limit.scope,
        key=tuple(_part(part) for part in limit.key),
        max_keys=limit.max_keys,
    )


def _part(part: written.KeyPart) -> document.KeyPart:
    if part.client_ip is not None:
        return document.KeyPart(
            type="client_ip", prefix_v4=part.client_ip.prefix_v4, prefix_v6=part.client_ip.prefix_v6
        )
    if part.header is not None:
        return document.KeyPart(type="header", name=part.header.lower())
    if part.query is not None:
        return document.KeyPart(type="query", name=part.query)
    return document.KeyPart(type="host" if part.host else "route" if part.route else "rule")


def attach(draft: Draft) -> None:
    """Report targets that do not exist, and give each rule its policies that were never valid, the oldest first."""
    rule_names = {route.source.meta.id: frozenset(rule.name for rule in route.source.rules) for route in draft.routes}
    unread = {route.source.meta.id for route in draft.routes if route.source.is_too_large}
    for policy in draft.policies:
        policy.missing += _missing(policy, rule_names, unread)
    broken = PolicyTargets(
        document.Policy(id=policy.source.meta.id, targets=_targets(policy.source))
        for policy in draft.policies
        if policy.published is None
    )
    for route, rule in draft.rules():
        rule.broken_policies = broken.of(route.source.meta.id, rule.source.name)


def _targets(policy: PolicyObject) -> tuple[document.Target, ...]:
    # Unreadable: it may be any route, so every one.
    return tuple(document.Target(route=name, rule=rule) for name, rule in _distinct(policy.targets or ()))


def _distinct(targets: Iterable[written.TargetRef]) -> Iterable[tuple[str, str | None]]:
    return dict.fromkeys((target.name, target.section_name) for target in targets)


def _missing(policy: PolicyDraft, rule_names: Mapping[str, frozenset[str]], unread: Set[str]) -> Iterator[FieldError]:
    namespace = policy.source.meta.namespace
    for index, target in enumerate(policy.source.targets or ()):
        route, section = f"{namespace}/{target.name}", target.section_name
        if route not in rule_names:
            yield FieldError(("spec", "targetRefs", index, "name"), f"GatewayRoute {route} not found")
        elif section is not None and route not in unread and section not in rule_names[route]:
            missing = f"rule {section} not found in GatewayRoute {route}"
            yield FieldError(("spec", "targetRefs", index, "sectionName"), missing)
