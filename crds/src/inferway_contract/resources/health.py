"""Health: load limits of upstreams, ejection of failing endpoints, and active checks."""

from typing import Annotated

from pydantic import Field, StringConstraints

from inferway_contract import values
from inferway_contract.resources.model import Duration, SpecModel, Validation, bounded, schema_default

_LONGEST_EJECTION = "5m"
_LEAST_INTERVAL = "100ms"


class CircuitBreaker(SpecModel):
    """Limits of a rule's load on its upstreams, and ejection of failing endpoints. Always on, with these defaults."""

    max_requests: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """Requests in flight to upstreams; further ones get a 503 response."""
    max_pending: Annotated[int, Field(ge=0, le=1_000_000)] = 256
    """Requests of these that wait for a connection, each at most timeouts.connect; further ones get a 503 response."""
    consecutive_failures: Annotated[int, Field(ge=1, le=1000)] = 5
    """Consecutive failures (connect error, no response, 5xx other than 501 and 505) after which an endpoint is ejected."""
    open_for: Duration = "10s"
    """Length of the first ejection, doubled each further time, up to 5m. Afterwards one request tests the endpoint."""
    max_ejected_percent: Annotated[int, Field(ge=0, le=100)] = 50
    """Share of a priority's endpoints that may be ejected, at least one. Without bound while another priority has an available one. 0: none."""

    validations = (
        Validation(
            cel=f"duration(self.openFor) > duration('0s') && duration(self.openFor) <= duration('{_LONGEST_EJECTION}')",
            message=f"openFor must be longer than 0s and at most {_LONGEST_EJECTION}",
            holds=lambda breaker: 0 < values.milliseconds(breaker.open_for) <= values.milliseconds(_LONGEST_EJECTION),
        ),
    )


class HealthCheck(SpecModel):
    """A GET request that every data-plane pod sends to every endpoint."""

    path: Annotated[str, StringConstraints(pattern=values.CHECK_PATH_PATTERN, min_length=1, max_length=1024)]
    """Path of the check, sent as is: the path of a backend's url is not put in front of it."""
    interval: Duration = "5s"
    """Time between two checks; at least 100ms."""
    timeout: Duration = "1s"
    """A check without a response in this time has failed."""
    healthy_threshold: Annotated[int, Field(ge=1, le=100)] = 1
    """Consecutive successful checks after which an unhealthy endpoint is used again."""
    unhealthy_threshold: Annotated[int, Field(ge=1, le=100)] = 3
    """Consecutive failed checks after which a healthy endpoint is not used."""
    expected_statuses: Annotated[
        tuple[Annotated[int, Field(ge=200, le=599)], ...], bounded(16, least=1), schema_default([200])
    ] = (200,)
    """A response with another status is a failed check."""

    validations = (
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
