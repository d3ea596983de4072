"""Problems: the gateway's own error responses (RFC 9457 problem details), each with a stable code.

The code appears in the body, in metric labels and in the access log. A body never contains internal details.
"""

import json
from http import HTTPStatus
from typing import Final

METHODS: Final = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
"""The request methods that the gateway serves; it refuses CONNECT and TRACE."""
ALLOW: Final = b", ".join(METHODS)
"""The value of Allow (RFC 9110 10.2.1)."""


class Problem:
    """An error response of the gateway. `closes`: the connection may be out of step and is closed."""

    __slots__ = ("allow", "closes", "code", "detail", "status", "title")

    def __init__(self, status: int, code: str, detail: str, *, closes: bool = False, allow: str = "") -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.closes = closes
        self.allow = allow
        self.title = HTTPStatus(status).phrase

    def __repr__(self) -> str:
        return f"Problem({self.status}, {self.code!r})"


def body(problem: Problem, request_id: bytes, extra: dict[str, object] | None = None) -> bytes:
    """Build the `application/problem+json` body (RFC 9457 3); `extra` adds members."""
    content = {
        "type": "about:blank",
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
BAD_HOST: Final = _closing("bad_host", "The request needs exactly one valid Host.")
BAD_CONTENT_LENGTH: Final = _closing("bad_content_length", "Content-Length must be one whole number.")
BAD_TRANSFER_ENCODING: Final = _closing(
    "bad_transfer_encoding", "Transfer-Encoding must be `chunked`, once, on HTTP/1.1."
)
LENGTH_AND_ENCODING: Final = _closing("length_and_encoding", "Content-Length and Transfer-Encoding exclude each other.")
UNSUPPORTED_CODING: Final = _closing("unsupported_coding", "The only transfer coding supported is chunked.", 501)
BAD_VERSION: Final = _closing("unsupported_version", "Only HTTP/1.1 and HTTP/1.0 are served here.", 505)
BAD_TARGET: Final = _closing("bad_target", "The request target is not a path or an absolute URI.")
AMBIGUOUS_PATH: Final = Problem(
    400,
    "ambiguous_path",
    "The path can be read in two ways: it has dot segments, backslashes, control characters, or an escaped slash or a"
    " parameter that another server may read as another resource.",
)
AMBIGUOUS_KEY: Final = Problem(
    400,
    "ambiguous_key",
    "A field or a query parameter by which requests are limited came more than once: send it once.",
)
EXPECTATION_FAILED: Final = _closing("expectation_failed", "The only expectation supported is 100-continue.", 417)
UNKNOWN_METHOD: Final = _closing("unknown_method", "The method is not implemented.", 501)
METHOD_NOT_ALLOWED: Final = Problem(
    405, "method_not_allowed", "CONNECT and TRACE are not allowed.", closes=True, allow=ALLOW.decode()
)

# --- the request is too large or too slow ------------------------------------------------------------------------------
TARGET_TOO_LONG: Final = _closing("target_too_long", "The request line is too long.", 414)
HEAD_TOO_LARGE: Final = _closing("head_too_large", "The header fields are too many or too large.", 431)
BODY_TOO_LARGE: Final = _closing("body_too_large", "The request body is larger than this route allows.", 413)
HEAD_TIMEOUT: Final = _closing("head_timeout", "The request head did not arrive in time.", 408)
BODY_TIMEOUT: Final = _closing("body_timeout", "The request body did not arrive in time.", 408)
RATE_LIMITED: Final = Problem(429, "rate_limited", "Too many requests.")

# --- routing and configuration ---------------------------------------------------------------------------------------
NO_ROUTE: Final = Problem(404, "no_route", "No route matches this request.")
INVALID_RULE: Final = Problem(500, "invalid_rule", "The configuration of this route is invalid.")
INVALID_POLICY: Final = Problem(500, "invalid_policy", "The configuration of this route's limits is invalid.")
BACKEND_NOT_FOUND: Final = Problem(500, "backend_not_found", "A backend of this route does not exist.")
NO_BACKEND: Final = Problem(503, "no_backend", "This route has no backend with traffic.")
NO_ENDPOINTS: Final = Problem(503, "no_endpoints", "The backend of this route has no endpoints.")
SHED: Final = Problem(503, "shed", "The gateway has as much work as it can take.")
CREDENTIAL_MISSING: Final = Problem(500, "credential_missing", "The gateway has no credential for this upstream.")
INTERNAL: Final = Problem(500, "internal_error", "The gateway failed to handle this request.", closes=True)

# --- the upstream ------------------------------------------------------------------------------------------------------
CONNECT_FAILED: Final = Problem(502, "connect_failed", "The upstream refused the connection.")
DNS_FAILED: Final = Problem(502, "dns_failed", "The upstream's name could not be resolved.")
TLS_FAILED: Final = Problem(502, "tls_failed", "The upstream's TLS handshake failed.")
ADDRESS_REFUSED: Final = Problem(502, "address_refused", "The upstream's address is not allowed.")
BAD_RESPONSE: Final = Problem(502, "bad_response", "The upstream's answer was not valid HTTP.")
RESPONSE_HEAD_TOO_LARGE: Final = Problem(502, "response_head_too_large", "The upstream's header fields are too large.")
UPSTREAM_CLOSED: Final = Problem(502, "upstream_closed", "The upstream closed the connection without an answer.")
CONNECT_TIMEOUT: Final = Problem(504, "connect_timeout", "The upstream could not be connected to in time.")
UPSTREAM_TIMEOUT: Final = Problem(504, "upstream_timeout", "The upstream did not answer in time.")
OVERLOAD: Final = Problem(503, "overload", "Too many requests are in flight to this upstream.")
PENDING_OVERFLOW: Final = Problem(503, "pending_overflow", "Too many requests wait for a connection to this upstream.")


def transfer_coding(value: bytes) -> Problem:
    """Choose the problem for a Transfer-Encoding other than `chunked`: 501 if well-formed, else 400."""
    members = [member.strip(b" \t") for member in value.lower().split(b",")]
    if all(member and _TOKEN.issuperset(member) for member in members) and members.count(b"chunked") <= 1:
        return UNSUPPORTED_CODING
    return BAD_TRANSFER_ENCODING


_TOKEN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")
