"""The runtime: the documents compiled for the request path. Immutable once built, except for buckets and counters.

Buckets, counters, endpoints and members with their health outlive a runtime: they are passed in, so a new document never
refills a bucket, resets a metric, drops a connection or restores an ejected endpoint.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final

from inferway_contract.document import ConfigDocument, EndpointsDocument, Limit, LoadBalancer, Policy, Route
from inferway_contract.document import Rule as RuleDocument
from inferway_contract.policy_targets import PolicyTargets
from inferway_dataplane.core import invalid_rules
from inferway_dataplane.core.caching.keys import CacheRules, digest_of
from inferway_dataplane.core.invalid_rules import Credential, InvalidRule
from inferway_dataplane.core.limits.keys import key_of, values_of
from inferway_dataplane.core.limits.ratelimit_headers import RateLimitHeaders
from inferway_dataplane.core.limits.token_bucket import Bucket
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing.cors import CorsRules
from inferway_dataplane.core.routing.filters import HeaderModifiers, RuleResponses
from inferway_dataplane.core.routing.table import RouteEntry, RoutingTable
from inferway_dataplane.core.upstreams.backends import BackendResolver, EndpointFactory, Members
from inferway_dataplane.core.upstreams.circuit_breaker import Breaker
from inferway_dataplane.core.upstreams.health_state import CheckRules
from inferway_dataplane.core.upstreams.members import RuleCounters
from inferway_dataplane.core.upstreams.response_limits import ResponseLimits
from inferway_dataplane.core.upstreams.retry import RetryRules
from inferway_dataplane.core.upstreams.selection import BackendSet

_LIMIT_NAMES: Final = (
    b"ratelimit",
    b"ratelimit-policy",
    b"x-ratelimit-limit",
    b"x-ratelimit-remaining",
    b"x-ratelimit-reset",
)


class Rule:
    """One compiled rule. None = the rule does not have this."""

    __slots__ = (
        "backend_set",
        "backend_timeout",
        "breaker",
        "cache",
        "connect_timeout",
        "cors",
        "gateway_fields",
        "hash_key",
        "health_check",
        "limit_headers",
        "limits",
        "max_request_body",
        "name",
        "preflight",
        "problem",
        "request_edits",
        "request_timeout",
        "response_edits",
        "response_limits",
        "responses",
        "retry",
        "rewrite",
        "route",
        "stages",
        "stats",
    )

    def __init__(self, route: Route, rule: RuleDocument, policies: tuple[Policy, ...], build: "_Build") -> None:
        self.route = route.id
        self.name = rule.name
        self.problem = _refusal(rule)  # set = the response to every request
        self.rewrite = rule.rewrite
        self.request_edits = HeaderModifiers(rule.request_headers) if rule.request_headers else None
        self.response_edits = HeaderModifiers(rule.response_headers) if rule.response_headers else None
        self.cors = CorsRules(rule.cors) if rule.cors else None
        counters = build.counters(route.id, rule.name)
        edits = self.request_edits
        omitted = [name for name in (b"x-request-id", b"traceparent") if edits is not None and edits.drops(name)]
        owner = (route.id, rule.name)
        backends = [
            (backend.weight, backend.priority, build.resolver.resolve(backend, owner, counters, omitted))
            for backend in rule.backends
        ]
        self.health_check = CheckRules(rule.health_check) if rule.health_check else None
        self.backend_set = BackendSet(
            backends, rule.load_balancer, rule.circuit_breaker, counters, checks=self.health_check is not None
        )
        self.hash_key = _hash_key(rule.load_balancer)
        self.breaker = Breaker(rule.circuit_breaker, counters)
        self.retry = RetryRules(rule.retry, counters) if rule.retry else None
        # Seconds; 0 in the document = no limit.
        self.connect_timeout = rule.timeouts.connect / 1000 or float("inf")
        self.backend_timeout = rule.timeouts.backend_request / 1000 or float("inf")
        self.request_timeout = rule.timeouts.request / 1000 or float("inf")
        self.response_limits = ResponseLimits(rule)
        self.max_request_body = rule.max_request_body  # bytes
        self.cache = (
            CacheRules(
                rule.cache,
                digest_of(route.id, rule),
                has_prefix=rule.rewrite is not None and rule.rewrite.path is not None,
            )
            if rule.cache
            else None
        )
        limits = [(policy, limit) for policy in policies for limit in policy.limits]
        values = values_of(limit.key for _, limit in limits)
        # A bucket and the reader of its key; None = one bucket for all requests.
        self.limits = tuple(
            (build.bucket(policy, limit), key_of(limit.key, route.id, rule.name, values)) for policy, limit in limits
        )
        styles = [policy.headers for policy, _ in limits]
        self.limit_headers = (
            RateLimitHeaders(
                [(bucket, style) for (bucket, _), style in zip(self.limits, styles, strict=True)],
                omitted=[name for name in _LIMIT_NAMES if self.response_edits and self.response_edits.drops(name)],
            )
            if set(styles) - {"Off"}
            else None
        )
        # Response fields that the gateway writes itself (lower case): dropped from upstream responses.
        self.gateway_fields = frozenset(
            (_LIMIT_NAMES if self.limit_headers is not None else ())
            + ((self.cache.status_header.lower(),) if self.cache is not None else ())
        )
        self.responses = (
            RuleResponses(rule.redirect, rule.respond, self.response_edits) if rule.redirect or rule.respond else None
        )
        self.stats = build.stats_of(route.id, rule.name)  # counters of the engine
        self.stages = build.stages_of(self)
        # The rule as its preflights meet it: the same in all but the stages.
        self.preflight: Rule | None = None
        if self.cors is not None:
            self.preflight = copy(self)
            self.preflight.stages = build.preflight_stages


def _refusal(rule: RuleDocument) -> Problem | None:
    if rule.refusal is None:
        return None
    return problems.INVALID_POLICY if rule.refusal.code == "invalid_policy" else problems.INVALID_RULE


@dataclass(slots=True, eq=False, repr=False)
class Runtime:
    """The compiled documents; a request reads it once and keeps it."""

    config: ConfigDocument
    endpoints: EndpointsDocument
    table: RoutingTable[Rule]
    buckets: dict[object, Bucket]
    upstreams: set[Any]
    rules: list[Rule]
    members: Members
    counters_of: dict[tuple[str, str], RuleCounters]
    secrets: set[str]
    invalid_rules: tuple[InvalidRule, ...]
    """Those of the documents; rules without their secret come in addition."""
    credentials: tuple[Credential, ...]


@dataclass
class _Build:
    """The state of building one runtime."""

    resolver: BackendResolver
    stats_of: Callable[[str, str], Any]
    stages_of: Callable[[Rule], tuple[Any, ...]]
    preflight_stages: tuple[Any, ...]
    older: Runtime | None
    now: float
    buckets: dict[object, Bucket] = field(default_factory=dict)
    counters_of: dict[tuple[str, str], RuleCounters] = field(default_factory=dict)

    def counters(self, route: str, rule: str) -> RuleCounters:
        name = (route, rule)
        older = self.older.counters_of.get(name) if self.older is not None else None
        return self.counters_of.setdefault(name, older or RuleCounters())

    def bucket(self, policy: Policy, limit: Limit) -> Bucket:
        # The key is part of a bucket's identity: levels by client do not convert to levels by tenant.
        name = (policy.id, limit.name, limit.key)
        bucket = self.buckets.get(name)
        if bucket is None:
            bucket = Bucket(policy.id, limit.name, limit.requests, limit.per / 1000, limit.burst, limit.max_keys)
            self.buckets[name] = bucket
            older = self.older.buckets.get(name) if self.older is not None else None
            if older is not None:
                bucket.inherit(older, self.now)
        return bucket


def build(
    config: ConfigDocument,
    endpoints: EndpointsDocument,
    *,
    endpoint_of: EndpointFactory,
    stats_of: Callable[[str, str], Any],
    stages_of: Callable[[Rule], tuple[Any, ...]] = lambda rule: (),
    preflight_stages: tuple[Any, ...] = (),
    older: Runtime | None,
    now: float,
) -> Runtime:
    """Compile the documents. Raises `LookupError` if they do not fit together.

    `endpoint_of`, `stats_of` and `stages_of` return what a rule holds for the engine; `preflight_stages`: of the
    preflights that a rule answers itself; `now`: monotonic seconds.
    """
    resolver = BackendResolver(endpoints.services, endpoint_of, older.members if older is not None else {}, now)
    building = _Build(resolver, stats_of, stages_of, preflight_stages, older, now)
    targets = PolicyTargets(config.policies)
    entries = []
    rules = []
    invalid: list[InvalidRule] = []
    credentials: list[Credential] = []
    for age, route in enumerate(config.routes):
        for index, document in enumerate(map(invalid_rules.protected, route.rules)):
            invalid += invalid_rules.in_rule(route.id, document)
            credentials += invalid_rules.credentials_of(route.id, document)
            policies = () if document.refusal else targets.of(route.id, document.name)
            rule = Rule(route, document, policies, building)
            rules.append(rule)
            entries += [
                RouteEntry(hostname, match, age, index, rule, rule.preflight)
                for hostname in route.hostnames or ("",)
                for match in document.matches
            ]
    return Runtime(
        config,
        endpoints,
        RoutingTable(entries),
        building.buckets,
        resolver.upstreams,
        rules,
        resolver.members,
        building.counters_of,
        resolver.secrets,
        tuple(invalid),
        tuple(credentials),
    )


def _hash_key(balancer: LoadBalancer) -> Callable[[RequestHead, str], bytes | None] | None:
    """Return the reader of consistent hashing's key, of a request and the client's address; None = another balancer."""
    if balancer.type != "ConsistentHash":
        return None
    if balancer.hash_header is None:
        return lambda head, client: client.encode()
    name = balancer.hash_header.encode()
    return lambda head, client: head.value(name)
