"""The config document, the only thing that the planes exchange: complete by itself, without Kubernetes terms.

The compiler writes it and the data plane reads it strictly: a document with an unknown field, a wrong type or an unknown
`format` is rejected as a whole, and the last good one stays. Durations are whole milliseconds (0 = no limit), sizes whole bytes,
names of headers lower case. Lists are in the order of precedence; `routes` are sorted by age.

There are two documents: `ConfigDocument` (routes and policies; its hash is the revision in statuses) and
`EndpointsDocument` (addresses, which change with every pod).
"""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

Format = Literal[1, 2]
"""Version of both documents. A pod rejects and reports a newer one."""
FORMAT: Final = 2
"""The newest one, and the one that documents have in memory. For the older one see `inferway_contract.format_1`."""


class DocumentModel(BaseModel):
    """Base of every part: strict, without unknown fields, immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


# --- matching -------------------------------------------------------------------------------------------------------


class PathMatch(DocumentModel):
    """Compared with the match path (`inferway_contract.paths`). `value` is a match path too, or an RE2 pattern."""

    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    value: str = "/"


class ValueMatch(DocumentModel):
    """A header (name in lower case) or a query parameter (name as is). A pattern must match all of the value."""

    name: str
    value: str
    type: Literal["Exact", "RegularExpression"] = "Exact"


class Precedence(DocumentModel):
    """The place of a match in the order of precedence. Lengths in bytes."""

    path_type: Literal["Exact", "PathPrefix", "RegularExpression"]
    path_length: int
    has_method: bool = False
    headers: int = 0
    query: int = 0


class Match(DocumentModel):
    """All fields that are present must match."""

    path: PathMatch = PathMatch()
    method: str | None = None
    headers: tuple[ValueMatch, ...] = ()
    query: tuple[ValueMatch, ...] = ()
    precedence: Precedence | None = None
    """The place of what was written, where only a part of it can be read (`inferway_contract.protection`); None = its own."""


# --- filters --------------------------------------------------------------------------------------------------------


class HeaderValue(DocumentModel):
    """A field to write; the name as the author spelled it."""

    name: str
    value: str


class HeaderEdit(DocumentModel):
    """Applied in the order set, add, remove."""

    set: tuple[HeaderValue, ...] = ()
    add: tuple[HeaderValue, ...] = ()
    remove: tuple[str, ...] = ()


class NewPath(DocumentModel):
    """Exactly one is present: `full` replaces the path, `prefix` the segments that the PathPrefix match consumed."""

    full: str | None = None
    prefix: str | None = None


class Rewrite(DocumentModel):
    """Host and path that the upstream receives."""

    hostname: str | None = None
    path: NewPath | None = None


class Redirect(DocumentModel):
    """Response with a Location; absent fields are taken from the request."""

    status: int
    scheme: Literal["http", "https"] | None = None
    hostname: str | None = None
    port: int | None = None
    path: NewPath | None = None


class DirectResponse(DocumentModel):
    """Fixed response of the gateway."""

    status: int
    content_type: str
    body: str = ""


class Refusal(DocumentModel):
    """An invalid rule fails closed: all its requests get a 500 response with this code."""

    code: Literal["invalid_rule", "invalid_policy"]
    detail: str
    """For operators (log, /debug); never sent to a client."""


class Cors(DocumentModel):
    """The Fetch standard's CORS protocol, handled by the gateway."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    allow_credentials: bool = False
    max_age_seconds: int = 5


class Url(DocumentModel):
    """An upstream by address. `host` is a name or an IP address without brackets; `path` is put in front of the request's."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str = ""


class Auth(DocumentModel):
    """A credential that the gateway sends to an upstream; the client's value of that header is removed.

    The document has the name of a file in the data plane's secrets directory, never its content.
    """

    header: str
    """In lower case."""
    prefix: str = ""
    """Text in front of the file's content, including the space: `Bearer `."""
    file: str


