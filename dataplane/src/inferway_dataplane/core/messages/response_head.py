"""Response heads: framing, caching fields and the fields to forward."""

from datetime import UTC
from email.utils import parsedate_to_datetime

from inferway_dataplane.core.messages import connection_reuse
from inferway_dataplane.core.messages.field_kinds import (
    AGE,
    CACHING,
    CONNECTION,
    DATE,
    ENCODING,
    FORWARD,
    KEEP_ALIVE,
    LENGTH,
    RESPONSE_KINDS,
    SET_COOKIE,
    UPSTREAM_REQUEST_ID,
    Fields,
)


class ResponseHead:
    """The head of an upstream's response. `passed`: the fields that may be forwarded to the client."""

    __slots__ = (
        "age", "caching", "content_length", "date", "has_cookie", "has_date", "is_chunked", "is_negotiating",
        "keep_alive", "keep_idle", "lines", "passed", "request_id", "rule", "status",
    )  # fmt: skip

    def __init__(self, status: int, keep_alive: bool) -> None:
        self.status = status
        self.keep_alive = keep_alive
        self.request_id = b""  # the upstream's own
        self.keep_idle: float | None = None  # seconds that the connection may be unused; None = unknown
        self.is_negotiating = False  # asks for credentials that authenticate the connection
        self.passed: Fields = []
        self.content_length = -1
        self.is_chunked = False
        self.has_cookie = False
        self.has_date = False
        self.caching: dict[bytes, bytes] | None = None
        self.age: bytes | None = None
        self.date: bytes | None = None
        # A pure function of a head and a rule, kept for when the same head is received again.
        self.rule: object = None
        self.lines = b""


def read_response(status: int, fields: Fields, keep_alive: bool) -> ResponseHead | None:
    """Sort a response's fields; None when its framing is ambiguous (a 502 for the client)."""
    head = ResponseHead(status, keep_alive)
    passed = head.passed
    kinds = RESPONSE_KINDS
    nominated: list[bytes] | None = None
    for field in fields:
        kind = kinds[field[0]]
        if kind == FORWARD:
            passed.append(field)
        elif kind == LENGTH:
            value = field[1]
            if head.content_length >= 0 or not value.isdigit() or len(value) > 18:
                return None
            head.content_length = int(value)
        elif kind == DATE:
            if not head.has_date:
                head.has_date = True
                head.date = field[1]
                passed.append(field)
        elif kind == CONNECTION:
            if field[1] != b"keep-alive":
                tokens = [token.strip(b" \t") for token in field[1].lower().split(b",")]
                nominated = (nominated or []) + tokens
        elif kind == ENCODING:
            if head.is_chunked or field[1].strip(b" \t").lower() != b"chunked":
                return None
            head.is_chunked = True
        elif kind == CACHING:
            passed.append(field)
            if head.caching is None:
                head.caching = {}
            name = field[0].lower()
            earlier = head.caching.get(name)
            head.caching[name] = field[1] if earlier is None else earlier + b", " + field[1]
        elif kind == SET_COOKIE:
            head.has_cookie = True
            passed.append(field)
        elif kind == AGE:
            head.age = field[1]
        elif kind == UPSTREAM_REQUEST_ID:
            if not head.request_id:
                head.request_id = field[1]
                passed.append((b"x-upstream-request-id", field[1]))
        elif kind == KEEP_ALIVE:
            head.keep_idle = connection_reuse.keep_idle(field[1], head.keep_idle)
    if head.is_chunked and head.content_length >= 0:
        return None
    if status == 204 and (head.is_chunked or head.content_length > 0):
        return None  # RFC 9110 15.3.5: a 204 has no body; one that declares a body is malformed
    if status in (401, 407):
        head.is_negotiating = connection_reuse.is_negotiating(fields)
    if head.keep_idle == 0.0:
        head.keep_alive = False
    if nominated is not None:
        if b"close" in nominated:
            head.keep_alive = False
        dropped = set(nominated)
        head.passed = [field for field in passed if field[0].lower() not in dropped]
    return head


def parse_http_date(value: bytes) -> float | None:
    """Convert an HTTP date (RFC 9110 5.6.7) to Unix time; None when it is malformed."""
    try:
        date = parsedate_to_datetime(value.decode("latin-1"))
        # Every HTTP date is in UTC, including the forms without a zone.
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
