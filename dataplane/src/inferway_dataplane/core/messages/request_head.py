"""Request heads: framing, connection and client, as the header fields state them.

A field that can be read in two ways is refused, never repaired: the upstream may read it the other way (RFC 9112 11.2,
request smuggling).
"""

from typing import Any, Final

from inferway_dataplane.core.messages import authority, connection_reuse, problems
from inferway_dataplane.core.messages.field_kinds import (
    CACHING,
    CONNECTION,
    CONTENT_TYPE,
    CREDENTIAL,
    ENCODING,
    EXPECT,
    FORWARD,
    FORWARDED_FOR,
    FORWARDED_HOST,
    FORWARDED_PORT,
    FORWARDED_PROTO,
    HOST,
    LENGTH,
    MAX_FORWARDS,
    PROXY_CONNECTION,
    PROXY_CREDENTIAL,
    REMOVE,
    REQUEST_ID,
    TARGET,
    TRACE,
    UPGRADE,
    Fields,
)
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.sender import STRANGER, Sender


class FieldBlock:
    """The fields of a request, sorted. Immutable and independent of the request line, so requests may share it."""

    __slots__ = (
        "authority", "caching", "content_length", "credentials", "expects_continue", "fields", "forwarded_for",
        "forwarded_host", "forwarded_port", "has_body", "has_dropped", "has_targets", "has_upgrade", "host", "is_chunked",
        "is_http_1_1", "is_negotiated", "is_websocket", "keep_alive", "max_forwards", "passed", "raw_host",
        "request_id", "scheme", "sender", "traceparent", "values",
    )  # fmt: skip

    def __init__(self, fields: Fields, is_http_1_1: bool, sender: Sender = STRANGER) -> None:
        self.sender = sender
        self.fields = fields  # without those that an untrusted peer may not send
        self.is_http_1_1 = is_http_1_1
        self.keep_alive = is_http_1_1
        self.passed: Fields = []
        self.raw_host: bytes | None = None
        self.host: bytes | None = b""  # of `raw_host`; None = malformed
        # As the client used them; behind a trusted proxy, as the proxy forwards them.
        self.scheme = sender.scheme
        self.authority = b""
        self.forwarded_host: bytes | None = None
        self.forwarded_port: int | None = None
        self.content_length = -1  # -1 = no Content-Length
        self.is_chunked = False
        self.has_body = False  # False for a declared length of 0
        self.expects_continue = False
        self.has_dropped = False  # Connection named fields that would have been forwarded
        self.has_upgrade = False
        self.is_websocket = False  # a WebSocket handshake, but for the method
        self.max_forwards: bytes | None = None  # all values
        self.credentials = False  # fields of kind CREDENTIAL or PROXY_CREDENTIAL
        self.is_negotiated = False  # its credentials authenticate the connection
        self.has_targets = False  # fields of kind TARGET
        self.caching = False
        self.forwarded_for: list[bytes] | None = None  # all addresses; None = not one
        self.request_id: bytes | None = None
        self.traceparent: bytes | None = None
        self.values: dict[bytes, bytes] | None = None

    def authority_for(self, raw_host: bytes) -> bytes:
        """Return the authority that the client used, where it sent this valid host to the gateway or to a proxy."""
        if self.forwarded_host is None:
            return authority.normalise(raw_host, self.scheme, self.forwarded_port)
        # A port of X-Forwarded-Host is the client's; X-Forwarded-Port is often the one that the proxy listens on.
        own_port = authority.port_of(self.forwarded_host)
        return authority.normalise(
            self.forwarded_host, self.scheme, self.forwarded_port if own_port is None else own_port
        )

    def value(self, name: bytes) -> bytes | None:
        """Return a field's value by its lower-case name; None = absent.

        Repeated fields are joined by `, ` (RFC 9110 5.3). Includes the fields that `Connection` names: a client cannot hide
        a field from the gateway's rules.
        """
        values = self.values
        if values is None:
            values = self.values = {}
            for field, value in self.fields:
                lower = field.lower()
                earlier = values.get(lower)
                values[lower] = value if earlier is None else earlier + b", " + value
        return values.get(name)


class RequestHead:
    """The checked head of a request: request line and fields, in bytes as received."""

    __slots__ = (
        "authority", "block", "cache_key", "entry", "host", "is_for_gateway", "is_http_1_1", "key_values", "match_path",
        "method", "passed", "path", "query", "raw_host", "refusal", "runtime", "scheme", "sent", "sent_to", "value",
    )  # fmt: skip

    def __init__(self, method: bytes, block: FieldBlock) -> None:
        self.method = method
        self.block = block
        self.is_http_1_1 = block.is_http_1_1
        self.passed = block.passed  # the fields that may be forwarded
        self.raw_host = block.raw_host
        self.value = block.value
        self.scheme = block.scheme  # http or https, as the client used it
        # Lower case. The authority is what the client used, without the default port of the scheme; the host is the one
        # that Host names to the gateway, and selects the route. An absolute target replaces both.
        self.authority = block.authority
        self.host = block.host or b""
        # Set by `request_target.locate`.
        self.is_for_gateway = False  # not to be forwarded: `OPTIONS *`, or Max-Forwards: 0
        self.path = b""
        self.query: bytes | None = None  # without its question mark; None = no question mark
        self.match_path = b""
        # Pure functions of a head and a runtime, kept for when the same head is received again.
        self.runtime: object = None
        self.entry: Any = None
        self.refusal: Problem | None = None  # of a head without an entry
        self.key_values: tuple[object, tuple[bytes | None, ...]] | None = (
            None  # the reader of a rule's limits, its values
        )
        self.cache_key: bytes | None = None
        self.sent_to: object = None
        self.sent = b""  # the lines sent to `sent_to`

    @property
    def fields(self) -> Fields:
        """All fields as received."""
        return self.block.fields