class Backend(DocumentModel):
    """One share of a rule's traffic. Exactly one of `service`, `url`, `refusal` is present."""

    weight: int = 1
    priority: int = 0
    """The lowest number with an available endpoint receives the requests."""
    service: str | None = None
    """`namespace/name:port`: a key of the endpoints document."""
    url: Url | None = None
    refusal: Literal["backend_not_found"] | None = None
    """The reference does not resolve: its share of the requests gets a 500 response."""
    detail: str = ""
    """Why it does not, for operators (log, /debug), of the first ones of a route; never sent to a client."""
    auth: Auth | None = None
    """Only together with `url`."""
    forwarded_headers: Literal["Send", "Omit"] = "Send"
    """Omit: no field that describes the client is sent (X-Forwarded-* and those of trusted proxies)."""


class LoadBalancer(DocumentModel):
    """Choice of an endpoint among the available ones of a priority."""

    type: Literal["RoundRobin", "LeastRequest", "PeakEWMA", "ConsistentHash"] = "LeastRequest"
    hash_header: str | None = None
    """For ConsistentHash: the header (lower case) whose value is hashed; None = the client's address."""
    slow_start: int = 0
    """Milliseconds over which the share of a new or restored endpoint grows; 0 = the full share at once."""


class Retry(DocumentModel):
    """When a failed try is followed by another one. Milliseconds."""

    attempts: int = 2
    """Tries after the first."""
    statuses: tuple[int, ...] = (502, 503, 504)
    conditions: tuple[Literal["ConnectFailure", "Reset", "Timeout"], ...] = ("ConnectFailure", "Reset", "Timeout")
    methods: tuple[str, ...] = ("GET", "HEAD", "OPTIONS")
    backoff: int = 25
    max_backoff: int = 1_000
    budget_percent: int = 20
    """Of the rule's requests in flight; three at once are always allowed."""


class CircuitBreaker(DocumentModel):
    """Limits of a rule's load on its upstreams, and ejection of failing endpoints."""

    max_requests: int = 1_024
    max_pending: int = 256
    consecutive_failures: int = 5
    open_for: int = 10_000
    """Milliseconds of an endpoint's first ejection; each further one is twice as long, up to five minutes."""
    max_ejected_percent: int = 50
    """Of a priority's endpoints, while no other priority has an available one; 0 = none is ever ejected."""


class HealthCheck(DocumentModel):
    """A GET request to every endpoint at an interval. Milliseconds."""

    path: str
    """With its query; sent as is, without the path of a backend's url."""
    interval: int = 5_000
    timeout: int = 1_000
    healthy_threshold: int = 1
    unhealthy_threshold: int = 3
    expected_statuses: tuple[int, ...] = (200,)


class Timeouts(DocumentModel):
    """Milliseconds; 0 = none."""

    connect: int = 2_000
    backend_request: int = 300_000
    request: int = 300_000
    stream_idle: int = 300_000
    upstream_idle: int | None = None
    """Of an unused upstream connection; None = the process's setting decides."""


class Cache(DocumentModel):
    """Which responses are stored, and their key. `ttl` (ms): for those without explicit freshness; None = not stored."""

    ttl: int | None = None
    max_ttl: int = 3_600_000
    statuses: tuple[int, ...] = (200, 203, 204, 301, 404, 410)
    key_host: bool = True
    query_include: tuple[str, ...] = ()
    query_exclude: tuple[str, ...] = ()
    query_sort: bool = False
    key_headers: tuple[str, ...] = ()
    identity: Literal["Isolate", "Shared"] = "Isolate"
    store_private: bool = False
    max_body: int = 1 << 20
    status_header: str = "X-Cache"


class Rule(DocumentModel):
    """Matches and one action: exactly one of `backends`, `redirect`, `respond`, `refusal` is present."""

    name: str
    matches: tuple[Match, ...] = (Match(),)
    backends: tuple[Backend, ...] = ()
    redirect: Redirect | None = None
    respond: DirectResponse | None = None
    refusal: Refusal | None = None
    request_headers: HeaderEdit | None = None
    response_headers: HeaderEdit | None = None
    rewrite: Rewrite | None = None
    cors: Cors | None = None
    load_balancer: LoadBalancer = LoadBalancer()
    timeouts: Timeouts = Timeouts()
    retry: Retry | None = None
    """None = one try (but a request that was never written may be sent again)."""
    circuit_breaker: CircuitBreaker = CircuitBreaker()
    health_check: HealthCheck | None = None
    """None = no active checks."""
    max_request_body: int = 32 << 20
    max_response_header: int = 64 << 10
    cache: Cache | None = None


