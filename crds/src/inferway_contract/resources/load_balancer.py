"""Load balancing: the choice of an available endpoint for a request."""

from typing import Literal

from pydantic import Field

from inferway_contract.resources.model import Duration, HeaderName, SpecModel, Switch, Validation


class HashOn(SpecModel):
    """The value that is hashed: exactly one of the fields."""

    header: HeaderName | None = None
    """The value of a request header. Requests without it are balanced as LeastRequest."""
    client_ip: Switch | None = Field(default=None, alias="clientIP")
    """The client's address; behind trusted proxies, the address that they forward."""

    validations = (
        Validation(
            cel="has(self.header) != has(self.clientIP)",
            message="hashOn must have exactly one of header and clientIP",
            holds=lambda hashed: (hashed.header is None) != (hashed.client_ip is None),
        ),
    )


class LoadBalancer(SpecModel):
    """How an endpoint is chosen among the available ones; docs/upstreams.md compares the types."""

    type: Literal["RoundRobin", "LeastRequest", "PeakEWMA", "ConsistentHash"] = "LeastRequest"
    """LeastRequest: the less loaded of two endpoints. PeakEWMA: the one of two that is expected to respond first."""
    hash_on: HashOn | None = None
    """For ConsistentHash: requests with the same value go to the same endpoint."""
    slow_start: Duration | None = None
    """Time over which the share of a new or restored endpoint grows. Default: the full share at once."""

    validations = (
        Validation(
            cel="has(self.hashOn) == (self.type == 'ConsistentHash')",
            message="hashOn must be set with type ConsistentHash, and only with it",
            holds=lambda balancer: (balancer.hash_on is not None) == (balancer.type == "ConsistentHash"),
        ),
        Validation(
            cel="!has(self.slowStart) || self.type != 'ConsistentHash'",
            message="slowStart must be absent with type ConsistentHash: a key's endpoint does not depend on its age",
            holds=lambda balancer: balancer.slow_start is None or balancer.type != "ConsistentHash",
        ),
    )
