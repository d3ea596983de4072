"""Heads that were parsed before: the same bytes are the same head.

Parsing is a pure function of bytes, and clients and upstreams repeat themselves: a client library sends the same fields
with every request, an upstream the same head within a second. A head that the strict parser has accepted once, byte by
byte, need not be parsed again. Only heads that the parser has accepted in the same place are accepted here: a request's
field block (all after its request line), or a response's whole head. Two requests of the same bytes have the same head
object; in one runtime it has one route and one cache key, which the head keeps.
Requests of trusted proxies and of other peers, over TLS and without it, are read in different ways and kept apart.
Bounded: a flood of new heads only empties the memos.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

from inferway_dataplane.core.messages.client_claims import ClientClaims
from inferway_dataplane.core.messages.problems import METHODS
from inferway_dataplane.core.messages.request_head import FieldBlock, RequestHead
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.core.messages.sender import Sender

_MAX_ENTRIES: Final = 1024
_MAX_REQUESTS: Final = 4096
_REST: Final = 16  # a memo that was full ignores this many times its size
_MAX_HEAD: Final = 4096  # bytes; so for one kind of sender at most 4 MiB for heads alone, 16 MiB for whole requests
_END: Final = b"\r\n\r\n"
_METHODS: Final = frozenset(METHODS)
# RFC 3986: the bytes of a path and a query. A target with any other goes to the parser.
_TARGET_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@%/?"

_V = TypeVar("_V")


class _Memo(dict[bytes, _V]):
    """A bounded memo. A full one is emptied and then learns nothing for a while: where heads do not repeat, learning
    them only costs."""

    __slots__ = ("_most", "_resting")

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._resting = 0

    def learn(self, data: bytes, value: _V) -> None:
        if len(self) >= self._most:
            self.clear()
            self._resting = _REST * self._most
        self[data] = value

    def is_resting(self) -> bool:
        """Whether nothing is learnt now; called once for each candidate."""
        if self._resting:
            self._resting -= 1
            return True
        return False


class RequestHeads:
    """The request heads of one kind of sender."""

    __slots__ = ("_blocks", "_requests", "find_same_request", "sender")

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self._blocks: _Memo[FieldBlock] = _Memo(_MAX_ENTRIES)
        self._requests: _Memo[RequestHead] = _Memo(_MAX_REQUESTS)
        self.find_same_request = self._requests.get
        """The head of exactly these bytes, if they were one whole request before; else None."""

    def find_request(self, data: bytes, longest_line: int) -> tuple[bytes, bytes, FieldBlock, bytes] | None:
        """Method, target, fields and body, if `data` is exactly one whole request with fields that were parsed before."""
        line, _, rest = data.partition(b"\r\n")
        body = b""
        block = self._blocks.get(rest)
        if block is None:
            end = rest.find(_END) + 4
            if end == len(rest):
                return None
            block = self._blocks.get(rest[:end])
            if block is None:
                return None
            body = rest[end:]
        if len(body) != max(block.content_length, 0) or len(line) > longest_line:
            return None
        words = line.split(b" ")
        if len(words) != 3:
            return None
        method, target, version = words
        if (
            version != b"HTTP/1.1"
            or method not in _METHODS
            or target[:1] != b"/"
            or target.translate(None, _TARGET_BYTES)
        ):
            return None
        return method, target, block, body

    def learn_same(self, data: bytes, head: RequestHead) -> None:
        """Remember a whole request without a body, with a valid target and fields that were parsed before."""
        if len(data) <= _MAX_HEAD and not self._requests.is_resting():
            self._requests.learn(data, head)

    def learn_request(self, data: bytes, method: bytes, block: FieldBlock) -> None:
        """Remember the fields of a request that the parser accepted. `data`: all since the request's first byte."""
        if (
            self._blocks.is_resting()
            or block.is_chunked
            or block.has_upgrade
            or block.expects_continue
            or not block.is_http_1_1
        ):
            return
        # The parser skips blank lines before a request line; then the first line here is not the request line.
        if not data.startswith(method + b" "):
            return
        rest = data.partition(b"\r\n")[2]
        end = rest.find(_END) + 4
        if 4 <= end <= _MAX_HEAD:
            self._blocks.learn(rest[:end], block)

    def forget_routes(self) -> None:
        """Forget heads that hold routes and rules of an older runtime."""
        self._requests.clear()


class HeadCache:
    """The heads of one process."""

    __slots__ = ("_requests", "_responses")

    def __init__(self, proxy_fields: Sequence[str] = ()) -> None:
        """`proxy_fields`: further fields that only trusted proxies may send (`ClientClaims`)."""
        claims = ClientClaims(proxy_fields)
        self._requests = {
            (scheme, is_trusted): RequestHeads(Sender(scheme, claims, is_trusted=is_trusted))
            for scheme in (b"http", b"https")
            for is_trusted in (False, True)
        }
        self._responses: _Memo[ResponseHead] = _Memo(_MAX_ENTRIES)

    def requests_of(self, scheme: bytes, *, is_trusted: bool) -> RequestHeads:
        """The request heads of peers on a listener of this scheme."""
        return self._requests[scheme, is_trusted]

    def find_response(self, data: bytes) -> tuple[ResponseHead, int] | None:
        """The head and its length, if `data` is exactly one whole response with a head that was parsed before."""
        end = data.find(_END) + 4
        head = self._responses.get(data[:end])
        if head is None or len(data) - end != head.content_length:
            return None
        return head, end

    def learn_response(self, data: bytes, head: ResponseHead) -> None:
        """Remember a head that the parser accepted. `data`: all since the response's first byte."""
        end = data.find(_END) + 4
        if (
            head.content_length >= 0
            and head.status not in (204, 304)
            and 4 < end <= _MAX_HEAD
            and data.startswith(b"HTTP/1.")
        ):
            self._responses.learn(data[:end], head)

    def forget_routes(self) -> None:
        """Forget heads that hold routes and rules of an older runtime, so that they do not keep it alive."""
        for heads in self._requests.values():
            heads.forget_routes()
        self._responses.clear()
