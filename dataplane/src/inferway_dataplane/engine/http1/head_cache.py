"""Heads that were read before: the same bytes are the same head.

Parsing is a pure function of bytes, and clients and upstreams repeat themselves: a client library sends the same fields
with every request, an upstream the same head within a second. What the strict parser has accepted once, byte for byte,
need not be parsed again. Nothing is ever accepted here that the parser has not accepted in the same place: a request's
field block (all after its request line), or an answer's whole head. A request that is the same from its first byte to its
last is the same head altogether, and in one runtime it has one route and one cache key, which its head keeps.
Bounded: a flood of new heads only empties the memos.
"""

from typing import Final, TypeVar

from inferway_dataplane.core.messages.methods import METHODS
from inferway_dataplane.core.messages.request_head import FieldBlock, RequestHead
from inferway_dataplane.core.messages.response_head import ResponseHead

_MOST_ENTRIES: Final = 1024
_MOST_REQUESTS: Final = 4096
_REST: Final = 16  # so many times its size a memo lets pass after it was full
_LONGEST: Final = 4096  # bytes of a head; so at most 4 MiB for heads alone, 16 MiB for whole requests
_END: Final = b"\r\n\r\n"
_METHODS: Final = frozenset(METHODS)
# RFC 3986: what a path and a query are made of. A target with anything else goes to the parser.
_TARGET_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@%/?"

_V = TypeVar("_V")


class _Memo(dict[bytes, _V]):
    """A bounded memo. When it is full it is emptied, and then learns nothing for a while: where heads do not come again,
    learning them is only a cost."""

    __slots__ = ("_most", "_resting")

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._resting = 0

    def learn(self, data: bytes, value: _V) -> None:
        """Remember a value, unless the memo rests."""
        if len(self) >= self._most:
            self.clear()
            self._resting = _REST * self._most
        self[data] = value

    def is_resting(self) -> bool:
        """Whether nothing is to be learnt now; asked once for each thing that could be."""
        if self._resting:
            self._resting -= 1
            return True
        return False


_blocks: _Memo[FieldBlock] = _Memo(_MOST_ENTRIES)
_requests: _Memo[RequestHead] = _Memo(_MOST_REQUESTS)
_answers: _Memo[ResponseHead] = _Memo(_MOST_ENTRIES)


def known_request(data: bytes, longest_line: int) -> tuple[bytes, bytes, FieldBlock, bytes] | None:
    """Method, target, fields and body, when `data` is exactly one whole request whose fields are known. Else None."""
    line, _, rest = data.partition(b"\r\n")
    body = b""
    block = _blocks.get(rest)
    if block is None:
        end = rest.find(_END) + 4
        block = _blocks.get(rest[:end])
        if block is None:
            return None
        body = rest[end:]
    if len(body) != max(block.content_length, 0) or len(line) > longest_line:
        return None
    words = line.split(b" ")
    if len(words) != 3:
        return None
    method, target, version = words
    if version != b"HTTP/1.1" or method not in _METHODS or target[:1] != b"/" or target.translate(None, _TARGET_BYTES):
        return None
    return method, target, block, body


def same_request(data: bytes) -> RequestHead | None:
    """The head of exactly these bytes, when they were one whole request before."""
    return _requests.get(data)


def learn_same(data: bytes, head: RequestHead) -> None:
    """Remember a whole request without a body, whose fields were known and whose target was found."""
    if len(data) <= _LONGEST and not _requests.is_resting():
        _requests.learn(data, head)


def forget_routes() -> None:
    """A new runtime has come: heads that keep routes and rules of an old one must not keep it alive."""
    _requests.clear()
    _answers.clear()


def learn_request(data: bytes, method: bytes, block: FieldBlock) -> None:
    """Remember the fields of a request that the parser accepted. `data`: what came, from the request's first byte."""
    if _blocks.is_resting() or block.is_chunked or block.has_upgrade or block.expects_continue or not block.is_http_1_1:
        return
    # The parser skips blank lines before a request line; then the first line here is not the request line.
    if not data.startswith(method + b" "):
        return
    rest = data.partition(b"\r\n")[2]
    end = rest.find(_END) + 4
    if 4 <= end <= _LONGEST:
        _blocks.learn(rest[:end], block)


def known_answer(data: bytes) -> tuple[ResponseHead, int] | None:
    """The head and its length, when `data` is exactly one whole answer whose head is known. Else None."""
    end = data.find(_END) + 4
    head = _answers.get(data[:end])
    if head is None or len(data) - end != head.content_length:
        return None
    return head, end


def learn_answer(data: bytes, head: ResponseHead) -> None:
    """Remember a head that the parser accepted. `data`: what came, from the answer's first byte."""
    end = data.find(_END) + 4
    if (
        head.content_length >= 0
        and head.status not in (204, 304)
        and 4 < end <= _LONGEST
        and data.startswith(b"HTTP/1.")
    ):
        _answers.learn(data[:end], head)
