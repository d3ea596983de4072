"""Balancing: which of the available endpoints a request goes to."""

from typing import Literal

from pydantic import Field

from inferway_contract.resources.model import Duration, HeaderName, SpecModel, Switch, Validation


class HashOn(SpecModel):
    """What is hashed: exactly one of the fields."""

    header: HeaderName | None = None
    """The value of a request header. Requests without it are balanced as LeastRequest."""
    client_ip: Switch | None = Field(default=None, alias="clientIP")
    """The client's address; behind trusted proxies, the one that they forward."""

    rules_between_fields = (
        Validation(
            cel="has(self.header) != has(self.clientIP)",
            message="hashOn is exactly one of header and clientIP",
            holds=lambda hashed: (hashed.header is None) != (hashed.client_ip is None),
        ),
    )


class LoadBalancer(SpecModel):
    """How an endpoint is chosen among the available ones; docs/upstreams.md compares the types."""

    type: Literal["RoundRobin", "LeastRequest", "PeakEWMA", "ConsistentHash"] = "LeastRequest"
    """LeastRequest: the less loaded of two. PeakEWMA: the one of two that is expected to answer first."""
    hash_on: HashOn | None = None
    """For ConsistentHash: requests that are equal in this go to the same endpoint."""
    slow_start: Duration | None = None
    """Over this time the share of a new or restored endpoint grows. Absent = it has all of it at once."""

    rules_between_fields = (
        Validation(
            cel="has(self.hashOn) == (self.type == 'ConsistentHash')",
            message="hashOn belongs to type ConsistentHash, which needs it, and to no other",
            holds=lambda said: (said.hash_on is not None) == (said.type == "ConsistentHash"),
        ),
        Validation(
            cel="!has(self.slowStart) || self.type != 'ConsistentHash'",
            message="slowStart must be absent with type ConsistentHash: a key's endpoint does not depend on its age",
            holds=lambda said: said.slow_start is None or said.type != "ConsistentHash",
        ),
    )
