"""GatewayRoute matches requests, changes them and sends them to backends. Field by field in docs/api.md."""

from typing import Annotated, Any

from inferway_contract.resources import model
from inferway_contract.resources.backends import BackendRef, Limits, Timeouts
from inferway_contract.resources.cache import Cache
from inferway_contract.resources.filters import Filter
from inferway_contract.resources.health import CircuitBreaker, HealthCheck
from inferway_contract.resources.load_balancer import LoadBalancer
from inferway_contract.resources.matches import Match
from inferway_contract.resources.retry import Retry


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


# Lists, because CEL's literals look the same.
_ANSWERING = ["RequestRedirect", "DirectResponse"]
_EXCLUSIVE = [*_ANSWERING, "URLRewrite"]
_EVERY_PATH = {"path": {"type": "PathPrefix", "value": "/"}}


class RouteRule(model.SpecModel):
    """Matches, and the filters, backends and bounds of the requests that match."""

    name: model.SectionName | None = None
    """Name for metrics and policies, unique within the route. Default: `rule-<index>`."""
    matches: Annotated[tuple[Match, ...], model.bounded(16), model.schema_default([_EVERY_PATH])] = (Match(),)
    """A request must fit one of them. Default: every path."""
    filters: Annotated[tuple[Filter, ...], model.bounded(16)] = ()
    """Applied in this order; each type at most once."""
    backend_refs: Annotated[tuple[BackendRef, ...], model.bounded(32)] = ()
    """Requests are split by weight between the backends of the first priority with an available endpoint."""
    load_balancer: LoadBalancer = LoadBalancer()
    timeouts: Timeouts = Timeouts()
    retry: Retry | None = None
    """Default: one try. A request that was never written to an upstream may still be sent again."""
    circuit_breaker: CircuitBreaker = CircuitBreaker()
    health_check: HealthCheck | None = None
    """Default: no checks; an endpoint's health follows from its responses to requests."""
    limits: Limits = Limits()
    cache: Cache | None = None
    """Default: no response is stored."""

    validations = (
        model.Validation(
            cel="!has(self.filters) || self.filters.all(a, self.filters.exists_one(b, a.type == b.type))",
            message="filters may contain each type once: merge those of one type",
            holds=lambda rule: len(set(_kinds(rule))) == len(rule.filters),
        ),
        model.Validation(
            cel=f"!has(self.filters) || !self.filters.exists(f, f.type in {_ANSWERING})"
            " || !has(self.backendRefs) || size(self.backendRefs) == 0",
            message="filters RequestRedirect and DirectResponse exclude backendRefs: they respond without a backend",
            holds=lambda rule: not (rule.backend_refs and set(_kinds(rule)) & set(_ANSWERING)),
        ),
        model.Validation(
            cel="!has(self.filters) || self.filters.all(a, self.filters.all(b, a.type == b.type"
            f" || !(a.type in {_EXCLUSIVE} && b.type in {_EXCLUSIVE})))",
            message="filters may contain only one of URLRewrite, RequestRedirect and DirectResponse: remove the others",
            holds=lambda rule: len(set(_kinds(rule)) & set(_EXCLUSIVE)) <= 1,
        ),
        model.Validation(
            cel="!has(self.filters) || !self.filters.exists(f, (has(f.urlRewrite) && has(f.urlRewrite.path)"
            " && f.urlRewrite.path.type == 'ReplacePrefixMatch') || (has(f.requestRedirect) && has(f.requestRedirect.path)"
            " && f.requestRedirect.path.type == 'ReplacePrefixMatch')) || !has(self.matches)"
            " || self.matches.all(m, !has(m.path) || !has(m.path.type) || m.path.type == 'PathPrefix')",
            message="ReplacePrefixMatch needs every path in matches to be of type PathPrefix",
            holds=lambda rule: (
                not _replaces_prefix(rule) or all(match.path.type == "PathPrefix" for match in rule.matches)
            ),
        ),
    )


class GatewayRouteSpec(model.SpecModel):
    """Hostnames (none: any host) and rules."""

    hostnames: Annotated[tuple[model.Hostname, ...], model.bounded(16)] = ()
    """Like `api.example.com` or `*.example.com`; the most specific one wins. Empty: any host."""
    rules: Annotated[tuple[RouteRule, ...], model.bounded(64, least=1)]
    """The most specific match wins; of equal ones the first."""

    validations = (
        model.Validation(
            cel="self.rules.filter(r, has(r.name)).all(a, self.rules.exists_one(b, has(b.name) && a.name == b.name))",
            message="rules must have different names: rename all but one",
            holds=lambda spec: (
                len({rule.name for rule in spec.rules if rule.name}) == sum(1 for rule in spec.rules if rule.name)
            ),
        ),
    )


def rule_name(rule: RouteRule, index: int) -> str:
    """Return the rule's name; metrics, policies and messages use `rule-<index>` for a rule without one."""
    return rule.name or f"rule-{index}"
