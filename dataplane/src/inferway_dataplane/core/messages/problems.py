"""Problems: the gateway's own error responses (RFC 9457 problem details), each with a stable code.

The code appears in the body, in metric labels and in the access log. A body never contains internal details. The docstring of
each problem names the fix; `make reference` writes both into docs/problems.md.
"""

import json
from http import HTTPStatus
from typing import Final

METHODS: Final = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
"""The request methods that the gateway serves; it refuses CONNECT and TRACE."""
ALLOW: Final = b", ".join(METHODS)
"""The value of Allow (RFC 9110 10.2.1)."""


class Problem:
    """An error response of the gateway. `closes`: the connection may be out of step and is closed.

    `type`: a registered problem type, with its `title` (RFC 9457 4.2); absent, the title is the status's phrase.
    """

    __slots__ = ("allow", "closes", "code", "detail", "status", "title", "type")

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        closes: bool = False,
        allow: str = "",
        type: str = "about:blank",  # noqa: A002 - the member's name
        title: str = "",
    ) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.closes = closes
        self.allow = allow
        self.type = type
        self.title = title or HTTPStatus(status).phrase

    def __repr__(self) -> str:
        return f"Problem({self.status}, {self.code!r})"


def body(problem: Problem, request_id: bytes, extra: dict[str, object] | None = None) -> bytes:
    """Build the `application/problem+json` body (RFC 9457 3); `extra` adds members."""
    content = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "requestId": request_id.decode("ascii"),
        **(extra or {}),
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _closing(code: str, detail: str, status: int = 400) -> Problem:
    return Problem(status, code, detail, closes=True)


# --- the client's message is malformed or ambiguous ------------------------------------------------------------------
MALFORMED: Final = _closing("malformed_request", "The request is not well-formed HTTP/1.1.")
"""Use an HTTP client that writes well-formed messages; docs/http.md lists what is rejected."""
BAD_HOST: Final = _closing("bad_host", "The request needs exactly one valid Host.")
"""Send one Host field with a valid host and port."""
BAD_CONTENT_LENGTH: Final = _closing("bad_content_length", "Content-Length must be one whole number.")
"""Send one Content-Length with digits only, or none."""
BAD_TRANSFER_ENCODING: Final = _closing(
    "bad_transfer_encoding", "Transfer-Encoding must be `chunked`, once, on HTTP/1.1."
)
"""Send `Transfer-Encoding: chunked` once, on HTTP/1.1 only."""
LENGTH_AND_ENCODING: Final = _closing("length_and_encoding", "Content-Length and Transfer-Encoding exclude each other.")
"""Send one of the two fields."""
UNSUPPORTED_CODING: Final = _closing("unsupported_coding", "The only transfer coding supported is chunked.", 501)
"""Send the body with `chunked` or a Content-Length; compress it by Content-Encoding."""
BAD_CONTENT_TYPE: Final = _closing("bad_content_type", "The request has more than one Content-Type.")
"""Send one Content-Type field: two could be read in two ways."""
BAD_MAX_FORWARDS: Final = Problem(400, "bad_max_forwards", "Max-Forwards must be one whole number.")
"""Send Max-Forwards once, with digits only, or not at all."""
BAD_VERSION: Final = _closing("unsupported_version", "Only HTTP/1.1 and HTTP/1.0 are served here.", 505)
"""Use HTTP/1.1; a client that began with HTTP/2 needs a TLS listener or its setting for HTTP/1.1."""
BAD_TARGET: Final = _closing("bad_target", "The request target is not a path or an absolute URI.")
"""Send a path that begins with `/`, or an absolute `http` or `https` URI."""
AMBIGUOUS_PATH: Final = Problem(
    400,
    "ambiguous_path",
    "The path can be read in two ways: it has dot segments, backslashes, control characters, or escaped slashes or"
    " parameters that may lead to another resource.",
)
"""Resolve dot segments before sending, and encode no backslash or control character in the path. Where `%2F`, `%5C` or `;`
could lead to another rule, send the path without them, or match both forms by one rule (docs/http.md)."""
AMBIGUOUS_KEY: Final = Problem(
    400,
    "ambiguous_key",
    "A field or a query parameter by which requests are limited came more than once: send it once.",
)
"""Send the header or the parameter that the response names once, in one spelling."""
EXPECTATION_FAILED: Final = _closing("expectation_failed", "The only expectation supported is 100-continue.", 417)
"""Send no Expect field other than `100-continue`."""
UNKNOWN_METHOD: Final = _closing("unknown_method", "The method is not implemented.", 501)
"""Use a method that the gateway knows."""
WEBSOCKET_UNSUPPORTED: Final = _closing("websocket_unsupported", "WebSocket is not supported here.", 501)
"""Use plain requests, whose responses may be streamed (server-sent events)."""
METHOD_NOT_ALLOWED: Final = Problem(
    405, "method_not_allowed", "CONNECT and TRACE are not allowed.", closes=True, allow=ALLOW.decode()
)
"""Use a method of the field Allow."""

# --- the request is too large or too slow ------------------------------------------------------------------------------
TARGET_TOO_LONG: Final = _closing("target_too_long", "The request line is too long.", 414)
"""Shorten path and query, or raise `max_request_line`."""
HEAD_TOO_LARGE: Final = _closing("head_too_large", "The header fields are too many or too large.", 431)
"""Send fewer or smaller fields (cookies), or raise `max_header_bytes` or `max_header_count`."""
BODY_TOO_LARGE: Final = _closing("body_too_large", "The request body is larger than this route allows.", 413)
"""Send a smaller body, or raise the rule's `limits.maxRequestBody`."""
HEAD_TIMEOUT: Final = _closing("head_timeout", "The request head did not arrive in time.", 408)
"""Send the whole head within `head_timeout`."""
BODY_TIMEOUT: Final = _closing("request_too_slow", "The request body did not arrive in time.", 408)
"""Send the body without pauses above `body_idle_timeout`, and on average at `body_rate` or faster."""
RATE_LIMITED: Final = Problem(
    429,
    "rate_limited",
    "Too many requests.",
    type="https://iana.org/assignments/http-problem-types#quota-exceeded",
    title="Quota Exceeded",
)
"""Wait for Retry-After; `violated-policies` lists the limits that were exceeded, `policy` and `limit` name the one with
the longest wait."""

