"""RateLimitPolicy: how often something may be asked for. Field by field in docs/api.md."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from inferway_contract import values
from inferway_contract.resources.base import Duration, HeaderName, ObjectName, Rule, SectionName, Written, bounded


class TargetRef(Written):
    """A GatewayRoute of the policy's namespace, or one rule of it."""

    group: Literal["inferway.dev"] = "inferway.dev"
    kind: Literal["GatewayRoute"] = "GatewayRoute"
    name: ObjectName
    section_name: SectionName | None = None


class Rate(Written):
    """So many requests in so long. `requests: 0` denies all."""

    requests: Annotated[int, Field(ge=0, le=1_000_000_000)]
    per: Duration = "1s"

    rules_between_fields = (
        Rule(
            cel="duration(self.per) > duration('0s')",
            message="rate.per must be longer than 0s",
            holds=lambda rate: values.milliseconds(rate.per) > 0,
        ),
    )


class ClientIP(Written):
    """The client's address, cut to a prefix: an IPv6 user owns a /64, so that is what counts as one client."""

    prefix_v4: Annotated[int, Field(ge=0, le=32)] = 32
    prefix_v6: Annotated[int, Field(ge=0, le=128)] = 64


class KeyPart(Written):
    """One part of the key: exactly one of the fields. Several parts form one tuple."""

    client_ip: ClientIP | None = Field(default=None, alias="clientIP")
    header: HeaderName | None = None
    query: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    host: Literal[True] | None = None
    route: Literal[True] | None = None
    rule: Literal[True] | None = None

    members: ClassVar[tuple[str, ...]] = ("client_ip", "header", "query", "host", "route", "rule")
    rules_between_fields = (
        Rule(
            cel="[has(self.clientIP), has(self.header), has(self.query), has(self.host), has(self.route),"
            " has(self.rule)].filter(present, present).size() == 1",
            message="a part of key is exactly one of clientIP, header, query, host, route, rule",
            holds=lambda part: sum(getattr(part, name) is not None for name in KeyPart.members) == 1,
        ),
    )


class Limit(Written):
    """One token bucket for each key: it holds `burst`, and fills at `rate`."""

    name: SectionName
    rate: Rate
    burst: Annotated[int, Field(ge=1, le=1_000_000_000)]
    scope: Literal["Pod"]
    key: Annotated[tuple[KeyPart, ...], bounded(8)] = ()
    max_keys: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000


class OnLimit(Written):
    """What clients are told of their limits."""

    headers: Literal["Standard", "Legacy", "Off"] = "Standard"


class RateLimitPolicySpec(Written):
    """Limits, and the routes they are for: absent targetRefs = every route of the namespace."""

    target_refs: Annotated[tuple[TargetRef, ...], bounded(32)] = ()
    limits: Annotated[tuple[Limit, ...], bounded(16, least=1)]
    on_limit: OnLimit = OnLimit()

    rules_between_fields = (
        Rule(
            # The API server says the same of a map-list by itself; standalone has to be told.
            cel="self.limits.all(a, self.limits.exists_one(b, a.name == b.name))",
            message="limits must have different names",
            holds=lambda spec: len({limit.name for limit in spec.limits}) == len(spec.limits),
        ),
    )
