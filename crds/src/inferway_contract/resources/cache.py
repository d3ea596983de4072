"""Caching: which responses are stored, for how long, and under which key."""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from inferway_contract import values
from inferway_contract.resources import model
from inferway_contract.resources.filters import GUARDED_HEADERS

Parameter = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class QueryKey(model.SpecModel):
    """Which query parameters are part of the cache key: all but `exclude`, or only `include`."""

    include: Annotated[tuple[Parameter, ...], model.bounded(32)] = ()
    """Only these parameters, and those that an upstream may read as one of them. Empty: all."""
    exclude: Annotated[tuple[Parameter, ...], model.bounded(32)] = ()
    """All parameters except these. With identity Isolate, those that may be credentials (`key`, `sig`) still separate clients."""
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
    """Parts of the cache key, in addition to route, content of the rule, scheme, path and identity."""

    host: bool = True
    """Whether the host is part of the key, with its port."""
    query: QueryKey = QueryKey()
    headers: Annotated[tuple[model.HeaderName, ...], model.bounded(16)] = ()
    """Request headers whose values are part of the key."""


_STATUS_CODES = (200, 203, 204, 301, 404, 410)

# The outcome would replace what the gateway or the upstream means by these.
_OWNED_HEADERS: Final = (
    *GUARDED_HEADERS, "accept-ranges", "age", "allow", "alt-svc", "authorization", "cache-control", "cache-status",
    "cdn-cache-control", "clear-site-data", "cookie", "date", "etag", "expect", "expires", "forwarded", "http2-settings",
    "inferway-cache-control", "last-modified", "link", "location", "pragma", "refresh", "retry-after", "server", "set-cookie",
    "strict-transport-security", "traceparent", "tracestate", "vary", "via", "www-authenticate", "x-request-id",
    "x-upstream-request-id",
)  # fmt: skip
_OWNED_FAMILIES: Final = ("access-control-", "content-", "proxy-", "ratelimit", "sec-", "x-forwarded-", "x-ratelimit-")
_STATUS_HEADER_CEL: Final = " && ".join(
    (
        f"!(self.statusHeader.lowerAscii() in [{', '.join(repr(name) for name in _OWNED_HEADERS)}])",
        *(f"!self.statusHeader.lowerAscii().startsWith('{family}')" for family in _OWNED_FAMILIES),
    )
)


def _is_owned(name: str) -> bool:
    return name.lower() in _OWNED_HEADERS or name.lower().startswith(_OWNED_FAMILIES)


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
    """Status codes to which ttl applies. A response with explicit freshness may be stored whatever its final status is."""
    key: CacheKey = CacheKey()
    identity: Literal["Isolate", "Shared"] = "Isolate"
    """Isolate: stored responses are separate for each credential (docs/credential-fields.md lists them). Shared: all clients share them."""
    store_private: bool = False
    """Whether `private` responses are stored for the credential that got them: only where one credential is one user."""
    max_body: model.Quantity = "1Mi"
    """Larger responses are not stored."""
    status_header: model.HeaderName = "X-Cache"
    """Response header with the outcome: HIT, MISS or BYPASS."""

    validations = (
        model.Validation(
            cel="!has(self.statusCodes) || !self.statusCodes.exists(code, code in ["
            + ", ".join(map(str, sorted(values.NEVER_STORED)))
            + "])",
            message="statusCodes must not contain 206, 304, 428, 429, 431 or 511: they answer one request only",
            holds=lambda cache: not values.NEVER_STORED & set(cache.status_codes),
        ),
        model.Validation(
            cel="!has(self.storePrivate) || !self.storePrivate || !has(self.identity) || self.identity == 'Isolate'",
            message="storePrivate needs identity Isolate: a private response belongs to one client",
            holds=lambda cache: not cache.store_private or cache.identity == "Isolate",
        ),
        model.Validation(
            cel=f"!has(self.statusHeader) || ({_STATUS_HEADER_CEL})",
            message="statusHeader must not name a field that frames or describes the response, or that the gateway writes:"
            " use a name of your own, like X-Cache",
            holds=lambda cache: not _is_owned(cache.status_header),
        ),
    )
