"""Caching: whether answers are kept, for how long, and what tells two of them apart."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from inferway_contract.resources.model import (
    Duration,
    HeaderName,
    Quantity,
    SpecModel,
    Validation,
    bounded,
    schema_default,
)

Parameter = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class QueryKey(SpecModel):
    """Which query parameters are part of the cache key: all but `exclude`, or only `include`."""

    include: Annotated[tuple[Parameter, ...], bounded(32)] = ()
    """Only these; empty = all."""
    exclude: Annotated[tuple[Parameter, ...], bounded(32)] = ()
    """All but these."""
    sort: bool = False
    """Whether `?a=1&b=2` and `?b=2&a=1` are the same."""

    rules_between_fields = (
        Validation(
            cel="!has(self.include) || !has(self.exclude) || size(self.include) == 0 || size(self.exclude) == 0",
            message="query takes include or exclude, not both",
            holds=lambda query: not (query.include and query.exclude),
        ),
    )


class CacheKey(SpecModel):
    """What tells two cached answers apart, beside route, rule, scheme, path and identity."""

    host: bool = True
    """Whether each host has answers of its own."""
    query: QueryKey = QueryKey()
    headers: Annotated[tuple[HeaderName, ...], bounded(16)] = ()
    """Request headers whose values have answers of their own."""


_STATUS_CODES = (200, 203, 204, 301, 404, 410)


class Cache(SpecModel):
    """Whether answers are kept (RFC 9111, as a shared cache)."""

    methods: Annotated[tuple[Literal["GET"], ...], bounded(1, least=1), schema_default(["GET"])] = ("GET",)
    """HEAD is answered from GET."""
    ttl: Duration | None = None
    """For answers without freshness of their own; absent = only what the origin allows is kept."""
    max_ttl: Duration = "1h"
    """Nothing is kept for longer, whatever the origin says."""
    status_codes: Annotated[
        tuple[Annotated[int, Field(ge=200, le=599)], ...], bounded(16, least=1), schema_default([*_STATUS_CODES])
    ] = _STATUS_CODES
    """Answers that may be kept."""
    key: CacheKey = CacheKey()
    identity: Literal["Isolate", "Shared"] = "Isolate"
    """Isolate: each credential has answers of its own. Shared: all clients have the same."""
    max_body: Quantity = "1Mi"
    """Larger answers are not kept."""
    status_header: HeaderName = "X-Cache"
    """The response header that tells the outcome: HIT, STALE, REVALIDATED, COALESCED, MISS or BYPASS."""

    rules_between_fields = (
        Validation(
            cel="!has(self.statusCodes) || !(206 in self.statusCodes || 304 in self.statusCodes)",
            message="statusCodes must not name 206 or 304: they are parts of other answers",
            holds=lambda cache: not {206, 304} & set(cache.status_codes),
        ),
    )
