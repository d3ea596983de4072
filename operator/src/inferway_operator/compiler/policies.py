"""Policies: what they say, and which rules they are for."""

from collections.abc import Iterator, Mapping

from inferway_contract import document, values
from inferway_contract.field_errors import FieldError
from inferway_contract.resources import rate_limit_policy as written
from inferway_operator.compiler.draft import Draft, PolicyDraft, RouteDraft, RuleDraft


def translate(draft: Draft) -> None:
    """Give every policy its published form. An invalid one keeps the last that it had."""
    for policy in draft.policies:
        meta, said = policy.source.meta, policy.source.spec
        if said is None:
            policy.published = draft.world.last_published.get(meta.id)
        else:
            policy.published = document.Policy(
                id=meta.id,
                limits=tuple(_limit(limit) for limit in said.limits),
                headers=said.on_limit.headers,
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
    """Name every policy in the rules it is for, the oldest first."""
    routes: dict[str, dict[str, RouteDraft]] = {}
    for route in draft.routes:
        routes.setdefault(route.source.meta.namespace, {})[route.source.meta.name] = route
    for policy in draft.policies:
        identity = policy.source.meta.id
        for rule in _targets(policy, routes.get(policy.source.meta.namespace, {})):
            names = rule.broken_policies if policy.published is None else rule.policies
            if identity not in names:  # two targetRefs may mean one rule
                names.append(identity)


def _targets(policy: PolicyDraft, routes: Mapping[str, RouteDraft]) -> Iterator[RuleDraft]:
    targets = policy.source.targets
    if not targets:
        # Absent: every route. Unreadable: it may be any, so it is every one.
        yield from (rule for route in routes.values() for rule in route.rules)
        return
    for index, target in enumerate(targets):
        route = routes.get(target.name)
        if route is None:
            namespace = policy.source.meta.namespace
            missing = f"there is no GatewayRoute {target.name} in namespace {namespace}"
            policy.missing.append(FieldError(("spec", "targetRefs", index, "name"), missing))
            continue
        section = target.section_name
        found = [rule for rule in route.rules if section is None or rule.source.name == section]
        if section is not None and not found:
            missing = f"GatewayRoute {route.source.meta.id} has no rule {section}"
            policy.missing.append(FieldError(("spec", "targetRefs", index, "sectionName"), missing))
        yield from found
