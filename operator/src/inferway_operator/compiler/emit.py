"""Emit the two documents of a compiled draft."""

from dataclasses import dataclass

from inferway_contract import policy_targets
from inferway_contract.document import ConfigDocument, EndpointsDocument, Refusal, Route, Rule
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import Draft, RouteDraft, RuleDraft

_DETAIL_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Numbers of endpoints of a Service that are not in the document."""

    forbidden: int
    """Addresses that may not be endpoints."""
    excess: int
    """Endpoints above the bound."""


def emit_config(draft: Draft) -> ConfigDocument:
    """Emit routes, the oldest first, and the policies that apply to any of their rules."""
    routes = tuple(route for part in draft.routes if not part.is_barred if (route := _route(part)).rules)
    published = (policy.published for policy in draft.policies if policy.published is not None)
    return ConfigDocument(
        address_policy="Standalone" if draft.world.settings.standalone else "Cluster",
        routes=routes,
        policies=tuple(policy_targets.used(routes, published)),
    )


def _route(route: RouteDraft) -> Route:
    """Return the route: the same object as before if nothing of it has changed."""
    known = route.known
    if known is None or any(rule.broken_policies for rule in route.rules):
        return _new_route(route)
    if known.emitted is None or known.emitted.hostnames != route.hostnames:
        known.emitted = _new_route(route)
    return known.emitted


def _new_route(route: RouteDraft) -> Route:
    meta = route.source.meta
    return Route(id=meta.id, created=meta.created, hostnames=route.hostnames, rules=_rules(route))


def _rules(route: RouteDraft) -> tuple[Rule, ...]:
    if route.excess is None or not route.refusing:
        return tuple(_rule(route, rule) for rule in route.rules)
    detail = messages.joined((route.excess,), _DETAIL_CHARACTERS)
    refusal = Refusal(code="invalid_rule", detail=detail)
    return (Rule(name=route.source.rules[0].name, matches=route.refusing, refusal=refusal),)


def _rule(route: RouteDraft, rule: RuleDraft) -> Rule:
    name, matches = rule.source.name, tuple(rule.matches)
    errors = [*route.source.errors, *rule.errors]
    if errors:
        detail = messages.joined(errors, _DETAIL_CHARACTERS)
        return Rule(name=name, matches=matches, refusal=Refusal(code="invalid_rule", detail=detail))
    if rule.broken_policies:
        detail = messages.joined(
            (f"RateLimitPolicy {broken.id} is invalid and was never published" for broken in rule.broken_policies),
            _DETAIL_CHARACTERS,
        )
        return Rule(name=name, matches=matches, refusal=Refusal(code="invalid_policy", detail=detail))
    return Rule(
        name=name,
        matches=matches,
        backends=tuple(rule.backends),
        redirect=rule.redirect,
        respond=rule.respond,
        **rule.parts,
    )


def emit_endpoints(draft: Draft, config: ConfigDocument) -> EndpointsDocument:
    """Emit an entry for every Service of the config: pods wait for a missing one."""
    return EndpointsDocument(
        replicas=draft.world.replicas,
        services={key: draft.services.endpoints(key) for key in sorted(config.named_services())},
    )


def left_out_of(draft: Draft, config: ConfigDocument) -> dict[str, LeftOut]:
    """Return what is left out of the endpoints of the config's Services, by key; without those that are complete."""
    selections = {key: draft.services.selection(key) for key in sorted(config.named_services())}
    return {
        key: LeftOut(len(selection.forbidden), selection.excess)
        for key, selection in selections.items()
        if selection.forbidden or selection.excess
    }
