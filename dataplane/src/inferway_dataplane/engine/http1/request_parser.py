"""Reads one request after the other: the callbacks of llhttp, and the checks that llhttp leaves out.

A request that has no reading, or two, is refused, never repaired: the upstream may read it the other way (RFC 9112 11.2).
"""

import re
from abc import abstractmethod
from collections.abc import Callable
from typing import Final

import httptools

from inferway_dataplane.core.messages import problems, request_head, request_target
from inferway_dataplane.core.messages.chunked_body import ChunkedBodyScanner
from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.engine.clock import Clock
from inferway_dataplane.engine.http1.head_cache import RequestHeads
from inferway_dataplane.settings import Settings

# Where the parser stands: between two requests, or inside one.
BETWEEN: Final = 0
IN_HEAD: Final = 1
IN_BODY: Final = 2

# Of a chunked body, the bytes that are not content: 4 KiB for extensions and trailers, and a chunk's own framing.
_FRAMING: Final = 4 << 10
_FRAMING_A_CHUNK: Final = 64

_CHUNKS_AT_ONCE: Final = 16
"""Chunks that are fed at once: as much work as one request."""


# mypy cannot know that this pattern matches everywhere, if only nothing.
_BLANK_LINES: Final[Callable[[bytes, int], re.Match[bytes]]] = re.compile(rb"(?:\r\n)*+").match  # type: ignore[assignment]


