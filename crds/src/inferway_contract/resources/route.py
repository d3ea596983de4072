"""GatewayRoute: which requests go where, and what is done to them on the way. Field by field in docs/api.md."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from inferway_contract import values
from inferway_contract.resources.base import (
    Duration,
    HeaderName,
    Hostname,
    Namespace,
    ObjectName,
    Port,
    Quantity,
    Rule,
    SectionName,
    Written,
    bounded,
)
from inferway_contract.resources.filters import Filter
from inferway_contract.resources.matches import Match

Url = Annotated[
    str,
    StringConstraints(
        pattern=r"^https?://([A-Za-z0-9]([A-Za-z0-9.\-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[^\x00-\x20#?\x7f\\]*)?$",
        max_length=2048,
    ),
]


class BackendRef(Written):
    """One place that requests may go to: a Service by name, or a URL."""

    group: Literal[""] = ""
    kind: Literal["Service"] = "Service"
    name: Annotated[str, StringConstraints(pattern=values.LABEL_PATTERN, min_length=1, max_length=63)] | None = None
    namespace: Namespace | None = None
    port: Port | None = None
    url: Url | None = None
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1

    rules_between_fields = (
        Rule(
            cel="has(self.name) != has(self.url)",
            message="a backendRef has either the name of a Service or a url",
            holds=lambda ref: (ref.name is None) != (ref.url is None),
        ),
        Rule(
            cel="!has(self.name) || has(self.port)",
            message="port is required beside the name of a Service",
            holds=lambda ref: ref.name is None or ref.port is not None,
        ),
        Rule(
            cel="!has(self.url) || !(has(self.port) || has(self.namespace))",
            message="url excludes port and namespace: write the port into the url",
            holds=lambda ref: ref.url is None or (ref.port is None and ref.namespace is None),
        ),
    )


class Timeouts(Written):
    """Time limits; `0s` is none. `backendRequest` is one try, `request` the whole wait for the response head."""

    connect: Duration = "2s"
    request: Duration = "30s"
    backend_request: Duration | None = None
    stream_idle: Duration = "5m"

    rules_between_fields = (
        Rule(
            cel="!has(self.backendRequest) || !has(self.request) || duration(self.request) == duration('0s') || "
            "(duration(self.backendRequest) != duration('0s') && duration(self.backendRequest) <= duration(self.request))",
            message="backendRequest must not be longer than request",
            holds=lambda limit: _within(limit.backend_request, limit.request),
        ),
    )


def _within(inner: str | None, outer: str) -> bool:
    if inner is None or values.milliseconds(outer) == 0:
        return True
    return 0 < values.milliseconds(inner) <= values.milliseconds(outer)


class Limits(Written):
    """Sizes that one exchange may have."""

    max_request_body: Quantity = "10Mi"
    max_response_header: Quantity = "64Ki"


class QueryKey(Written):
    """Which query parameters are part of the cache key: all but `exclude`, or only `include`."""

    include: Annotated[tuple[Annotated[str, StringConstraints(min_length=1, max_length=256)], ...], bounded(32)] = ()
    exclude: Annotated[tuple[Annotated[str, StringConstraints(min_length=1, max_length=256)], ...], bounded(32)] = ()
    sort: bool = False

    rules_between_fields = (
        Rule(
            cel="!has(self.include) || !has(self.exclude) || size(self.include) == 0 || size(self.exclude) == 0",
            message="query takes include or exclude, not both",
            holds=lambda query: not (query.include and query.exclude),
        ),
    )


class CacheKey(Written):
    """What tells two cached answers apart, beside route, rule, scheme, path and identity."""

    host: bool = True
    query: QueryKey = QueryKey()
    headers: Annotated[tuple[HeaderName, ...], bounded(16)] = ()


class Cache(Written):
    """Whether answers are kept (RFC 9111, as a shared cache)."""

    methods: Annotated[tuple[Literal["GET"], ...], bounded(1, least=1)] = ("GET",)
    ttl: Duration | None = None
    max_ttl: Duration = "1h"
    status_codes: Annotated[tuple[Annotated[int, Field(ge=200, le=599)], ...], bounded(16, least=1)] = (
        200,
        203,
        204,
        301,
        404,
        410,
    )
    key: CacheKey = CacheKey()
    identity: Literal["Isolate", "Shared"] = "Isolate"
    max_body: Quantity = "1Mi"
    status_header: HeaderName = "X-Cache"

    rules_between_fields = (
        Rule(
            cel="!has(self.statusCodes) || !(206 in self.statusCodes || 304 in self.statusCodes)",
            message="statusCodes must not name 206 or 304: they are parts of other answers",
            holds=lambda cache: not {206, 304} & set(cache.status_codes),
        ),
    )


def _kinds(rule: Any) -> list[str]:
    return [entry.type for entry in rule.filters]


def _replaces_prefix(rule: Any) -> bool:
    modifiers = [
        part.path
        for entry in rule.filters
        for part in (entry.url_rewrite, entry.request_redirect)
        if part is not None and part.path is not None
    ]
    return any(modifier.type == "ReplacePrefixMatch" for modifier in modifiers)


_TERMINAL = ("RequestRedirect", "DirectResponse")


class RouteRule(Written):
    """Matches, what happens to what they match, and where it goes."""

    name: SectionName | None = None
    matches: Annotated[tuple[Match, ...], bounded(16)] = (Match(),)
    filters: Annotated[tuple[Filter, ...], bounded(16)] = ()
    backend_refs: Annotated[tuple[BackendRef, ...], bounded(32)] = ()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    cache: Cache | None = None

    rules_between_fields = (
        Rule(
            cel="!has(self.filters) || self.filters.all(a, self.filters.exists_one(b, a.type == b.type))",
            message="filters may have each type once",
            holds=lambda rule: len(set(_kinds(rule))) == len(rule.filters),
        ),
        Rule(
            cel="!has(self.filters) || !self.filters.exists(f, f.type in ['RequestRedirect', 'DirectResponse'])"
            " || !has(self.backendRefs) || size(self.backendRefs) == 0",
            message="filters RequestRedirect and DirectResponse exclude backendRefs: they answer by themselves",
            holds=lambda rule: not (rule.backend_refs and set(_kinds(rule)) & set(_TERMINAL)),
        ),
        Rule(
            cel="!has(self.filters) || self.filters.filter(f, f.type in"
            " ['RequestRedirect', 'DirectResponse', 'URLRewrite']).size() <= 1",
            message="filters may have only one of URLRewrite, RequestRedirect and DirectResponse",
            holds=lambda rule: len(set(_kinds(rule)) & {*_TERMINAL, "URLRewrite"}) <= 1,
        ),
        Rule(
            cel="!has(self.filters) || !self.filters.exists(f, (has(f.urlRewrite) && has(f.urlRewrite.path)"
            " && f.urlRewrite.path.type == 'ReplacePrefixMatch') || (has(f.requestRedirect) && has(f.requestRedirect.path)"
            " && f.requestRedirect.path.type == 'ReplacePrefixMatch')) || !has(self.matches)"
            " || self.matches.all(m, !has(m.path) || m.path.type == 'PathPrefix')",
            message="ReplacePrefixMatch needs every path in matches to be of type PathPrefix",
            holds=lambda rule: (
                not _replaces_prefix(rule) or all(match.path.type == "PathPrefix" for match in rule.matches)
            ),
        ),
    )


class GatewayRouteSpec(Written):
    """Hostnames (none = any host) and rules."""

    hostnames: Annotated[tuple[Hostname, ...], bounded(16)] = ()
    rules: Annotated[tuple[RouteRule, ...], bounded(64, least=1)]

    rules_between_fields = (
        Rule(
            cel="self.rules.all(a, !has(a.name) || self.rules.exists_one(b, has(b.name) && a.name == b.name))",
            message="rules must have different names",
            holds=lambda spec: (
                len({rule.name for rule in spec.rules if rule.name}) == sum(1 for rule in spec.rules if rule.name)
            ),
        ),
    )


def rule_name(rule: RouteRule, index: int) -> str:
    """The name by which metrics, policies and messages call a rule that has none of its own."""
    return rule.name or f"rule-{index}"


__all__ = [
    "BackendRef",
    "Cache",
    "CacheKey",
    "GatewayRouteSpec",
    "Limits",
    "ObjectName",
    "QueryKey",
    "RouteRule",
    "Timeouts",
]
