"""Health: how much is asked of upstreams at once, and which of their endpoints are left alone."""

from typing import Annotated

from pydantic import Field, StringConstraints

from inferway_contract import values
from inferway_contract.resources.model import Duration, SpecModel, Validation, bounded, schema_default

_LONGEST_EJECTION = "5m"
_LEAST_INTERVAL = "100ms"


class CircuitBreaker(SpecModel):
    """Bounds of what a rule asks of its upstreams, and when an endpoint that fails is ejected. Always on, with these values."""

    max_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """In flight to upstreams at once; more are answered 503."""
    max_pending: Annotated[int, Field(ge=0, le=1_000_000)] = 256
    """Of those, waiting for a connection, each at most timeouts.connect; more are answered 503."""
    consecutive_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    """So many failures in a row (no connection, no answer, a 5xx) eject an endpoint."""
    open_for: Duration = "10s"
    """How long the first time; twice as long each further time, up to 5m. Then one request finds out."""
    max_ejected_percent: Annotated[int, Field(ge=0, le=100)] = 50
    """Of the endpoints of all priorities; one always may be, the last available one never is. 0 = none."""

    rules_between_fields = (
        Validation(
            cel=f"duration(self.openFor) > duration('0s') && duration(self.openFor) <= duration('{_LONGEST_EJECTION}')",
            message=f"openFor must be longer than 0s and at most {_LONGEST_EJECTION}",
            holds=lambda breaker: 0 < values.milliseconds(breaker.open_for) <= values.milliseconds(_LONGEST_EJECTION),
        ),
    )


class HealthCheck(SpecModel):
    """A GET that every data-plane pod sends to every endpoint in turn."""

    path: Annotated[str, StringConstraints(pattern=values.CHECK_PATH_PATTERN, min_length=1, max_length=1024)]
    """Asked for as it stands: the path of a backend's url is not put before it."""
    interval: Duration = "5s"
    """From one to the next; at least 100ms."""
    timeout: Duration = "1s"
    """What is not answered within it has failed."""
    healthy_threshold: Annotated[int, Field(ge=1, le=100)] = 1
    """So many good ones in a row let an unhealthy endpoint in again."""
    unhealthy_threshold: Annotated[int, Field(ge=1, le=100)] = 3
    """So many bad ones in a row shut a healthy endpoint out."""
    expected_statuses: Annotated[
        tuple[Annotated[int, Field(ge=200, le=599)], ...], bounded(16, least=1), schema_default([200])
    ] = (200,)
    """Any other answer is a bad one."""

    rules_between_fields = (
        Validation(
            cel=f"duration(self.interval) >= duration('{_LEAST_INTERVAL}')",
            message=f"interval must be at least {_LEAST_INTERVAL}",
            holds=lambda check: values.milliseconds(check.interval) >= values.milliseconds(_LEAST_INTERVAL),
        ),
        Validation(
            cel="duration(self.timeout) > duration('0s') && duration(self.timeout) <= duration(self.interval)",
            message="timeout must be longer than 0s and not longer than interval",
            holds=lambda check: 0 < values.milliseconds(check.timeout) <= values.milliseconds(check.interval),
        ),
    )
