"""Request and response heads: what the fields of a message say about its framing, its connection and its sender.

Theory. A parser gives a list of `(name, value)` pairs. One pass over them sorts every field into a *kind*: most are
FORWARD (nothing to know about them), some are hop-by-hop and end here (RFC 9110 7.6.1), a few frame the message
(RFC 9112 6) or speak of the client. Whatever can be read in two ways is refused, never repaired: the peer behind us may
read it the other way (RFC 9112 11.2, request smuggling).

Names are looked up as they were sent, in a bounded memo, so an ordinary header costs one dictionary look-up.
"""

from typing import Any, Final

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem

Fields = list[tuple[bytes, bytes]]

# --- kinds of fields --------------------------------------------------------------------------------------------------

FORWARD: Final = 0
DROP: Final = 1
HOST: Final = 2
LENGTH: Final = 3
ENCODING: Final = 4
CONNECTION: Final = 5
EXPECT: Final = 6
FORWARDED_FOR: Final = 7
FORWARDED: Final = 8
REQUEST_ID: Final = 9
TRACE: Final = 10
CREDENTIAL: Final = 11
CACHING: Final = 12
UPGRADE: Final = 13
PROXY_CONNECTION: Final = 17

_HOP_BY_HOP: Final = (
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"http2-settings",
)

_REQUEST_KINDS: Final[dict[bytes, int]] = {
    **dict.fromkeys(_HOP_BY_HOP, DROP),
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": ENCODING,
    b"connection": CONNECTION,
    b"proxy-connection": PROXY_CONNECTION,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-proto": FORWARDED,
    b"x-forwarded-host": FORWARDED,
    b"x-forwarded-port": FORWARDED,
    b"x-forwarded-prefix": FORWARDED,
    b"x-forwarded-server": FORWARDED,
    b"x-real-ip": FORWARDED,
    b"forwarded": FORWARDED,
    b"x-original-url": FORWARDED,
    b"x-rewrite-url": FORWARDED,
    b"x-request-id": REQUEST_ID,
    b"traceparent": TRACE,
    b"authorization": CREDENTIAL,
    b"cookie": CREDENTIAL,
    b"x-api-key": CREDENTIAL,
    b"api-key": CREDENTIAL,
    b"cache-control": CACHING,
    b"pragma": CACHING,
    b"range": CACHING,
    b"if-none-match": CACHING,
    b"if-modified-since": CACHING,
    b"if-match": CACHING,
    b"if-unmodified-since": CACHING,
    b"if-range": CACHING,
}

# Response kinds
SET_COOKIE: Final = 14
AGE: Final = 15
DATE: Final = 16

_RESPONSE_KINDS: Final[dict[bytes, int]] = {
    **dict.fromkeys(_HOP_BY_HOP, DROP),
    b"content-length": LENGTH,
    b"transfer-encoding": ENCODING,
    b"connection": CONNECTION,
    b"proxy-connection": DROP,
    b"upgrade": DROP,
    b"x-request-id": DROP,  # ours is the one the client is told
    b"set-cookie": SET_COOKIE,
    b"cache-control": CACHING,
    b"expires": CACHING,
    b"vary": CACHING,
    b"pragma": CACHING,
    b"age": AGE,
    b"date": DATE,
}

_MEMO_BOUND: Final = 4096
_LONGEST_NAME: Final = 128  # a longer name is looked up anew: the memo is bounded in bytes too


class _Kinds(dict[bytes, int]):
    """Kind by field name as sent. Unknown spellings are learnt; a hostile flood of names only empties the memo."""

    __slots__ = ("known",)

    def __init__(self, known: dict[bytes, int]) -> None:
        super().__init__(known)
        self.known = known

    def __missing__(self, name: bytes) -> int:
        lower = name.lower()
        # `X_Forwarded_For` becomes `X-Forwarded-For` in many frameworks (CGI): such look-alikes end here.
        kind = DROP if b"_" in lower and lower.replace(b"_", b"-") in self.known else self.known.get(lower, FORWARD)
        if len(name) <= _LONGEST_NAME:
            if len(self) >= _MEMO_BOUND:
                self.clear()
                self.update(self.known)
            self[name] = kind
        return kind


REQUEST_KINDS: Final = _Kinds(_REQUEST_KINDS)
RESPONSE_KINDS: Final = _Kinds(_RESPONSE_KINDS)


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


class ResponseHead:
    """An upstream's response head. `passed` are the fields that may go on to the client."""

    __slots__ = (
        "age",
        "caching",
        "content_length",
        "date",
        "has_cookie",
        "has_date",
        "is_chunked",
        "keep_alive",
        "lines",
        "passed",
        "rule",
        "status",
    )

    def __init__(self, status: int, keep_alive: bool) -> None:
        self.status = status
        self.keep_alive = keep_alive
        self.passed: Fields = []
        self.content_length = -1
        self.is_chunked = False
        self.has_cookie = False
        self.has_date = False
        self.caching: dict[bytes, bytes] | None = None
        self.age: bytes | None = None
        self.date: bytes | None = None
        # A pure function of a head and a rule, kept for a head that comes again.
        self.rule: object = None
        self.lines = b""


def read_response(status: int, fields: Fields, keep_alive: bool) -> ResponseHead | None:
    """Sort the fields of a response; None when its framing has two readings (the answer is a 502 then)."""
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
            known = head.caching.get(name)
            head.caching[name] = field[1] if known is None else known + b", " + field[1]
        elif kind == SET_COOKIE:
            head.has_cookie = True
            passed.append(field)
        elif kind == AGE:
            head.age = field[1]
    if head.is_chunked and head.content_length >= 0:
        return None
    if status == 204 and (head.is_chunked or head.content_length > 0):
        return None  # RFC 9110 15.3.5: it has no body, so whoever announces one means something else
    if nominated is not None:
        if b"close" in nominated:
            head.keep_alive = False
        dropped = set(nominated)
        head.passed = [field for field in passed if field[0].lower() not in dropped]
    return head
