"""Upstreams: how their endpoints are balanced, tried again, spared and asked how they do."""

from inferway_contract import document, values
from inferway_contract.resources import gateway_route as written
from inferway_operator.compiler.draft import Draft


def translate(draft: Draft) -> None:
    """Give every rule what it says of its upstreams; what it does not say is absent, or has the document's defaults."""
    for _, rule in draft.rules():
        said = rule.source.rule
        if said is None:
            continue
        rule.parts["load_balancer"] = _load_balancer(said.load_balancer)
        rule.parts["circuit_breaker"] = _circuit_breaker(said.circuit_breaker)
        if said.retry is not None:
            rule.parts["retry"] = _retry(said.retry)
        if said.health_check is not None:
            rule.parts["health_check"] = _health_check(said.health_check)


def _load_balancer(said: written.LoadBalancer) -> document.LoadBalancer:
    header = said.hash_on.header if said.hash_on is not None else None
    return document.LoadBalancer(
        type=said.type,
        hash_header=None if header is None else header.lower(),
        slow_start=0 if said.slow_start is None else values.milliseconds(said.slow_start),
    )


def _retry(said: written.Retry) -> document.Retry:
    # In the order they are written; what is written twice is meant once.
    return document.Retry(
        attempts=said.attempts,
        statuses=tuple(dict.fromkeys(said.codes)),
        conditions=tuple(dict.fromkeys(said.conditions)),
        methods=tuple(dict.fromkeys(said.methods)),
        backoff=values.milliseconds(said.backoff),
        max_backoff=values.milliseconds(said.max_backoff),
        budget_percent=said.budget_percent,
    )


def _circuit_breaker(said: written.CircuitBreaker) -> document.CircuitBreaker:
    return document.CircuitBreaker(
        max_requests=said.max_requests,
        max_pending=said.max_pending,
        consecutive_failures=said.consecutive_failures,
        open_for=values.milliseconds(said.open_for),
        max_ejected_percent=said.max_ejected_percent,
    )


def _health_check(said: written.HealthCheck) -> document.HealthCheck:
    return document.HealthCheck(
        path=said.path,
        interval=values.milliseconds(said.interval),
        timeout=values.milliseconds(said.timeout),
        healthy_threshold=said.healthy_threshold,
        unhealthy_threshold=said.unhealthy_threshold,
        expected_statuses=tuple(dict.fromkeys(said.expected_statuses)),
    )
