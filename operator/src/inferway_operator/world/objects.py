"""What the compiler is told of each object: frozen, parsed, and kept also when it is broken.

An object that did not validate is part of the world, with its complaints and with what could be salvaged of it: what is
broken has to protect its own traffic, and for that its hostnames, matches and targets must be known.
"""

from dataclasses import dataclass

from inferway_contract.field_errors import FieldError
from inferway_contract.resources.gateway_route import RouteRule
from inferway_contract.resources.matches import Match
from inferway_contract.resources.rate_limit_policy import RateLimitPolicySpec, TargetRef


@dataclass(frozen=True, slots=True)
class Meta:
    """Which object, and which version of it."""

    kind: str
    namespace: str
    name: str
    generation: int = 0
    created: str = ""
    """RFC 3339 in UTC, so that text sorts like time; "" (a file has no such time) is the oldest."""

    @property
    def id(self) -> str:
        """`namespace/name`, unique among the objects of a kind."""
        return f"{self.namespace}/{self.name}"

    @property
    def age(self) -> tuple[str, str, str]:
        """Sorts the oldest first; two objects of one second are told apart by their names."""
        return (self.created, self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class RuleObject:
    """One rule of a route. `rule` is None when it is invalid; then only `matches` are left of it."""

    index: int
    name: str
    """Its own, or `rule-<index>`."""
    rule: RouteRule | None
    matches: tuple[tuple[int, Match], ...]
    """Those that parse, with their index as written."""
    complaints: tuple[FieldError, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteObject:
    """A GatewayRoute. `complaints` are about the whole of it: any, and all its rules refuse."""

    meta: Meta
    hostnames: tuple[str, ...] = ()
    rules: tuple[RuleObject, ...] = ()
    complaints: tuple[FieldError, ...] = ()
    is_too_large: bool = False


@dataclass(frozen=True, slots=True)
class PolicyObject:
    """A RateLimitPolicy. `spec` is None when it is invalid; `targets` are then what could be salvaged."""

    meta: Meta
    spec: RateLimitPolicySpec | None
    targets: tuple[TargetRef, ...] | None
    """() = every route of the namespace, as written; None = unreadable, which is taken for every route too."""
    complaints: tuple[FieldError, ...] = ()
    is_too_large: bool = False


@dataclass(frozen=True, slots=True)
class ServiceObject:
    """A Service, as far as a backendRef can name it."""

    id: str
    ports: tuple[tuple[int, str], ...] = ()
    """Number and name of its TCP ports; the name ("" = unnamed) is what EndpointSlices know them by."""
    is_external_name: bool = False


@dataclass(frozen=True, slots=True)
class SliceObject:
    """An EndpointSlice: which ready addresses serve which ports of a Service."""

    service: str
    """The Service's id."""
    ports: tuple[tuple[str, int], ...] = ()
    """Name of the port ("" = unnamed), and where the endpoints listen for it."""
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NamespaceObject:
    """A Namespace, as far as it matters to what is in it."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    """In the order of their names."""
    is_terminating: bool = False
    """It is being deleted, and all that is in it: nothing of that is served any more."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One permission of a ReferenceGrant: GatewayRoutes of `source` may name Services of `namespace`."""

    namespace: str
    source: str
    service: str | None = None
    """None = every Service there."""