class Route(DocumentModel):
    """Rules under hostnames (none = any host; `*.example.com` = one label or more before it)."""

    id: str
    """`namespace/name`: the metrics label."""
    created: str = ""
    """RFC 3339 in UTC, which sorts as text. With the id it gives the order: of two equal matches the older route's counts."""
    hostnames: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    @property
    def age(self) -> tuple[str, ...]:
        """Sort key, the oldest first."""
        return (self.created, *self.id.split("/"))


# --- limits ---------------------------------------------------------------------------------------------------------


class KeyPart(DocumentModel):
    """One part of a bucket's key. `name` is for header (lower case) and query, the prefixes are for client_ip."""

    type: Literal["client_ip", "header", "query", "host", "route", "rule"]
    name: str = ""
    prefix_v4: int = 32
    prefix_v6: int = 64


class Limit(DocumentModel):
    """A token bucket of `burst` for each key, filled with `requests` each `per` ms. requests 0 = deny all."""

    name: str
    requests: int
    per: int
    burst: int
    scope: Literal["Pod"] = "Pod"
    key: tuple[KeyPart, ...] = ()
    max_keys: int = 100_000


class Target(DocumentModel):
    """A route in the policy's namespace, or one of its rules. One that does not exist is allowed."""

    route: str
    """Name of the route, without its namespace."""
    rule: str | None = None
    """Name of the rule; None = all rules of the route."""


class Policy(DocumentModel):
    """Limits of one RateLimitPolicy, and the response headers about them."""

    id: str
    """`namespace/name`: the metrics label."""
    created: str = ""
    """As of a route; the oldest policy of a rule is judged first."""
    targets: tuple[Target, ...] = ()
    """Where it applies (`inferway_contract.policy_targets`); none = every route of its namespace."""
    limits: tuple[Limit, ...] = ()
    headers: Literal["Standard", "Legacy", "Off"] = "Standard"

    @property
    def age(self) -> tuple[str, ...]:
        """Sort key, the oldest first."""
        return (self.created, *self.id.split("/"))


# --- the documents --------------------------------------------------------------------------------------------------


class _Document(DocumentModel):
    """A whole document, in memory always of the newest format."""

    format: Literal[2] = 2

    @model_serializer(mode="wrap")
    def _with_format(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Also where defaults are left out: what is published without a format is of format 1.
        return {"format": self.format, **serialize(self)}


class ConfigDocument(_Document):
    """Routes and policies, the oldest first. Of several policies of a rule all must admit a request."""

    address_policy: Literal["Cluster", "Standalone"] = "Cluster"
    """Whether upstream addresses may be loopback (Standalone) or not (Cluster)."""
    routes: tuple[Route, ...] = ()
    policies: tuple[Policy, ...] = ()

    def named_services(self) -> frozenset[str]:
        """Return the keys that the endpoints document must have for this config."""
        backends = (backend for route in self.routes for rule in route.rules for backend in rule.backends)
        return frozenset(backend.service for backend in backends if backend.service is not None)


class Endpoint(DocumentModel):
    """A pod, or another process, that serves a port of a Service. It is one endpoint however many addresses it has."""

    address: str
    """The preferred one."""
    port: int
    further: tuple[str, ...] = ()
    """Its other addresses: of the other IP family, in a dual-stack cluster. In format 2 only."""

    def as_format_1(self) -> "Endpoint":
        """Return the endpoint as a pod knows it that reads format 1 only."""
        return self.model_copy(update={"further": ()}) if self.further else self


class EndpointsDocument(_Document):
    """Addresses of every Service that the config names. An empty list = no endpoint. `replicas`: live pods."""

    replicas: int = 1
    services: dict[str, tuple[Endpoint, ...]] = {}
