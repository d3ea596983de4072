"""RateLimitPolicy limits the rate of requests. Field by field in docs/api.md."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from inferway_contract import values
from inferway_contract.resources import model


class TargetRef(model.SpecModel):
    """A GatewayRoute in the policy's namespace, or one of its rules."""

    group: Literal["inferway.dev"] = "inferway.dev"
    kind: Literal["GatewayRoute"] = "GatewayRoute"
    name: model.ObjectName
    section_name: model.SectionName | None = None
    """Name of one rule. Default: all rules of the route."""


class Rate(model.SpecModel):
    """A number of requests in a time. `requests: 0` rejects all."""

    requests: Annotated[int, Field(ge=0, le=1_000_000_000)]
    """0 rejects all."""
    per: model.Duration = "1s"
    """Time in which they are admitted; longer than 0s."""

    validations = (
        model.Validation(
            cel="duration(self.per) > duration('0s')",
            message="rate.per must be longer than 0s",
            holds=lambda rate: values.milliseconds(rate.per) > 0,
        ),
    )


class ClientIP(model.SpecModel):
    """The client's address, cut to a prefix. An IPv6 user owns a /64, so all of it counts as one client."""

    prefix_v4: Annotated[int, Field(ge=0, le=32)] = 32
    """Bits of an IPv4 address that identify a client."""
    prefix_v6: Annotated[int, Field(ge=0, le=128)] = 64
    """Bits of an IPv6 address that identify a client."""


class KeyPart(model.SpecModel):
    """One part of the key: exactly one of the fields. Several parts form one tuple."""

    client_ip: ClientIP | None = Field(default=None, alias="clientIP")
    """The client's address; behind trusted proxies, the address that they forward."""
    header: model.HeaderName | None = None
    """The value of a request header; absence is a separate value. Several lines are refused (400), unless the field is a list."""
    query: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    """The value of a query parameter; absence is a separate value. Several of the name are refused (400)."""
    host: model.Switch | None = None
    """The host of the request."""
    route: model.Switch | None = None
    """The route of the request."""
    rule: model.Switch | None = None
    """The rule of the request."""

    members: ClassVar[tuple[str, ...]] = ("client_ip", "header", "query", "host", "route", "rule")
    validations = (
        model.Validation(
            cel="[has(self.clientIP), has(self.header), has(self.query), has(self.host), has(self.route),"
            " has(self.rule)].filter(present, present).size() == 1",
            message="a part of key must have exactly one of clientIP, header, query, host, route, rule: write one part for each",
            holds=lambda part: sum(getattr(part, name) is not None for name in KeyPart.members) == 1,
        ),
    )


class Limit(model.SpecModel):
    """One token bucket for each key: it holds `burst` tokens and is refilled at `rate`."""

    name: model.SectionName
    rate: Rate
    burst: Annotated[int, Field(ge=1, le=1_000_000_000)]
    """Number of requests that a full bucket admits at once."""
    scope: Literal["Pod"]
    """Pod: each data-plane pod counts separately."""
    key: Annotated[tuple[KeyPart, ...], model.bounded(8)] = ()
    """Requests with the same values share a bucket. Empty: one bucket for all requests."""
    max_keys: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Number of buckets kept; the least recently used one is dropped, and begins full when it returns. A refusal counts as use."""


class OnLimit(model.SpecModel):
    """Response headers with the state of the limits."""

    headers: Literal["Standard", "Legacy", "Off"] = "Standard"
    """Standard: RateLimit and RateLimit-Policy; Legacy: X-RateLimit-*; Off: none."""


# A map for the API server: two owners may each apply entries of it.
_BY_NAME = Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]})


class RateLimitPolicySpec(model.SpecModel):
    """Limits, and the routes they apply to. Without targetRefs: every route of the namespace."""

    target_refs: Annotated[tuple[TargetRef, ...], model.bounded(32)] = ()
    """Default: every route of the namespace."""
    limits: Annotated[tuple[Limit, ...], model.bounded(16, least=1), _BY_NAME]
    """All must admit a request; a rejected request takes no tokens."""
    on_limit: OnLimit = OnLimit()

    validations = (
        model.Validation(
            # The API server checks this of a map-list by itself; standalone does not.
            cel="self.limits.all(a, self.limits.exists_one(b, a.name == b.name))",
            message="limits must have different names: rename all but one",
            holds=lambda spec: len({limit.name for limit in spec.limits}) == len(spec.limits),
        ),
    )
