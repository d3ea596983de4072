"""Input of the compiler: frozen, parsed objects, also invalid ones.

An invalid object is part of the world, with its errors and its readable parts. Its rules refuse their own traffic, which
needs their hostnames, matches and targets.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from inferway_contract.field_errors import FieldError
from inferway_contract.resources.gateway_route import RouteRule
from inferway_contract.resources.matches import HeaderMatch, Match, Method, PathMatch, PathType, QueryParamMatch
from inferway_contract.resources.rate_limit_policy import RateLimitPolicySpec, TargetRef


@dataclass(frozen=True, slots=True)
class Meta:
    """Identity and version of an object."""

    kind: str
    namespace: str
    name: str
    generation: int = 0
    created: str = ""
    """RFC 3339 in UTC, which sorts as text; "" (in files) is the oldest."""

    @property
    def id(self) -> str:
        """`namespace/name`, unique among the objects of a kind."""
        return f"{self.namespace}/{self.name}"

    @property
    def age(self) -> tuple[str, str, str]:
        """Sort key, the oldest first; names decide between objects of one second."""
        return (self.created, self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class PartialMatch:
    """The readable part of an invalid match, which has an error among those of its rule."""

    path: PathMatch | None
    """None = only `path_value` can be read."""
    path_value: str = ""
    path_type: PathType | None = None
    """None = it cannot be read."""
    method: Method | None = None
    has_method: bool = False
    """Whether a method is written, readable or not."""
    headers: tuple[HeaderMatch, ...] = ()
    query_params: tuple[QueryParamMatch, ...] = ()
    header_count: int = 0
    """How many are written, readable or not."""
    query_count: int = 0


@dataclass(frozen=True, slots=True)
class RuleObject:
    """One rule of a route. `rule` is None for an invalid rule, of which only `matches` are kept."""

    index: int
    name: str
    """As written, or `rule-<index>`."""
    rule: RouteRule | None
    matches: tuple[tuple[int, Match | PartialMatch], ...]
    """Matches with their index in the resource."""
    errors: tuple[FieldError, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteObject:
    """A GatewayRoute. `errors` concern the whole route: with any, all its rules refuse their requests."""

    meta: Meta
    hostnames: tuple[str, ...] = ()
    rules: tuple[RuleObject, ...] = ()
    errors: tuple[FieldError, ...] = ()
    is_too_large: bool = False
    """Only its hostnames, and a path that all its paths begin with, are read then."""
    size: int = 0
    """Bytes of its spec as compact JSON."""
    patterns: tuple[str, ...] = ()
    """The distinct patterns of its matches."""
    match_count: int = 0
    condition_count: int = 0
    """Conditions of its matches on headers and query parameters."""
    backend_count: int = 0

    def named_services(self) -> frozenset[str]:
        """Return ids of the Services that its rules name, also of those that do not exist."""
        refs = (ref for rule in self.rules if rule.rule is not None for ref in rule.rule.backend_refs)
        return frozenset(f"{ref.namespace or self.meta.namespace}/{ref.name}" for ref in refs if ref.name is not None)


@dataclass(frozen=True, slots=True)
class PolicyObject:
    """A RateLimitPolicy. `spec` is None for an invalid policy, of which only readable `targets` are kept."""

    meta: Meta
    spec: RateLimitPolicySpec | None
    targets: tuple[TargetRef, ...] | None
    """() = every route of the namespace; None = unreadable, which also counts as every route."""
    errors: tuple[FieldError, ...] = ()
    is_too_large: bool = False
    size: int = 0
    """Bytes of its spec as compact JSON."""


@dataclass(frozen=True, slots=True)
class ServiceObject:
    """The part of a Service that a backendRef can refer to."""

    id: str
    ports: tuple[tuple[int, str], ...] = ()
    """Number and name of its TCP ports; EndpointSlices refer to the name ("" = unnamed)."""
    is_external_name: bool = False
    protocols: tuple[tuple[str, str], ...] = ()
    """`appProtocol` by name of the port, where it is set."""
    family: Literal["IPv4", "IPv6"] = "IPv4"
    """The preferred one."""
    publishes_unready: bool = False
    """Readiness has no meaning for its endpoints (`publishNotReadyAddresses`)."""
    cluster_ips: tuple[str, ...] = ()


class Readiness(IntEnum):
    """When an endpoint gets requests."""

    READY = 0
    LAST_RESORT = 1
    """It serves and is being deleted: only while its Service has no ready endpoint (KEP-1669)."""
    UNREADY = 2


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """One address of an EndpointSlice."""

    address: str
    readiness: Readiness = Readiness.READY
    owner: str = ""
    """Equal for the addresses of one pod; "" = unknown."""


@dataclass(frozen=True, slots=True)
class SliceObject:
    """An EndpointSlice: endpoints and ports of a Service."""

    service: str
    """The Service's id."""
    ports: tuple[tuple[str, int], ...] = ()
    """Name of the port ("" = unnamed), and the number that the endpoints listen on."""
    endpoints: tuple[SliceEndpoint, ...] = ()
    protocols: tuple[tuple[str, str], ...] = ()
    """`appProtocol` by name of the port, where it is set."""


@dataclass(frozen=True, slots=True)
class NamespaceObject:
    """Labels and state of a Namespace."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    """Sorted by name."""
    is_terminating: bool = False
    """It is being deleted with all its objects, which are no longer served."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One permission of a ReferenceGrant: GatewayRoutes of `source` may name Services of `namespace`."""

    namespace: str
    source: str
    service: str | None = None
    """None = every Service there."""
