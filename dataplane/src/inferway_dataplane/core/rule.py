"""A rule, compiled for the request path."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final

from inferway_contract import document
from inferway_contract.document import LoadBalancer
from inferway_dataplane.core.caching.keys import CacheRules, digest_of
from inferway_dataplane.core.limits.policy_sets import PolicySet
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing.cors import CorsRules
from inferway_dataplane.core.routing.filters import HeaderModifiers, RuleResponses
from inferway_dataplane.core.upstreams.backends import BackendResolver
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

CountersOf = dict[tuple[str, str], RuleCounters]
"""By route id and rule name."""


@dataclass
class RuleContext:
    """What rules share while a runtime is built. `stats_of`, `stages_of`: what a rule holds for the engine."""

    resolver: BackendResolver
    stats_of: Callable[[str, str], Any]
    stages_of: Callable[["Rule"], tuple[Any, ...]]
    preflight_stages: tuple[Any, ...]
    older_counters: CountersOf
    counters_of: CountersOf = field(default_factory=dict)

    def counters(self, route: str, rule: str) -> RuleCounters:
        """Return the counters of a rule, which outlive runtimes."""
        name = (route, rule)
        return self.counters_of.setdefault(name, self.older_counters.get(name) or RuleCounters())


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

    def __init__(self, route: str, rule: document.Rule, policies: PolicySet, context: RuleContext) -> None:
        """`route`: id. `LookupError` if a Service has no entry."""
        self.route = route
        self.name = rule.name
        self.problem = _refusal(rule)  # set = the response to every request
        self.rewrite = rule.rewrite
        self.request_edits = HeaderModifiers(rule.request_headers) if rule.request_headers else None
        self.response_edits = HeaderModifiers(rule.response_headers) if rule.response_headers else None
        self.cors = CorsRules(rule.cors) if rule.cors else None
        counters = context.counters(route, rule.name)
        edits = self.request_edits
        omitted = [name for name in (b"x-request-id", b"traceparent") if edits is not None and edits.drops(name)]
        owner = (route, rule.name)
        backends = [
            (backend.weight, backend.priority, context.resolver.resolve(backend, owner, counters, omitted))
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
                digest_of(route, rule),
                has_prefix=rule.rewrite is not None and rule.rewrite.path is not None,
            )
            if rule.cache
            else None
        )
        # A bucket and the reader of its key; None = one bucket for all requests.
        self.limits = policies.limits
        edits = self.response_edits
        self.limit_headers = policies.headers([name for name in _LIMIT_NAMES if edits and edits.drops(name)])
        # Response fields that the gateway writes itself (lower case): dropped from upstream responses.
        self.gateway_fields = frozenset(
            (_LIMIT_NAMES if self.limit_headers is not None else ())
            + ((self.cache.status_header.lower(),) if self.cache is not None else ())
        )
        self.responses = (
            RuleResponses(rule.redirect, rule.respond, self.response_edits) if rule.redirect or rule.respond else None
        )
        self.stats = context.stats_of(route, rule.name)  # counters of the engine
        self.stages = context.stages_of(self)
        # The rule as its preflights meet it: the same in all but the stages.
        self.preflight: Rule | None = None
        if self.cors is not None:
            self.preflight = copy(self)
            self.preflight.stages = context.preflight_stages


def _refusal(rule: document.Rule) -> Problem | None:
    if rule.refusal is None:
        return None
    return problems.INVALID_POLICY if rule.refusal.code == "invalid_policy" else problems.INVALID_RULE


def _hash_key(balancer: LoadBalancer) -> Callable[[RequestHead, str], bytes | None] | None:
    """Return the reader of consistent hashing's key, of a request and the client's address; None = another balancer."""
    if balancer.type != "ConsistentHash":
        return None
    if balancer.hash_header is None:
        return lambda head, client: client.encode()
    name = balancer.hash_header.encode()
    return lambda head, client: head.value(name)
