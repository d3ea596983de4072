"""The draft: the world while it is being compiled. Passes read objects and add what they find to their drafts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from inferway_contract import document
from inferway_contract.conditions import Reason
from inferway_contract.field_errors import FieldError
from inferway_operator.compiler.services import Services
from inferway_operator.world.objects import PolicyObject, RouteObject, RuleObject
from inferway_operator.world.world import World

Path = tuple[str | int, ...]


@dataclass(slots=True)
class RuleDraft:
    """A rule on its way into the document. One complaint is enough to make it refuse."""

    source: RuleObject
    complaints: list[FieldError]
    matches: list[document.Match] = field(default_factory=list)
    backends: list[document.Backend] = field(default_factory=list)
    redirect: document.Redirect | None = None
    respond: document.DirectResponse | None = None
    parts: dict[str, Any] = field(default_factory=dict)
    """Fields of `document.Rule` that say nothing of matches, actions and policies."""
    policies: list[str] = field(default_factory=list)
    broken_policies: list[str] = field(default_factory=list)
    """Ids of invalid policies that were never published: what they would have protected refuses."""

    @property
    def path(self) -> Path:
        """Where the rule stands in its resource."""
        return ("spec", "rules", self.source.index)

    def complain(self, message: str, *field: str | int) -> None:
        """Add a mistake; `field` is its place inside the rule."""
        self.complaints.append(FieldError((*self.path, *field), message))


@dataclass(slots=True)
class RouteDraft:
    """A route: its rules, and what concerns none of them alone."""

    source: RouteObject
    rules: list[RuleDraft]
    unresolved: list[tuple[Reason, FieldError]] = field(default_factory=list)
    shadowed: list[str] = field(default_factory=list)
    """A sentence for each match that an older route has too."""
    hostnames: tuple[str, ...] = ()
    """Those that its namespace may claim."""
    forbidden: list[FieldError] = field(default_factory=list)
    """About those that it may not."""
    is_barred: bool = False
    """It may claim none of them, and gets no request."""


@dataclass(slots=True)
class PolicyDraft:
    """A policy: what is published of it, and which targets it does not find."""

    source: PolicyObject
    published: document.Policy | None = None
    missing: list[FieldError] = field(default_factory=list)


@dataclass(slots=True)
class Draft:
    """Routes and policies, the oldest first, and what they may refer to."""

    world: World
    routes: list[RouteDraft]
    policies: list[PolicyDraft]
    services: Services
    labels: Mapping[str, Mapping[str, str]]
    """Of the namespaces that are known."""

    @classmethod
    def of(cls, world: World) -> Self:
        """A draft of this world, in which nothing was compiled yet.

        What is in a namespace that is being deleted is not in it: nobody has to wait until it is gone one by one.
        """
        leaving = {namespace.name for namespace in world.namespaces if namespace.is_terminating}
        return cls(
            world=world,
            routes=[
                RouteDraft(
                    route,
                    [RuleDraft(rule, list(rule.complaints)) for rule in route.rules],
                    hostnames=route.hostnames,
                )
                for route in sorted(world.routes, key=lambda route: route.meta.age)
                if route.meta.namespace not in leaving
            ],
            policies=[
                PolicyDraft(policy)
                for policy in sorted(world.policies, key=lambda policy: policy.meta.age)
                if policy.meta.namespace not in leaving
            ],
            services=Services(world),
            labels={namespace.name: dict(namespace.labels) for namespace in world.namespaces},
        )

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        """The namespace's labels; none when it is not known."""
        return self.labels.get(namespace, {})

    def rules(self) -> Iterator[tuple[RouteDraft, RuleDraft]]:
        """Every rule with its route."""
        return ((route, rule) for route in self.routes for rule in route.rules)