# --- routing and configuration ---------------------------------------------------------------------------------------
NO_ROUTE: Final = Problem(404, "no_route", "No route matches this request.")
"""Compare host, path, method and headers with the routes; `inferway status` and `/debug/config` show those that are
served."""
MATCHING_TOO_COSTLY: Final = Problem(
    400,
    "matching_too_costly",
    "Path, query and header fields are too long for the patterns of this host.",
)
"""Send shorter values, or give the routes of the hostname fewer and simpler patterns: docs/http.md has the bound. The status is
400, as the bound is on the sum of path (414) and header fields (431)."""
INVALID_RULE: Final = Problem(500, "invalid_rule", "The configuration of this route is invalid.")
"""Fix the rule: its GatewayRoute's conditions, or the log of `inferway run`, name the error."""
INVALID_POLICY: Final = Problem(500, "invalid_policy", "The configuration of this route's limits is invalid.")
"""Fix the RateLimitPolicy: its conditions, or the log of `inferway run`, name the error."""
BACKEND_NOT_FOUND: Final = Problem(500, "backend_not_found", "A backend of this route does not exist.")
"""Create the Service or correct `backendRefs`; the condition ResolvedRefs names the reference."""
NO_BACKEND: Final = Problem(503, "no_backend", "This route has no backend with traffic.")
"""Give at least one of the rule's backends a weight above 0."""
NO_ENDPOINTS: Final = Problem(503, "no_endpoints", "The backend of this route has no endpoints.")
"""Check that pods of the backend's Service are ready."""
SHED: Final = Problem(503, "shed", "The gateway has as much work as it can take.")
"""Retry after Retry-After; if it persists, add pods or memory, or raise `max_in_flight`."""
CREDENTIAL_MISSING: Final = Problem(500, "credential_missing", "The gateway has no credential for this upstream.")
"""Put the file that `backendRefs[].auth` names into the secrets directory."""
INTERNAL: Final = Problem(500, "internal_error", "The gateway failed to handle this request.", closes=True)
"""A bug: report it with the line that the gateway logged for it."""

# --- the upstream ------------------------------------------------------------------------------------------------------
CONNECT_FAILED: Final = Problem(502, "connect_failed", "The upstream refused the connection.")
"""Check that the upstream listens on that address and that NetworkPolicies allow the connection."""
DNS_FAILED: Final = Problem(502, "dns_failed", "The upstream's name could not be resolved.")
"""Check the host of the backend's `url` and the resolver of the gateway."""
TLS_FAILED: Final = Problem(502, "tls_failed", "The upstream's TLS handshake failed.")
"""Check the upstream's certificate and name, and `upstream_ca`."""
ADDRESS_REFUSED: Final = Problem(502, "address_refused", "The upstream's address is not allowed.")
"""Use an upstream that is not link-local and, in a cluster, neither loopback nor the API server."""
BAD_RESPONSE: Final = Problem(502, "bad_response", "The upstream's answer was not valid HTTP.")
"""Fix the upstream: docs/http.md lists the responses that are rejected."""
RESPONSE_HEAD_TOO_LARGE: Final = Problem(502, "response_head_too_large", "The upstream's header fields are too large.")
"""Let the upstream send a smaller head, or raise the rule's `limits.maxResponseHeader`."""
UPSTREAM_CLOSED: Final = Problem(502, "upstream_closed", "The upstream closed the connection without an answer.")
"""Check why the upstream closed; `retry` with the condition `Reset` repeats such requests."""
CONNECT_TIMEOUT: Final = Problem(504, "connect_timeout", "The upstream could not be connected to in time.")
"""Check the network to the upstream, or raise `timeouts.connect`."""
UPSTREAM_TIMEOUT: Final = Problem(504, "upstream_timeout", "The upstream did not answer in time.")
"""Check why the upstream is slow, or raise `timeouts.request` and `timeouts.backendRequest`."""
OVERLOAD: Final = Problem(503, "overload", "Too many requests are in flight to this upstream.")
"""Retry after Retry-After, or raise `circuitBreaker.maxRequests`."""
PENDING_OVERFLOW: Final = Problem(503, "pending_overflow", "Too many requests wait for a connection to this upstream.")
"""Retry after Retry-After, or raise `circuitBreaker.maxPending`."""

CLIENT_GONE: Final = "client_gone"
"""The client left before its response was complete, so there is no response with this code."""


CLIENT_CODES: Final = frozenset(
    problem.code for problem in (UNSUPPORTED_CODING, BAD_VERSION, UNKNOWN_METHOD, WEBSOCKET_UNSUPPORTED)
)
"""Codes of 5xx responses to faults of the client: nothing of the gateway or an upstream failed."""


def transfer_coding(value: bytes) -> Problem:
    """Choose the problem for a Transfer-Encoding other than `chunked`: 501 if well-formed, else 400."""
    members = [member.strip(b" \t") for member in value.lower().split(b",")]
    if all(member and _TOKEN.issuperset(member) for member in members) and members.count(b"chunked") <= 1:
        return UNSUPPORTED_CODING
    return BAD_TRANSFER_ENCODING


_TOKEN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")
