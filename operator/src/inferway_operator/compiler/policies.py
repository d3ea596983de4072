"""Policies: their limits, and the rules that they apply to."""

from collections.abc import Iterator, Mapping

from inferway_contract import document, values
from inferway_contract.field_errors import FieldError
from inferway_contract.resources import rate_limit_policy as written
from inferway_operator.compiler.draft import Draft, PolicyDraft, RouteDraft, RuleDraft


def translate(draft: Draft) -> None:
    """Translate every valid policy; an invalid one keeps its last published form."""
    for policy in draft.policies:
        meta, spec = policy.source.meta, policy.source.spec
        if spec is None:
            policy.published = draft.world.last_published.get(meta.id)
        else:
            policy.published = document.Policy(
                id=meta.id,
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
    """Add every policy to its target rules, the oldest first."""
    routes: dict[str, dict[str, RouteDraft]] = {}
    for route in draft.routes:
        routes.setdefault(route.source.meta.namespace, {})[route.source.meta.name] = route
    for policy in draft.policies:
        identity = policy.source.meta.id
        for rule in _targets(policy, routes.get(policy.source.meta.namespace, {})):
            names = rule.broken_policies if policy.published is None else rule.policies
            if identity not in names:  # two targetRefs may select one rule
                names.append(identity)


def _targets(policy: PolicyDraft, routes: Mapping[str, RouteDraft]) -> Iterator[RuleDraft]:
    targets = policy.source.targets
    if not targets:
        # Absent: every route. Unreadable: it may be any route, so every one.
        yield from (rule for route in routes.values() for rule in route.rules)
        return
    for index, target in enumerate(targets):
        route = routes.get(target.name)
        if route is None:
            missing = f"GatewayRoute {policy.source.meta.namespace}/{target.name} not found"
            policy.missing.append(FieldError(("spec", "targetRefs", index, "name"), missing))
            continue
        section = target.section_name
        rules = [rule for rule in route.rules if section is None or rule.source.name == section]
        if section is not None and not rules:
            missing = f"rule {section} not found in GatewayRoute {route.source.meta.id}"
            policy.missing.append(FieldError(("spec", "targetRefs", index, "sectionName"), missing))
        yield from rules
