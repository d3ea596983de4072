"""The policies of each rule, resolved from the policies' targets. Both planes use this one function."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from inferway_contract.document import ConfigDocument, Policy, Route

PoliciesOfRules = tuple[tuple[Policy, ...], ...]
"""Of one route: the policies of each of its rules, in the rules' order."""

_NONE: Final[tuple[Policy, ...]] = ()


class PolicyTargets:
    """The policies of one document, found by namespace, route and rule."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        """`policies`: the oldest first."""
        self._policies = tuple(policies)
        # Numbers of policies in ascending order, by namespace, by route, and by route and rule.
        self._general: dict[str, list[int]] = {}
        self._of_routes: dict[str, list[int]] = {}
        self._of_rules: dict[tuple[str, str], list[int]] = {}
        for number, policy in enumerate(self._policies):
            namespace = policy.id.partition("/")[0]
            if not policy.targets:
                self._general.setdefault(namespace, []).append(number)
            for target in policy.targets:
                route = f"{namespace}/{target.route}"
                if target.rule is None:
                    self._of_routes.setdefault(route, []).append(number)
                else:
                    self._of_rules.setdefault((route, target.rule), []).append(number)
        self._for_all = {
            namespace: tuple(self._policies[number] for number in numbers)
            for namespace, numbers in self._general.items()
        }
        self._shared: dict[tuple[int, ...], tuple[Policy, ...]] = {}

    def of(self, route: str, rule: str) -> tuple[Policy, ...]:
        """Return the policies of a rule, the oldest first; rules with equal policies share one tuple.

        `route`: id. A rule that refuses its requests has no policies, which is for the caller to know.
        """
        namespace = route.partition("/")[0]
        specific = (*self._of_routes.get(route, ()), *self._of_rules.get((route, rule), ()))
        if not specific:
            return self._for_all.get(namespace, _NONE)
        numbers = tuple(sorted({*self._general.get(namespace, ()), *specific}))
        shared = self._shared.get(numbers)
        if shared is None:
            shared = self._shared[numbers] = tuple(self._policies[number] for number in numbers)
        return shared

    def of_route(self, route: Route) -> PoliciesOfRules:
        """Return the policies of each rule of a route; a rule that refuses its requests has none."""
        return tuple(_NONE if rule.refusal is not None else self.of(route.id, rule.name) for rule in route.rules)


def attached(config: ConfigDocument) -> Sequence[PoliciesOfRules]:
    """Return the policies of each rule of each route, in the document's order."""
    targets = PolicyTargets(config.policies)
    return [targets.of_route(route) for route in config.routes]


def used(routes: Iterable[Route], policies: Iterable[Policy]) -> Iterator[Policy]:
    """Yield the policies that apply to a rule. The cost is linear in routes and targets."""
    namespaces: set[str] = set()
    names: set[tuple[str, str | None]] = set()
    for route in routes:
        served = [rule.name for rule in route.rules if rule.refusal is None]
        if served:
            namespaces.add(route.id.partition("/")[0])
            names.add((route.id, None))
            names.update((route.id, name) for name in served)
    for policy in policies:
        namespace = policy.id.partition("/")[0]
        if policy.targets:
            is_used = any((f"{namespace}/{target.route}", target.rule) in names for target in policy.targets)
        else:
            is_used = namespace in namespaces
        if is_used:
            yield policy
