"""Client connections: the protocol that the listener runs for each.

httptools (llhttp) parses; this class counts what it was fed and keeps pipelined requests in order: one exchange is
current, later ones wait. What cannot be read is `bad_requests.py`'s business, what takes too long `timeouts.py`'s.
"""

from time import monotonic
from typing import Any, Final

import httptools

from inferway_dataplane.core.messages import problems, request_head, request_target
from inferway_dataplane.core.messages.chunked_body import ChunkedBodyScanner
from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import FieldBlock, RequestHead
from inferway_dataplane.engine.downstream import bad_requests, timeouts
from inferway_dataplane.engine.downstream.bad_requests import BadRequest
from inferway_dataplane.engine.downstream.pipelining import RequestPipeline
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.http1 import head_cache
from inferway_dataplane.engine.stages import order as stage_order
from inferway_dataplane.engine.upstream.connection import HIGH_WATER, NEVER
from inferway_dataplane.gateway import Gateway

# Of a chunked body, what is not content: 4 KiB for extensions and trailers, and what each chunk needs by itself.
_FRAMING: Final = 4 << 10
_FRAMING_A_CHUNK: Final = 64


class ClientConnection(RequestPipeline):
    """One client connection: its bytes. The order of its requests is in `pipelining.py`."""

    __slots__ = (
        "_body_left",
        "_extent",
        "_has_white_space",
        "_head_timeout",
        "_is_blank_half_read",
        "_is_head_done",
        "_is_line_open",
        "_is_repriming",
        "_longest_line",
        "_parser",
        "_segment",
        "_tail",
        "_watched",
        "fed",
        "fields",
        "is_trusted",
        "line",
        "peer",
        "peer_bytes",
        "scheme",
        "target",
    )

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self.peer = ""
        self.peer_bytes = b""
        self.scheme = b"http"
        self.is_trusted = False
        self._parser = httptools.HttpRequestParser(self)
        # The head that is being read
        self.target = b""
        self.fields: Fields = []
        self.fed = 0  # its bytes so far
        self.line = b""  # the request line, and perhaps what came with it
        self._is_line_open = True
        self._tail = b""  # its last bytes, where a blank line may have begun
        self._has_white_space = False  # some value had white space around it
        self._is_head_done = False
        self._is_blank_half_read = False  # the CR of a blank line before a request was read
        self._segment: bytes | None = None  # what came with the first byte of a request, while it is parsed
        # The body that is being read
        self._body_left = 0
        self._extent: ChunkedBodyScanner | None = None
        self._is_repriming = False  # the parser stops after this head, and a fresh one has to go on
        settings = gateway.settings
        self._longest_line = settings.max_request_line
        self._head_timeout = settings.head_timeout
        # Fewer bytes than this cannot break any limit on heads, so nothing has to be added up.
        self._watched = min(settings.max_request_line, settings.max_header_bytes, 4 * settings.max_header_count)

    # --- asyncio.Protocol ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else ""
        self.peer = address.removeprefix("::ffff:")
        self.peer_bytes = self.peer.encode()
        self.is_trusted = self.gateway.trusted.trusts(self.peer)
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = b"https"
        self.deadline = monotonic() + self._head_timeout
        self.gateway.connections.add(self)
        self.gateway.admission.coming.pop(self, None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = self.unread_deadline = NEVER
        self.gateway.connections.discard(self)
        self.gateway.admission.going.discard(self)
        self.is_closing = True
        self.waiting.clear()
        if self.current is not None:
            self.current.on_client_gone()

    def data_received(self, data: bytes) -> None:
        if self.is_deaf or (self.is_closing and self.receiving is None):
            return
        if self._unfed:
            self._unfed += data
            return
        self._segment = None
        if self.current is None and not (self.is_begun or self.waiting or self._is_blank_half_read):
            same = head_cache.same_request(data)
            if same is not None:
                self._begin_same(same)
                return
            known = head_cache.known_request(data, self._longest_line)
            if known is not None:
                self._begin_known(data, *known)
                return
            self._segment = data
        self._feed_all(data)

    # --- reading -----------------------------------------------------------------------------------------------------------

    def _begin_same(self, head: RequestHead) -> None:
        """A whole request without a body that came before, byte for byte."""
        self.deadline = NEVER
        exchange = self.current = Exchange(self, head, monotonic())
        exchange.is_request_complete = True
        stage_order.begin(exchange)

    def _begin_known(self, data: bytes, method: bytes, target: bytes, block: FieldBlock, body: bytes) -> None:
        """A whole request whose fields were parsed before: nothing is left to parse."""
        started = monotonic()
        self.deadline = NEVER
        head = RequestHead(method, block)
        exchange = self.current = Exchange(self, head, started)
        exchange.problem = request_target.locate(head, target)
        if not body:
            if exchange.problem is None:
                head_cache.learn_same(data, head)
            exchange.is_request_complete = True
            stage_order.begin(exchange)
            return
        self.receiving = exchange
        self._is_head_done = True
        stage_order.begin(exchange)
        self.on_body(body)
        self.on_message_complete()

    def _feed_all(self, data: bytes) -> None:
        """Feed message by message, head and body apart, until something holds us; the rest waits as bytes.

        So nothing is parsed before its turn, and a head or a body is measured by itself wherever segments begin.
        """
        at, end = 0, len(data)
        while at < end:
            if self.is_deaf or (self.is_closing and self.receiving is None):
                return
            if self.holds and self.holds != {"unfed"}:
                self._unfed = data[at:]
                return
            if self._is_head_done:
                upto = self._body_end(data, at)
            else:
                if not self.is_begun and (data[at] in b"\r\n" or self._is_blank_half_read):
                    at = self._skip_blank_lines(data, at)
                    continue
                upto = self._head_end(data, at)
            if upto < 0:
                return
            self._feed(data if upto - at == end else data[at:upto])
            at = upto

    def _skip_blank_lines(self, data: bytes, at: int) -> int:
        """Past the blank lines that may stand before a request (RFC 9112 2.2). They are no reason for more patience."""
        while at < len(data):
            byte = data[at : at + 1]
            if self._is_blank_half_read != (byte == b"\n"):
                bad_requests.refuse(self, problems.MALFORMED)  # half a line end
                return len(data)
            if byte not in b"\r\n":
                break
            self._is_blank_half_read = byte == b"\r"
            at += 1
        return at

    def _head_end(self, data: bytes, at: int) -> int:
        """The index after the blank line that ends the head, or after all there is."""
        tail = self._tail
        if tail:
            found = (tail + data[at : at + 3]).find(b"\r\n\r\n")
            if found >= 0:
                return at + found + 4 - len(tail)
        found = data.find(b"\r\n\r\n", at)
        if found >= 0:
            return found + 4
        self._tail = (tail + data[max(at, len(data) - 3) :])[-3:]
        return len(data)

    def _body_end(self, data: bytes, at: int) -> int:
        """The index after the body, or after all there is of it; -1 when it was refused."""
        extent = self._extent
        if extent is None:
            upto = min(len(data), at + self._body_left)
            self._body_left -= upto - at
            return upto
        upto = extent.scan(data, at)
        if extent.is_lost or extent.framing > _FRAMING + _FRAMING_A_CHUNK * extent.chunks:
            bad_requests.refuse(self, problems.MALFORMED)
            return -1
        return upto

    def _feed(self, data: bytes) -> None:
        """Feed a part of one message: of its head, or of its body."""
        gateway = self.gateway
        is_head = not self._is_head_done
        if is_head:
            if not self.is_begun:
                self.deadline = gateway.coarse_now + self._head_timeout
            if self._is_line_open:
                self.line += data
                self._is_line_open = b"\r\n" not in self.line
            self.fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # nothing stands behind the head here, so nothing was left unread
        except httptools.HttpParserError as error:
            if not self._is_repriming or isinstance(error, httptools.HttpParserCallbackError):
                bad_requests.parser_error(self, error)
                return
        if self._is_repriming:
            self._reprime()
        if self.receiving is not None:
            if not is_head and timeouts.is_too_slow(self, self.receiving):
                self.receiving.on_client_late()
            else:
                self.deadline = gateway.coarse_now + gateway.settings.body_idle_timeout
        elif is_head and self.is_begun and not self._is_head_done and self.fed > self._watched:
            bad_requests.check_incomplete(self)

    def _reprime(self) -> None:
        """llhttp stops after a head with an Upgrade, and after `chunked` with a tab behind it, which is legal.

        An Upgrade is not followed: what comes is a body, and would be read as a new request. A fresh parser is primed
        with a head of the same framing (whose callbacks are ignored, because the head is done), and reads on from there.
        """
        self._is_repriming = False
        framing = b"transfer-encoding: chunked" if self._extent is not None else b"content-length: %d" % self._body_left
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % framing)

    def _feed_rest(self) -> None:
        data, self._unfed = self._unfed, b""
        self._feed_all(data)
        if self._unfed:
            self.holds.discard("unfed")  # something else holds us again: its end feeds the rest
        else:
            self.resume("unfed")

    # --- httptools ---------------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.is_begun = True

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head come trailers: parsed and dropped, they never become headers (RFC 9110 6.5.1).
        if not self._is_head_done:
            # llhttp leaves the white space after a value, which is no part of it (RFC 9110 5.5).
            bare = value.strip(b" \t")
            if bare is not value:
                self._has_white_space = True
            self.fields.append((name, bare))

    def on_headers_complete(self) -> None:
        if self._is_head_done:
            return  # the head that primes a parser
        self._is_head_done = True
        if self.is_closing:
            return  # an answer before this one has closed: nothing after it counts
        self.held_seconds = 0.0
        started = monotonic()
        self.deadline = NEVER
        if self.fed > self._watched:
            too_much = bad_requests.size_problem(self)
            if too_much is not None:
                raise BadRequest(too_much)
        # llhttp reads other protocols than HTTP, and several blanks in a row. It also makes a string of the version.
        line = self.line.partition(b"\r\n")[0]
        is_http_1_1 = line.endswith(b" HTTP/1.1")
        if not (is_http_1_1 or line.endswith(b" HTTP/1.0")):
            raise BadRequest(problems.BAD_VERSION)
        if line.count(b" ") != 2:
            raise BadRequest(problems.MALFORMED)
        method = self._parser.get_method()
        head = request_head.read_request(method, self.fields, is_http_1_1)
        if isinstance(head, Problem):
            raise BadRequest(head)
        if method == b"CONNECT" or method == b"TRACE":
            raise BadRequest(problems.METHOD_NOT_ALLOWED)
        problem = request_target.locate(head, self.target)
        block = head.block
        self._body_left = max(block.content_length, 0)
        self._extent = ChunkedBodyScanner() if block.is_chunked else None
        self._is_repriming = (block.has_upgrade and self._parser.should_upgrade()) or (
            block.is_chunked and self._has_white_space
        )
        if self._segment is not None:
            head_cache.learn_request(self._segment, method, block)
            self._segment = None
        exchange = self.receiving = Exchange(self, head, started)
        if problem is not None:
            exchange.problem = problem  # well framed: it is answered in its turn, and the connection may go on
        self.take_turn(exchange)

    def on_body(self, data: bytes) -> None:
        if self.receiving is not None:
            self.receiving.on_request_body(data)

    def on_message_complete(self) -> None:
        if self._is_repriming:
            return  # llhttp ends the message with its head; the body is still to come
        exchange, self.receiving = self.receiving, None
        self._is_head_done = self.is_begun = False
        self.fed = 0
        self.fields = []
        self.target = self.line = self._tail = b""
        self._is_line_open = True
        self._has_white_space = False
        self._extent = None
        if exchange is None:
            return
        exchange.on_request_end()
        if self.is_write_paused:
            self.pause("unread")
        if exchange.is_finished and self.current is exchange:
            self._next()