def read_request(method: bytes, fields: Fields, is_http_1_1: bool, sender: Sender = STRANGER) -> RequestHead | Problem:
    """Read a request's head; a `Problem` when it is refused."""
    block = read_fields(fields, is_http_1_1, sender)
    return block if isinstance(block, Problem) else RequestHead(method, block)


def read_fields(fields: Fields, is_http_1_1: bool, sender: Sender = STRANGER) -> FieldBlock | Problem:
    """Sort a request's fields; refuse ambiguous framing or hosts (RFC 9112 3.2, 6.1-6.3).

    What its sender may not claim is removed here, once: everything behind this sees the rest alone.
    """
    head = FieldBlock(fields, is_http_1_1, sender)
    passed = head.passed
    kinds = sender.kinds
    forwarded: dict[int, bytes] | None = None
    has_removed = has_content_type = False
    upgrade = b""
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
            head.is_negotiated = head.is_negotiated or connection_reuse.is_negotiated(value)
            passed.append(field)
        elif kind == CACHING:
            head.caching = True
            passed.append(field)
        elif kind == CONTENT_TYPE:
            # Two would be read in two ways: as JSON by one peer, as a form by another.
            if has_content_type:
                return problems.BAD_CONTENT_TYPE
            has_content_type = True
            passed.append(field)
        elif kind == LENGTH:
            # One field, digits only: `+5`, `5,5`, two fields or 30 digits are each read in a second way by some peer.
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
            addresses = [address for part in value.split(b",") if (address := part.strip(b" \t"))]
            if addresses:
                head.forwarded_for = (head.forwarded_for or []) + addresses
        elif kind == REQUEST_ID:
            head.request_id = value
        elif kind == TRACE:
            head.traceparent = value
        elif kind == UPGRADE:
            head.has_upgrade = True
            upgrade += b"," + value.lower()
        elif kind == MAX_FORWARDS:
            passed.append(field)
            head.max_forwards = value if head.max_forwards is None else head.max_forwards + b", " + value
        elif kind == REMOVE:
            has_removed = True
        elif kind in (FORWARDED_PROTO, FORWARDED_HOST, FORWARDED_PORT):
            earlier = forwarded.get(kind) if forwarded is not None else None
            forwarded = {**(forwarded or {}), kind: value if earlier is None else earlier + b"," + value}
        elif kind == TARGET:
            head.has_targets = True
            passed.append(field)
        elif kind == PROXY_CREDENTIAL:
            head.credentials = True
        elif kind == PROXY_CONNECTION and b"close" in value.lower():
            # llhttp obeys it: if it closes, the gateway must too, or the next request would be refused.
            nominated = _connection(head, b"close", nominated)
    if head.is_chunked and head.content_length >= 0:
        return problems.LENGTH_AND_ENCODING
    if head.raw_host is None and is_http_1_1:
        return problems.BAD_HOST
    head.has_body = head.is_chunked or head.content_length > 0
    if has_removed:
        head.fields = [field for field in fields if kinds[field[0]] != REMOVE]
    if head.raw_host is not None:
        head.host, head.authority = authority.host_and_authority(head.raw_host, head.scheme)
    if forwarded is not None:
        _take_forwarded(head, forwarded)
    if upgrade and is_http_1_1 and nominated and b"upgrade" in nominated:
        head.is_websocket = b"websocket" in [one.strip(b" \t").partition(b"/")[0] for one in upgrade.split(b",")]
    if nominated:
        dropped = set(nominated)
        head.passed = [field for field in passed if field[0].lower() not in dropped]
        head.has_dropped = len(head.passed) != len(passed)
    return head


def _take_forwarded(head: FieldBlock, forwarded: dict[int, bytes]) -> None:
    """Take what a trusted proxy forwards of the client's request: of each list the last value, if it is valid."""
    proto = _last(forwarded.get(FORWARDED_PROTO, b"")).lower()
    head.scheme = _SCHEMES.get(proto, head.scheme)
    host = _last(forwarded.get(FORWARDED_HOST, b""))
    if authority.host_of(host) is not None:
        head.forwarded_host = host
    port = _last(forwarded.get(FORWARDED_PORT, b""))
    if port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535:
        head.forwarded_port = int(port)
    if head.host:
        head.authority = head.authority_for(head.raw_host or b"")
    elif head.forwarded_host is not None:
        head.authority = head.authority_for(head.forwarded_host)


_SCHEMES: Final = {b"http": b"http", b"https": b"https", b"ws": b"http", b"wss": b"https"}


def _last(line: bytes) -> bytes:
    """Return the last element of a list (RFC 9110 5.6.1: empty ones are ignored): what the nearest proxy saw."""
    return next((element for part in reversed(line.split(b",")) if (element := part.strip(b" \t"))), b"")


def _connection(head: FieldBlock, value: bytes, nominated: list[bytes] | None) -> list[bytes] | None:
    lower = value.lower()
    if lower == b"keep-alive" and nominated is None:
        head.keep_alive = True
        return None
    tokens = (nominated or []) + [token.strip(b" \t") for token in dict.fromkeys(lower.split(b","))]
    # `close` wins over every `keep-alive`, wherever it stands (RFC 9112 9.3).
    head.keep_alive = b"close" not in tokens and (head.keep_alive or b"keep-alive" in tokens)
    return tokens