class BadRequest(Exception):  # noqa: N818 - it names what happens
    """Carries a problem out of a parser callback."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


class RequestParser:
    """The callbacks of the parser, and the state of the current request. `downstream/connection.py` feeds it."""

    __slots__ = (
        "_body_left", "_extent", "_has_white_space", "_is_line_open", "_is_repriming", "_parser", "_settings", "_tail",
        "_watched", "clock", "fed", "fields", "heads", "is_blank_half_read", "line", "place", "segment", "target",
    )  # fmt: skip

    def __init__(self, settings: Settings, clock: Clock, heads: RequestHeads) -> None:
        self.clock = clock
        self._settings = settings
        self.heads = heads  # of this kind of sender
        self._parser = httptools.HttpRequestParser(self)
        self.place = BETWEEN
        self.segment: bytes | None = None  # the bytes that came with a request's first byte, while they are parsed
        # The head that is being read
        self.target = b""
        self.fields: Fields = []
        self.fed = 0  # its bytes so far
        self.line = b""  # the request line, and perhaps the bytes that came with it
        self._is_line_open = True
        self._tail = b""  # its last bytes, where a blank line may have begun
        self._has_white_space = False  # some value had white space around it
        self.is_blank_half_read = False  # the CR of a blank line before a request was read
        # The body that is being read
        self._body_left = 0
        self._extent: ChunkedBodyScanner | None = None
        self._is_repriming = False  # the parser stops after this head, and a fresh one has to continue
        # Fewer bytes than this cannot exceed any limit on heads, so that nothing has to be added up.
        self._watched = min(settings.max_request_line, settings.max_header_bytes, 4 * settings.max_header_count)

    # --- for the connection ------------------------------------------------------------------------------------------------

    @abstractmethod
    def on_request(self, head: RequestHead, problem: Problem | None, started: float) -> None:
        """A head was read at `started`. `problem`: it is well framed, but has to be refused."""

    @abstractmethod
    def on_body(self, data: bytes) -> None:
        """A piece of the body was read."""

    @abstractmethod
    def on_request_end(self) -> None:
        """The request is complete."""

    @abstractmethod
    def refuse(self, problem: Problem) -> None:
        """Refuse bytes that cannot become a request."""

    # --- where messages begin and end ----------------------------------------------------------------------------------------

    def skip_blank_lines(self, data: bytes, at: int) -> int:
        """The index after the blank lines that may precede a request (RFC 9112 2.2). They extend no time limit."""
        while at < len(data):
            if not self.is_blank_half_read:
                at = _BLANK_LINES(data, at).end()
            byte = data[at : at + 1]
            if not byte:
                break
            if self.is_blank_half_read != (byte == b"\n"):
                self.refuse(problems.MALFORMED)  # half a line end
                return len(data)
            if byte not in b"\r\n":
                break
            self.is_blank_half_read = byte == b"\r"
            at += 1
        return at

    def head_end(self, data: bytes, at: int) -> int:
        """The index after the blank line that ends the head, or after all there is."""
        tail = self._tail
        if tail:
            end = (tail + data[at : at + 3]).find(b"\r\n\r\n")
            if end >= 0:
                return at + end + 4 - len(tail)
        end = data.find(b"\r\n\r\n", at)
        if end >= 0:
            return end + 4
        self._tail = (tail + data[max(at, len(data) - 3) :])[-3:]
        return len(data)

    def body_end(self, data: bytes, at: int) -> int:
        """The index after the body, or after all there is of it, or after many chunks; -1 when it was refused."""
        extent = self._extent
        if extent is None:
            upto = min(len(data), at + self._body_left)
            self._body_left -= upto - at
            return upto
        upto = extent.scan(data, at, _CHUNKS_AT_ONCE)
        if extent.is_lost or extent.framing > _FRAMING + _FRAMING_A_CHUNK * extent.chunks:
            self.refuse(problems.MALFORMED)
            return -1
        return upto

    # --- feeding -----------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> bool:
        """Parse a part of one head or one body. False: it was refused.

        Raises what a callback raised, if that is a bug of the gateway: the loop's handler logs it.
        """
        if self.place != IN_BODY:
            if self._is_line_open:
                self.line += data
                self._is_line_open = self.line.find(b"\r\n") < 0  # `in` costs more: CPython first raises an exception
            self.fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # nothing stands behind the head here, so nothing was left unread
        except httptools.HttpParserError as error:
            if not self._is_repriming or isinstance(error, httptools.HttpParserCallbackError):
                self._refuse_error(error)
                return False
        if self._is_repriming:
            self._reprime()
        return True

    def _refuse_error(self, error: httptools.HttpParserError) -> None:
        """The parser stopped at bytes that it cannot read, or because a callback raised."""
        cause = error.__context__
        if isinstance(cause, BadRequest):
            self.refuse(cause.problem)
        elif cause is not None and not isinstance(cause, httptools.HttpParserError):
            self.refuse(problems.INTERNAL)  # it costs this connection
            raise cause
        elif self.line.startswith(b"PRI * HTTP/2"):
            self.refuse(problems.BAD_VERSION)  # the preface of HTTP/2 (RFC 9113 3.4)
        elif isinstance(error, httptools.HttpParserInvalidMethodError):
            self.refuse(problems.UNKNOWN_METHOD)
        else:
            self.refuse(_problem_of(str(error)))

    def refuse_oversized(self) -> None:
        """Refuse a head that is incomplete and already too large."""
        if self.fed > self._watched:
            settings = self._settings
            problem = self._size_problem()
            if problem is None and self.fed > settings.max_header_bytes + settings.max_request_line:
                # More was fed than was parsed: one field so long that the parser has not reported it yet.
                problem = problems.HEAD_TOO_LARGE
            if problem is not None:
                self.refuse(problem)

    def _size_problem(self) -> Problem | None:
        """The limit that the parsed part of the current head exceeds."""
        settings = self._settings
        if len(self.line.partition(b"\r\n")[0]) > settings.max_request_line:
            return problems.TARGET_TOO_LONG
        size = sum(len(name) + len(value) + 4 for name, value in self.fields)
        if len(self.fields) > settings.max_header_count or size > settings.max_header_bytes:
            return problems.HEAD_TOO_LARGE
        return None

    def _reprime(self) -> None:
        """Give the body to a fresh parser.

        llhttp stops after a head with an Upgrade, and after `chunked` with a tab behind it, which is legal. An Upgrade is
        not followed: the next bytes are a body, but would be read as a request. The fresh parser is primed with a head of
        the same framing, whose callbacks are ignored because the head is done.
        """
        self._is_repriming = False
        framing = b"transfer-encoding: chunked" if self._extent is not None else b"content-length: %d" % self._body_left
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % framing)

    # --- httptools ---------------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.place == BETWEEN:
            self.place = IN_HEAD

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head come trailers: parsed and dropped, they never become headers (RFC 9110 6.5.1).
        if self.place != IN_BODY:
            # llhttp leaves the white space after a value, which does not belong to it (RFC 9110 5.5).
            bare = value.strip(b" \t")
            if bare is not value:
                self._has_white_space = True
            self.fields.append((name, bare))

    def on_headers_complete(self) -> None:
        if self.place == IN_BODY:
            return  # the head that primes a parser
        self.place = IN_BODY
        read_clock = self.clock.now
        started = read_clock()
        if self.fed > self._watched:
            problem = self._size_problem()
            if problem is not None:
                raise BadRequest(problem)
        # llhttp reads other protocols than HTTP, and several blanks in a row. It also makes a string of the version.
        line = self.line.partition(b"\r\n")[0]
        is_http_1_1 = line.endswith(b" HTTP/1.1")
        if not (is_http_1_1 or line.endswith(b" HTTP/1.0")):
            raise BadRequest(problems.BAD_VERSION)
        if line.count(b" ") != 2:
            raise BadRequest(problems.MALFORMED)
        method = self._parser.get_method()
        head = request_head.read_request(method, self.fields, is_http_1_1, self.heads.sender)
        if isinstance(head, Problem):
            raise BadRequest(head)
        if method == b"CONNECT" or method == b"TRACE":
            raise BadRequest(problems.METHOD_NOT_ALLOWED)
        problem = request_target.locate(head, self.target)
        block = head.block
        if problem is None and block.is_websocket and method == b"GET":
            problem = problems.WEBSOCKET_UNSUPPORTED
        self._body_left = max(block.content_length, 0)
        self._extent = ChunkedBodyScanner() if block.is_chunked else None
        self._is_repriming = (block.has_upgrade and self._parser.should_upgrade()) or (
            block.is_chunked and self._has_white_space
        )
        if self.segment is not None:
            self.heads.learn_request(self.segment, method, block)
            self.segment = None
        self.on_request(head, problem, started)

    def on_message_complete(self) -> None:
        if self._is_repriming:
            return  # llhttp ends the message with its head; the body is still to come
        self.place = BETWEEN
        self.fed = 0
        self.fields = []
        self.target = self.line = self._tail = b""
        self._is_line_open = True
        self._has_white_space = False
        self._extent = None
        self.on_request_end()


def _problem_of(reason: str) -> Problem:
    """Choose the problem for llhttp's reason, a constant text that names the framing field at fault."""
    is_of_length, is_of_coding = "Content-Length" in reason, "Transfer-Encoding" in reason
    if is_of_length and is_of_coding:
        return problems.LENGTH_AND_ENCODING
    if is_of_length:
        return problems.BAD_CONTENT_LENGTH
    return problems.BAD_TRANSFER_ENCODING if is_of_coding else problems.MALFORMED
