"""Filters change requests and responses, or respond without a backend. Gateway API's union, each type once a rule."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from inferway_contract import values
from inferway_contract.resources import model
from inferway_contract.resources.matches import Method

# Hop-by-hop fields (RFC 9110 7.6.1) and those that frame, route or identify: only the gateway writes them.
GUARDED_HEADERS = (
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
)
GUARDED_CEL = "[" + ", ".join(f"'{name}'" for name in GUARDED_HEADERS) + "]"


class Header(model.SpecModel):
    """A header field with its value."""

    name: model.HeaderName
    value: model.HeaderValue


def _unguarded(field: str, name: str) -> model.Validation:
    return model.Validation(
        cel=f"!has(self.{field}) || self.{field}.all(h, !({name}.lowerAscii() in {GUARDED_CEL}))",
        message=f"{field} must not name hop-by-hop fields, Host, Content-Length or X-Forwarded-*: the gateway writes them",
        holds=lambda edit: (
            not any(
                (item if isinstance(item, str) else item.name).lower() in GUARDED_HEADERS
                for item in getattr(edit, field)
            )
        ),
    )


# The gateway writes these itself. Filters of requests may replace or remove them.
OWN_REQUEST_HEADERS = ("via", "x-request-id", "traceparent")
# Fields that may not come twice (RFC 9110 5.3) and that the gateway, clients or upstreams usually send: `add` would make two.
SINGLE_HEADERS = (
    "authorization",
    "content-type",
    "location",
    "referer",
    "retry-after",
    "server",
    "traceparent",
    "user-agent",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
    "x-upstream-request-id",
)
# Of every response.
OWN_RESPONSE_HEADERS = ("age", "date", "x-request-id")


class HeaderModifier(model.SpecModel):
    """Changes of header fields: `set` replaces, `add` appends, `remove` deletes; in that order."""

    set: Annotated[tuple[Header, ...], model.bounded(16)] = ()
    """Replaces all fields of that name."""
    add: Annotated[tuple[Header, ...], model.bounded(16)] = ()
    """Adds a field and keeps those of that name."""
    remove: Annotated[tuple[model.HeaderName, ...], model.bounded(16)] = ()
    """Removes all fields of that name."""

    validations = (
        _unguarded("set", "h.name"),
        _unguarded("add", "h.name"),
        _unguarded("remove", "h"),
        model.Validation(
            cel=f"!has(self.add) || self.add.all(h, !(h.name.lowerAscii() in {list(SINGLE_HEADERS)}))",
            message=f"add must not name {', '.join(SINGLE_HEADERS)}: such a field may not come twice, use set",
            holds=lambda edit: not {entry.name.lower() for entry in edit.add} & set(SINGLE_HEADERS),
        ),
    )


NewPath = Annotated[str, StringConstraints(pattern=values.REPLACEMENT_PATH_PATTERN, max_length=1024)]


class PathModifier(model.SpecModel):
    """A new path: the whole path, or the part that the prefix matched."""

    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    replace_full_path: NewPath | None = None
    """For ReplaceFullPath: the whole new path."""
    replace_prefix_match: NewPath | None = None
    """For ReplacePrefixMatch: the replacement of the matched prefix."""

    validations = (
        model.Validation(
            cel="self.type == 'ReplaceFullPath' ? has(self.replaceFullPath) && !has(self.replacePrefixMatch)"
            " : has(self.replacePrefixMatch) && !has(self.replaceFullPath)",
            message="path needs exactly the field that its type names: replaceFullPath or replacePrefixMatch",
            holds=lambda path: (
                (path.replace_full_path is not None, path.replace_prefix_match is not None)
                == (path.type == "ReplaceFullPath", path.type == "ReplacePrefixMatch")
            ),
        ),
    )


class UrlRewrite(model.SpecModel):
    """Host and path that the upstream receives instead of the client's."""

    hostname: model.PreciseHostname | None = None
    """The new Host."""
    path: PathModifier | None = None
    """The new path; the query stays."""


class RequestRedirect(model.SpecModel):
    """A redirect response. Absent fields are taken from the request."""

    scheme: Literal["http", "https"] | None = None
    hostname: model.PreciseHostname | None = None
    path: PathModifier | None = None
    port: model.Port | None = None
    """Default: the standard port of scheme if that is set, otherwise the request's port."""
    status_code: Literal[301, 302, 303, 307, 308] = 302


