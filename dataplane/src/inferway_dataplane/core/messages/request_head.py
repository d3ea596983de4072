"""Request and response heads: what the fields of a message say about its framing, its connection and its sender.

Theory. A parser gives a list of `(name, value)` pairs. One pass over them sorts every field into a *kind*: most are
FORWARD (nothing to know about them), some are hop-by-hop and end here (RFC 9110 7.6.1), a few frame the message
(RFC 9112 6) or speak of the client. Whatever can be read in two ways is refused, never repaired: the peer behind us may
read it the other way (RFC 9112 11.2, request smuggling).

Names are looked up as they were sent, in a bounded memo, so an ordinary header costs one dictionary look-up.
"""

from typing import Any

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.field_kinds import (
    CACHING,
    CONNECTION,
    CREDENTIAL,
    ENCODING,
    EXPECT,
    FORWARD,
    FORWARDED_FOR,
    HOST,
    LENGTH,
    PROXY_CONNECTION,
    REQUEST_ID,
    REQUEST_KINDS,
    TRACE,
    UPGRADE,
    Fields,
)
from inferway_dataplane.core.messages.problems import Problem

# --- kinds of fields --------------------------------------------------------------------------------------------------


class FieldBlock:
    """What the fields of a request say, whatever its request line: immutable, so that requests may share it."""

    __slots__ = (
        "caching",
        "content_length",
        "credentials",
        "expects_continue",
        "fields",
        "forwarded_for",
        "has_body",
        "has_connection",
        "has_dropped",
        "has_upgrade",
        "is_chunked",
        "is_http_1_1",
        "keep_alive",
        "passed",
        "raw_host",
        "request_id",
        "traceparent",
        "values",
    )

    def __init__(self, fields: Fields, is_http_1_1: bool) -> None:
        self.fields = fields
        self.is_http_1_1 = is_http_1_1
        self.keep_alive = is_http_1_1
        self.passed: Fields = []
        self.raw_host: bytes | None = None
        self.content_length = -1  # -1 = no Content-Length
        self.is_chunked = False
        self.has_body = False  # a declared length of 0 is none
        self.expects_continue = False
        self.has_connection = False
        self.has_dropped = False  # Connection named fields that would have gone on
        self.has_upgrade = False
        self.credentials = False
        self.caching = False
        self.forwarded_for: list[bytes] | None = None
        self.request_id: bytes | None = None
        self.traceparent: bytes | None = None
        self.values: dict[bytes, bytes] | None = None

    def value(self, name: bytes) -> bytes | None:
        """The field's value by lower-case name, repeated fields joined by `, ` (RFC 9110 5.3); None = absent.

        `Connection` and what it names are still seen here: a client may not hide a field from our own rules.
        """
        values = self.values
        if values is None:
            values = self.values = {}
            for field, value in self.fields:
                lower = field.lower()
                known = values.get(lower)
                values[lower] = value if known is None else known + b", " + value
        return values.get(name)


class RequestHead:
    """A request's head after its checks: request line and fields. Bytes as they came."""

    __slots__ = (
        "block",
        "cache_key",
        "entry",
        "host",
        "is_http_1_1",
        "match_path",
        "method",
        "passed",
        "path",
        "query",
        "raw_host",
        "runtime",
        "sent",
        "sent_to",
        "value",
    )

    def __init__(self, method: bytes, block: FieldBlock) -> None:
        self.method = method
        self.block = block
        self.is_http_1_1 = block.is_http_1_1
        self.passed = block.passed  # the fields that may go on
        self.raw_host = block.raw_host
        self.value = block.value
        # set by `targets.locate`
        self.host = b""
        self.path = b""
        self.query: bytes | None = None  # without the question mark; None = no question mark
        self.match_path = b""
        # Pure functions of a head and a runtime, kept for a head that comes again.
        self.runtime: object = None
        self.entry: Any = None
        self.cache_key: bytes | None = None
        self.sent_to: object = None
        self.sent = b""  # the lines that `sent_to` got

    @property
    def fields(self) -> Fields:
        """All fields as they came."""
        return self.block.fields


def read_request(method: bytes, fields: Fields, is_http_1_1: bool) -> RequestHead | Problem:
    """A request's head, or why it is refused."""
    block = read_fields(fields, is_http_1_1)
    return block if isinstance(block, Problem) else RequestHead(method, block)


def read_fields(fields: Fields, is_http_1_1: bool) -> FieldBlock | Problem:
    """Sort the fields of a request, and refuse what frames or names its host in two ways (RFC 9112 3.2, 6.1-6.3)."""
    head = FieldBlock(fields, is_http_1_1)
    passed = head.passed
    kinds = REQUEST_KINDS
    nominated: list[bytes] | None = None
    for field in fields:
        kind = kinds[field[0]]
        if kind == FORWARD:
            passed.append(field)
            continue
        value = field[1]
        if kind == HOST:
            if head.raw_host is not None:
                return problems.BAD_HOST
            head.raw_host = value
        elif kind == CREDENTIAL:
            head.credentials = True
            passed.append(field)
        elif kind == CACHING:
            head.caching = True
            passed.append(field)
        elif kind == LENGTH:
            # One field, digits only: `+5`, `5,5`, two fields, a number of 30 digits all have a second reading somewhere.
            if head.content_length >= 0 or not value.isdigit() or len(value) > 18:
                return problems.BAD_CONTENT_LENGTH
            head.content_length = int(value)
        elif kind == ENCODING:
            if head.is_chunked or not is_http_1_1:
                return problems.BAD_TRANSFER_ENCODING
            if value.strip(b" \t").lower() != b"chunked":
                return problems.transfer_coding(value)
            head.is_chunked = True
        elif kind == CONNECTION:
            nominated = _connection(head, value, nominated)
        elif kind == EXPECT:
            if value.lower() != b"100-continue":
                return problems.EXPECTATION_FAILED
            head.expects_continue = is_http_1_1
        elif kind == FORWARDED_FOR:
            if head.forwarded_for is None:
                head.forwarded_for = [value]
            else:
                head.forwarded_for.append(value)
        elif kind == REQUEST_ID:
            head.request_id = value
        elif kind == TRACE:
            head.traceparent = value
        elif kind == UPGRADE:
            head.has_upgrade = True
        elif kind == PROXY_CONNECTION:
            # Not ours to obey, but llhttp does: where it closes, so must we, or the next request would be refused.
            head.has_connection = True
            if b"close" in value.lower():
                nominated = _connection(head, b"close", nominated)
    if head.is_chunked and head.content_length >= 0:
        return problems.LENGTH_AND_ENCODING
    if head.raw_host is None and is_http_1_1:
        return problems.BAD_HOST
    head.has_body = head.is_chunked or head.content_length > 0
    if nominated:
        dropped = set(nominated)
        head.passed = [field for field in passed if field[0].lower() not in dropped]
        head.has_dropped = len(head.passed) != len(passed)
    return head


def _connection(head: FieldBlock, value: bytes, nominated: list[bytes] | None) -> list[bytes] | None:
    head.has_connection = True
    lower = value.lower()
    if lower == b"keep-alive" and nominated is None:
        head.keep_alive = True
        return None
    tokens = (nominated or []) + [token.strip(b" \t") for token in lower.split(b",")]
    # `close` wins over every `keep-alive`, wherever it stands (RFC 9112 9.3).
    head.keep_alive = b"close" not in tokens and (head.keep_alive or b"keep-alive" in tokens)
    return tokens
