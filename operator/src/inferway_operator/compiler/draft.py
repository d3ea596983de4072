"""The draft: the world while it is being compiled. Passes read objects and add their results to the drafts."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from inferway_contract import document
from inferway_contract.conditions import Reason
from inferway_contract.field_errors import FieldError
from inferway_operator.compiler.services import Facts, Services
from inferway_operator.world.bounds import Usage
from inferway_operator.world.objects import PolicyObject, RouteObject, RuleObject
from inferway_operator.world.world import Settings, World

Path = tuple[str | int, ...]
Noted = dict[str, tuple[bool, str]]
"""Messages about overlaps by route, and whether each is certain."""


@dataclass(slots=True)
class RuleDraft:
    """A rule on its way into the document. With any error it refuses its requests."""

    source: RuleObject
    errors: list[FieldError]
    advice: list[FieldError] = field(default_factory=list)
    """Valid fields that probably mean something else."""
    matches: list[document.Match] = field(default_factory=list)
    backends: list[document.Backend] = field(default_factory=list)
    redirect: document.Redirect | None = None
    respond: document.DirectResponse | None = None
    parts: dict[str, Any] = field(default_factory=dict)
    """Fields of `document.Rule` other than matches and actions, by name."""
    checks_patterns: bool = True
    """False = its route is refused for its size: nothing of it is compiled."""
    broken_policies: tuple[document.Policy, ...] = ()
    """Invalid policies that were never published: the rule refuses its requests. Rules may share the tuple."""

    def copy(self) -> "RuleDraft":
        """Return a copy with lists of its own for errors and advice; what later passes change in place."""
        return RuleDraft(
            self.source,
            list(self.errors),
            list(self.advice),
            self.matches,
            self.backends,
            self.redirect,
            self.respond,
            self.parts,
            self.checks_patterns,
        )

    @property
    def path(self) -> Path:
        """Location of the rule in its resource."""
        return ("spec", "rules", self.source.index)

    def add_error(self, message: str, *field: str | int) -> None:
        """Add an error; `field` is its location inside the rule."""
        self.errors.append(FieldError((*self.path, *field), message))


@dataclass(slots=True)
class RouteDraft:
    """A route: its rules, and the results that concern the whole route."""

    source: RouteObject
    rules: list[RuleDraft]
    hostnames: tuple[str, ...]
    """The hostnames that its namespace may claim."""
    unresolved: list[tuple[Reason, FieldError]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Messages about endpoints of its Services that get no requests, although others do."""
    shadowed: list[str] = field(default_factory=list)
    """A message for each match that an older route has too."""
    lost: Noted = field(default_factory=dict)
    """Messages about requests that routes of other namespaces take from it, by route; and whether it is certain."""
    gained: Noted = field(default_factory=dict)
    """Messages about requests that it takes from routes of other namespaces, by route."""
    forbidden: list[FieldError] = field(default_factory=list)
    """Errors of the hostnames that it may not claim."""
    excess: FieldError | None = None
    """It is over a bound of its namespace; it has no rules then."""
    refusing: tuple[document.Match, ...] = ()
    """Matches of the one rule that refuses in place of the rules of a route over a bound; () = an older route refuses for it."""
    is_barred: bool = False
    """The route may claim none of its hostnames, and gets no requests."""
    known: "KnownRoute | None" = None
    """What a memo keeps of it."""


@dataclass(slots=True)
class PolicyDraft:
    """A policy: its published form, and the targets that do not exist."""

    source: PolicyObject
    published: document.Policy | None = None
    missing: list[FieldError] = field(default_factory=list)
    excess: FieldError | None = None
    """It is over a bound of its namespace."""


@dataclass(slots=True)
class KnownRoute:
    """What follows from a route alone and from the Services that it names."""

    source: RouteObject
    facts: Mapping[str, Facts]
    """What there was of each Service, by its id."""
    rules: tuple[RuleDraft, ...]
    unresolved: tuple[tuple[Reason, FieldError], ...]
    left_out: tuple[str, ...]
    emitted: document.Route | None = None
    """The route in the document, while no policy of it is broken."""


@dataclass(slots=True)
class KnownArea:
    """Overlaps of routes under hostnames that depend on no other ones."""

    basis: Hashable
    sources: tuple[RouteObject, ...]
    """Those in the basis, where they are identities: no other object gets these as long as they are here."""
    matches: Mapping[str, int]
    """The number by namespace, each under each of its hostnames."""
    demands: Mapping[str, int]
    """The comparisons that they need, by namespace."""
    most_compared: Mapping[str, int] = field(default_factory=dict)
    noted: tuple[tuple[Noted, Noted], ...] = ()
    """What each of the routes loses and gains."""


@dataclass(slots=True)
class Memo:
    """What a compilation leaves for the next one, of the objects of its own world only. It changes no result.

    It serves one compilation at a time.
    """

    basis: tuple[Settings, Hashable] | None = None
    """What every route depends on."""
    routes: Mapping[str, KnownRoute] = field(default_factory=dict)
    """By id."""
    areas: Mapping[str, KnownArea] = field(default_factory=dict)
    """By the first hostname of the oldest route."""


@dataclass(slots=True)
class Draft:
    """Routes and policies, the oldest first, and the objects that they may refer to."""

    world: World
    routes: list[RouteDraft]
    policies: list[PolicyDraft]
    services: Services
    labels: Mapping[str, Mapping[str, str]]
    """Labels by name of the Namespace, for existing ones."""
    memo: Memo
    usage: Mapping[str, Usage] = field(default_factory=dict)
    """What the accepted objects take, by namespace."""

    @classmethod
    def of(cls, world: World, memo: Memo | None = None) -> Self:
        """Return an uncompiled draft of this world, without objects of namespaces that are being deleted."""
        terminating = {namespace.name for namespace in world.namespaces if namespace.is_terminating}
        return cls(
            world=world,
            routes=[
                RouteDraft(route, [RuleDraft(rule, list(rule.errors)) for rule in route.rules], route.hostnames)
                for route in sorted(world.routes, key=lambda route: route.meta.age)
                if route.meta.namespace not in terminating
            ],
            policies=[
                PolicyDraft(policy)
                for policy in sorted(world.policies, key=lambda policy: policy.meta.age)
                if policy.meta.namespace not in terminating
            ],
            services=Services(world),
            labels={namespace.name: dict(namespace.labels) for namespace in world.namespaces},
            memo=memo or Memo(),
        )

    def rules(self) -> Iterator[tuple[RouteDraft, RuleDraft]]:
        """Yield every rule with its route."""
        return ((route, rule) for route in self.routes for rule in route.rules)

    def new_routes(self) -> Iterator[RouteDraft]:
        """Yield the routes of which nothing is known yet."""
        return (route for route in self.routes if route.known is None)

    def new_rules(self) -> Iterator[tuple[RouteDraft, RuleDraft]]:
        """Yield their rules, each with its route."""
        return ((route, rule) for route in self.new_routes() for rule in route.rules)
