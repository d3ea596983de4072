"""Format 1 of the config: every rule lists the ids of its policies, and the order of lists is the only order.

For data planes that know no newer format.

Its size grows with the product of rules and policies, so it is written only while such a pod exists.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from inferway_contract import document, policy_targets
from inferway_contract.document import DocumentModel, Policy, Target


class Rule(document.Rule):
    """A rule with the ids of its policies, the oldest first."""

    policies: tuple[str, ...] = ()


class Route(document.Route):
    """A route of such rules."""

    rules: tuple[Rule, ...] = ()


class ConfigDocument(DocumentModel):
    """Routes and policies; no policy has targets."""

    format: Literal[1] = 1
    address_policy: Literal["Cluster", "Standalone"] = "Cluster"
    routes: tuple[Route, ...] = ()
    policies: tuple[Policy, ...] = ()


def as_format_1(config: document.ConfigDocument) -> ConfigDocument:
    """Return the same config in format 1."""
    ids: dict[int, tuple[str, ...]] = {}  # rules with equal policies share a tuple
    return ConfigDocument(
        address_policy=config.address_policy,
        routes=tuple(
            _route(route, of_rules, ids)
            for route, of_rules in zip(config.routes, policy_targets.attached(config), strict=True)
        ),
        policies=tuple(policy.model_copy(update={"targets": (), "created": ""}) for policy in config.policies),
    )


def _route(route: document.Route, of_rules: policy_targets.PoliciesOfRules, ids: dict[int, tuple[str, ...]]) -> Route:
    rules = []
    for rule, policies in zip(route.rules, of_rules, strict=True):
        names = ids.get(id(policies))
        if names is None:
            names = ids[id(policies)] = tuple(policy.id for policy in policies)
        rules.append(Rule.model_construct(**_fields(rule, document.Rule), policies=names))
    return Route.model_construct(id=route.id, hostnames=route.hostnames, rules=tuple(rules))


def from_format_1(config: ConfigDocument) -> document.ConfigDocument:
    """Return the same config in the newest format; raise `ValueError` for a document that contradicts itself."""
    known = {policy.id for policy in config.policies}
    for policy in config.policies:
        if policy.targets:
            raise ValueError(f"policy {policy.id} has targets, which format 1 does not have")
    pairs: dict[str, list[tuple[Route, Rule]]] = {}
    for route in config.routes:
        for rule in route.rules:
            for name in dict.fromkeys(rule.policies) if rule.refusal is None else ():
                if name not in known:
                    raise ValueError(f"rule {rule.name} of route {route.id} names policy {name}, which does not exist")
                pairs.setdefault(name, []).append((route, rule))
    served = _Served(config.routes)
    return document.ConfigDocument(
        address_policy=config.address_policy,
        routes=tuple(
            document.Route.model_construct(
                id=route.id,
                hostnames=route.hostnames,
                rules=tuple(document.Rule.model_construct(**_fields(rule, document.Rule)) for rule in route.rules),
            )
            for route in config.routes
        ),
        policies=tuple(
            policy.model_copy(update={"targets": served.targets(policy.id, pairs[policy.id])})
            for policy in config.policies
            if policy.id in pairs
        ),
    )


class _Served:
    """The number of rules that do not refuse their requests, by route and by namespace."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._of_routes: dict[str, int] = {}
        self._of_namespaces: dict[str, int] = {}
        for route in routes:
            number = sum(rule.refusal is None for rule in route.rules)
            namespace = route.id.partition("/")[0]
            self._of_routes[route.id] = number
            self._of_namespaces[namespace] = self._of_namespaces.get(namespace, 0) + number

    def targets(self, policy: str, rules: Sequence[tuple[Route, Rule]]) -> tuple[Target, ...]:
        """Return the shortest targets that are exactly these rules."""
        namespace = policy.partition("/")[0]
        by_route: dict[str, list[str]] = {}
        for route, rule in rules:
            if route.id.partition("/")[0] != namespace:
                raise ValueError(f"policy {policy} applies to route {route.id} of another namespace")
            by_route.setdefault(route.id, []).append(rule.name)
        if len(rules) == self._of_namespaces[namespace]:
            return ()
        return tuple(target for route, names in by_route.items() for target in self._of_route(route, names))

    def _of_route(self, route: str, names: Sequence[str]) -> Sequence[Target]:
        name = route.partition("/")[2]
        if len(names) == self._of_routes[route]:
            return (Target(route=name),)
        return [Target(route=name, rule=rule) for rule in names]


def _fields(model: DocumentModel, of: type[DocumentModel]) -> Mapping[str, Any]:
    return {name: getattr(model, name) for name in of.model_fields}
