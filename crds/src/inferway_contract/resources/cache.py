"""Caching: which responses are stored, for how long, and under which key."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from inferway_contract.resources import model

Parameter = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class QueryKey(model.SpecModel):
    """Which query parameters are part of the cache key: all but `exclude`, or only `include`."""

    include: Annotated[tuple[Parameter, ...], model.bounded(32)] = ()
    """Only these parameters. Empty: all."""
    exclude: Annotated[tuple[Parameter, ...], model.bounded(32)] = ()
    """All parameters except these."""
    sort: bool = False
    """Whether `?a=1&b=2` and `?b=2&a=1` are the same query."""

    validations = (
        model.Validation(
            cel="!has(self.include) || !has(self.exclude) || size(self.include) == 0 || size(self.exclude) == 0",
            message="query takes include or exclude, not both",
            holds=lambda query: not (query.include and query.exclude),
        ),
    )


class CacheKey(model.SpecModel):
    """Parts of the cache key, in addition to route, rule, scheme, path and identity."""

    host: bool = True
    """Whether the host is part of the key."""
    query: QueryKey = QueryKey()
    headers: Annotated[tuple[model.HeaderName, ...], model.bounded(16)] = ()
    """Request headers whose values are part of the key."""


_STATUS_CODES = (200, 203, 204, 301, 404, 410)


class Cache(model.SpecModel):
    """Storage and reuse of responses (RFC 9111, as a shared cache)."""

    methods: Annotated[tuple[Literal["GET"], ...], model.bounded(1, least=1), model.schema_default(["GET"])] = ("GET",)
    """HEAD requests get responses stored for GET."""
    ttl: model.Duration | None = None
    """Lifetime of responses without explicit freshness. Default: only responses with explicit freshness are stored."""
    max_ttl: model.Duration = "1h"
    """Upper bound of every lifetime, including the origin's."""
    status_codes: Annotated[
        tuple[Annotated[int, Field(ge=200, le=599)], ...],
        model.bounded(16, least=1),
        model.schema_default([*_STATUS_CODES]),
    ] = _STATUS_CODES
    """Status codes of responses that may be stored."""
    key: CacheKey = CacheKey()
    identity: Literal["Isolate", "Shared"] = "Isolate"
    """Isolate: stored responses are separate for each credential. Shared: all clients share them."""
    max_body: model.Quantity = "1Mi"
    """Larger responses are not stored."""
    status_header: model.HeaderName = "X-Cache"
    """Response header with the outcome: HIT, MISS or BYPASS."""

    validations = (
        model.Validation(
            cel="!has(self.statusCodes) || !(206 in self.statusCodes || 304 in self.statusCodes)",
            message="statusCodes must not contain 206 or 304: they are parts of other responses",
            holds=lambda cache: not {206, 304} & set(cache.status_codes),
        ),
    )
