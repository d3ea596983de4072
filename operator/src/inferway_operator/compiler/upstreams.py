"""Upstreams: load balancing, retries, circuit breaker and health checks."""

from inferway_contract import document, values
from inferway_contract.resources import health, load_balancer, retry
from inferway_operator.compiler.draft import Draft


def translate(draft: Draft) -> None:
    """Translate the upstream settings of every valid rule; absent ones keep the document's defaults."""
    for _, rule in draft.new_rules():
        source = rule.source.rule
        if source is None:
            continue
        rule.parts["load_balancer"] = _load_balancer(source.load_balancer)
        rule.parts["circuit_breaker"] = _circuit_breaker(source.circuit_breaker)
        if source.retry is not None:
            rule.parts["retry"] = _retry(source.retry)
        if source.health_check is not None:
            rule.parts["health_check"] = _health_check(source.health_check)


def _load_balancer(source: load_balancer.LoadBalancer) -> document.LoadBalancer:
    header = source.hash_on.header if source.hash_on is not None else None
    return document.LoadBalancer(
        type=source.type,
        hash_header=None if header is None else header.lower(),
        slow_start=0 if source.slow_start is None else values.milliseconds(source.slow_start),
    )


def _retry(source: retry.Retry) -> document.Retry:
    # In the order of the resource, without duplicates.
    return document.Retry(
        attempts=source.attempts,
        statuses=tuple(dict.fromkeys(source.codes)),
        conditions=tuple(dict.fromkeys(source.conditions)),
        methods=tuple(dict.fromkeys(source.methods)),
        backoff=values.milliseconds(source.backoff),
        max_backoff=values.milliseconds(source.max_backoff),
        budget_percent=source.budget_percent,
    )


def _circuit_breaker(source: health.CircuitBreaker) -> document.CircuitBreaker:
    return document.CircuitBreaker(
        max_requests=source.max_requests,
        max_pending=source.max_pending,
        consecutive_failures=source.consecutive_failures,
        open_for=values.milliseconds(source.open_for),
        max_ejected_percent=source.max_ejected_percent,
    )


def _health_check(source: health.HealthCheck) -> document.HealthCheck:
    return document.HealthCheck(
        path=source.path,
        interval=values.milliseconds(source.interval),
        timeout=values.milliseconds(source.timeout),
        healthy_threshold=source.healthy_threshold,
        unhealthy_threshold=source.unhealthy_threshold,
        expected_statuses=tuple(dict.fromkeys(source.expected_statuses)),
    )
