"""RateLimitPolicy: how often something may be asked for. Field by field in docs/api.md."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from inferway_contract import values
from inferway_contract.resources.model import (
    Duration,
    HeaderName,
    ObjectName,
    SectionName,
    SpecModel,
    Switch,
    Validation,
    bounded,
    keyed_by,
)


class TargetRef(SpecModel):
    """A GatewayRoute of the policy's namespace, or one rule of it."""

    group: Literal["inferway.dev"] = "inferway.dev"
    kind: Literal["GatewayRoute"] = "GatewayRoute"
    name: ObjectName
    section_name: SectionName | None = None
    """The name of one rule; absent = all rules of the route."""


class Rate(SpecModel):
    """So many requests in so long. `requests: 0` denies all."""

    requests: Annotated[int, Field(ge=0, le=1_000_000_000)]
    """0 denies all."""
    per: Duration = "1s"
    """Longer than 0s."""

    rules_between_fields = (
        Validation(
            cel="duration(self.per) > duration('0s')",
            message="rate.per must be longer than 0s",
            holds=lambda rate: values.milliseconds(rate.per) > 0,
        ),
    )


class ClientIP(SpecModel):
    """The client's address, cut to a prefix: an IPv6 user owns a /64, so that is what counts as one client."""

    prefix_v4: Annotated[int, Field(ge=0, le=32)] = 32
    """Bits of an IPv4 address that tell clients apart."""
    prefix_v6: Annotated[int, Field(ge=0, le=128)] = 64
    """Bits of an IPv6 address that tell clients apart."""


class KeyPart(SpecModel):
    """One part of the key: exactly one of the fields. Several parts form one tuple."""

    client_ip: ClientIP | None = Field(default=None, alias="clientIP")
    """The client's address; behind trusted proxies, the one that they forward."""
    header: HeaderName | None = None
    """The value of a request header; its absence counts as a value of its own."""
    query: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    """The value of a query parameter; its absence counts as a value of its own."""
    host: Switch | None = None
    """The host that was asked for."""
    route: Switch | None = None
    """The route that the request fits."""
    rule: Switch | None = None
    """The rule that the request fits."""

    members: ClassVar[tuple[str, ...]] = ("client_ip", "header", "query", "host", "route", "rule")
    rules_between_fields = (
        Validation(
            cel="[has(self.clientIP), has(self.header), has(self.query), has(self.host), has(self.route),"
            " has(self.rule)].filter(present, present).size() == 1",
            message="a part of key is exactly one of clientIP, header, query, host, route, rule: write one part for each",
            holds=lambda part: sum(getattr(part, name) is not None for name in KeyPart.members) == 1,
        ),
    )


class Limit(SpecModel):
    """One token bucket for each key: it holds `burst`, and fills at `rate`."""

    name: SectionName
    rate: Rate
    burst: Annotated[int, Field(ge=1, le=1_000_000_000)]
    """How many requests a full bucket admits at once."""
    scope: Literal["Pod"]
    """Pod: each data-plane pod counts for itself."""
    key: Annotated[tuple[KeyPart, ...], bounded(8)] = ()
    """What has a bucket of its own; empty = one bucket for all requests."""
    max_keys: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Buckets kept at once; the least recently used one goes."""


class OnLimit(SpecModel):
    """What clients are told of their limits."""

    headers: Literal["Standard", "Legacy", "Off"] = "Standard"
    """Standard: RateLimit and RateLimit-Policy; Legacy: X-RateLimit-*; Off: none."""


class RateLimitPolicySpec(SpecModel):
    """Limits, and the routes they are for: absent targetRefs = every route of the namespace."""

    target_refs: Annotated[tuple[TargetRef, ...], bounded(32)] = ()
    """Absent = every route of the namespace."""
    limits: Annotated[tuple[Limit, ...], bounded(16, least=1), keyed_by("name")]
    """All must admit a request; a refusal takes from none."""
    on_limit: OnLimit = OnLimit()

    rules_between_fields = (
        Validation(
            # The API server says the same of a map-list by itself; standalone has to be told.
            cel="self.limits.all(a, self.limits.exists_one(b, a.name == b.name))",
            message="limits must have different names: rename all but one",
            holds=lambda spec: len({limit.name for limit in spec.limits}) == len(spec.limits),
        ),
    )