class DirectResponse(model.SpecModel):
    """A fixed response, sent without an upstream."""

    status_code: Annotated[int, Field(ge=200, le=599)]
    content_type: Annotated[model.HeaderValue, StringConstraints(min_length=1, max_length=256)] = (
        "text/plain; charset=utf-8"
    )
    body: Annotated[str, StringConstraints(max_length=4096)] = ""
    """Text of at most 4096 characters."""

    validations = (
        model.Validation(
            cel="!has(self.body) || self.body == '' || !(self.statusCode in [204, 205, 304])",
            message="body must be absent with statusCode 204, 205 or 304: they have no body",
            holds=lambda answer: not answer.body or answer.status_code not in (204, 205, 304),
        ),
    )


Origin = Annotated[str, StringConstraints(pattern=values.ORIGIN_PATTERN, min_length=1, max_length=253)]
# All of Gateway API's, so that a list can be pasted; the gateway rejects CONNECT and TRACE.
CorsMethod = Literal[Method, "CONNECT", "TRACE", "*"]


class Cors(model.SpecModel):
    """Cross-origin resource sharing (the Fetch standard): which pages of other origins may read responses."""

    allow_origins: Annotated[tuple[Origin, ...], model.bounded(64, least=1)]
    """Origins like `https://app.example.com`, `https://*.example.com`, or `*` for all."""
    allow_methods: Annotated[tuple[CorsMethod, ...], model.bounded(16)] = ()
    """Methods that pages may use in addition to GET, HEAD and POST; `*` for all."""
    allow_headers: Annotated[tuple[model.HeaderName, ...], model.bounded(64)] = ()
    """Request headers that pages may set; `*` for all."""
    expose_headers: Annotated[tuple[model.HeaderName, ...], model.bounded(64)] = ()
    """Response headers that pages may read."""
    allow_credentials: bool = False
    """Whether pages may send cookies and Authorization."""
    max_age: Annotated[int, Field(ge=0, le=2**31 - 1)] = 5
    """Seconds for which a browser may cache the preflight response."""


# The type of a filter, and the field of the union with its parameters.
MEMBERS = {
    "RequestHeaderModifier": "requestHeaderModifier",
    "ResponseHeaderModifier": "responseHeaderModifier",
    "URLRewrite": "urlRewrite",
    "RequestRedirect": "requestRedirect",
    "DirectResponse": "directResponse",
    "CORS": "cors",
}


def _member_rule(kind: str, member: str) -> model.Validation:
    field = member[0] + "".join(f"_{c.lower()}" if c.isupper() else c for c in member[1:])
    return model.Validation(
        cel=f"has(self.{member}) == (self.type == '{kind}')",
        message=f"{member} must be set with type {kind}, and only with it",
        holds=lambda entry: (getattr(entry, field) is not None) == (entry.type == kind),
    )


def _names(modifier: HeaderModifier) -> set[str]:
    """Return the names that a modifier changes, in lower case."""
    return {name.lower() for name in (*modifier.remove, *(entry.name for entry in (*modifier.set, *modifier.add)))}


class Filter(model.SpecModel):
    """One filter: its type, and the field of that name."""

    type: Literal[
        "RequestHeaderModifier", "ResponseHeaderModifier", "URLRewrite", "RequestRedirect", "DirectResponse", "CORS"
    ]
    request_header_modifier: HeaderModifier | None = None
    response_header_modifier: HeaderModifier | None = None
    url_rewrite: UrlRewrite | None = None
    request_redirect: RequestRedirect | None = None
    direct_response: DirectResponse | None = None
    cors: Cors | None = None

    validations = (
        *(_member_rule(kind, member) for kind, member in MEMBERS.items()),
        model.Validation(
            cel="!has(self.responseHeaderModifier) || ["
            "(has(self.responseHeaderModifier.set) ? self.responseHeaderModifier.set.map(h, h.name) : []),"
            "(has(self.responseHeaderModifier.add) ? self.responseHeaderModifier.add.map(h, h.name) : []),"
            "(has(self.responseHeaderModifier.remove) ? self.responseHeaderModifier.remove : [])]"
            f".all(names, names.all(h, !(h.lowerAscii() in {list(OWN_RESPONSE_HEADERS)})))",
            message="responseHeaderModifier must not name Age, Date or X-Request-Id: the gateway writes them",
            holds=lambda entry: (
                entry.response_header_modifier is None
                or not _names(entry.response_header_modifier) & set(OWN_RESPONSE_HEADERS)
            ),
        ),
    )
