"""Client connections: the class that uvicorn's Server runs in place of an ASGI protocol (its `http=` option).

httptools (llhttp) parses; this class counts what it was fed and keeps pipelined requests in order: one exchange is
current, later ones wait. What cannot be read is `unreadable.py`'s business, what takes too long `deadlines.py`'s.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import httptools

from inferway_dataplane.core import heads, memo, problems, targets
from inferway_dataplane.core.heads import FieldBlock, Fields, RequestHead
from inferway_dataplane.core.problems import Problem
from inferway_dataplane.engine import deadlines, stages, unreadable
from inferway_dataplane.engine.exchange import Exchange
from inferway_dataplane.engine.gateway import Gateway
from inferway_dataplane.engine.turns import Turns
from inferway_dataplane.engine.unreadable import Refusal
from inferway_dataplane.engine.upstream import HIGH_WATER, NEVER

# The parser cannot be stopped in the middle of what it was fed. A segment of heads is fed in slices of this size, and
# the rest is kept as bytes while requests wait: so that a client cannot make us keep thousands of parsed ones.
_SLICE: Final = 16 << 10
# Of a body, what is not content: chunk extensions (4 KiB at most), trailers. Bytes for all, and for each chunk.
_FRAMING: Final = 8 << 10
_FRAMING_A_CHUNK: Final = 64


class ClientConnection(Turns):
    """One client connection: its bytes. The order of its requests is in `turns.py`."""

    __slots__ = (
        "_chunks",
        "_framing",
        "_had_body",
        "_head_timeout",
        "_is_head_done",
        "_is_upgrading",
        "_longest_line",
        "_parser",
        "_segment",
        "_upgrade_length",
        "_watched",
        "fed",
        "fields",
        "is_trusted",
        "peer",
        "peer_bytes",
        "registry",
        "scheme",
        "target",
    )

    def __init__(self, gateway: Gateway, registry: set[Any]) -> None:
        """`registry` is uvicorn's set of open connections, which its graceful stop waits for."""
        super().__init__(gateway)
        self.registry = registry
        self.peer = ""
        self.peer_bytes = b""
        self.scheme = b"http"
        self.is_trusted = False
        self._parser = httptools.HttpRequestParser(self)
        self.target = b""
        self.fields: Fields = []
        self.fed = 0  # bytes since the last message ended, while a head is incomplete
        self._had_body = False  # the last message that ended
        self._framing = 0  # bytes of the current body that were framing: chunk sizes, extensions, trailers
        self._chunks = 0
        self._is_upgrading = False  # a head with an Upgrade was read, and llhttp has stopped there
        self._upgrade_length = 0  # of the body after it; -1 = chunked
        self._is_head_done = False
        self._segment: bytes | None = None  # what came with the first byte of a request, while it is parsed
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
        if not self.gateway.admission.admit():
            transport.abort()
            return
        self.registry.add(self)
        self.gateway.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = self.unread_deadline = NEVER
        self.registry.discard(self)
        self.gateway.connections.discard(self)
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
        if not self._is_head_done:
            if not self.is_begun and self.current is None and not self.waiting:
                same = memo.same_request(data)
                if same is not None:
                    self._begin_same(same)
                    return
                known = memo.known_request(data, self._longest_line)
                if known is not None:
                    self._begin_known(data, *known)
                    return
                self._segment = data
            if len(data) > _SLICE:
                self._segment = None
                self._feed_slices(data)
                return
        self._feed(data)

    # --- reading -----------------------------------------------------------------------------------------------------------

    def _begin_same(self, head: RequestHead) -> None:
        """A whole request without a body that came before, byte for byte."""
        self.deadline = NEVER
        exchange = self.current = Exchange(self, head, monotonic())
        exchange.is_request_complete = True
        stages.begin(exchange)

    def _begin_known(self, data: bytes, method: bytes, target: bytes, block: FieldBlock, body: bytes) -> None:
        """A whole request whose fields were parsed before: nothing is left to parse."""
        started = monotonic()
        self.deadline = NEVER
        head = RequestHead(method, block)
        exchange = self.current = Exchange(self, head, started)
        exchange.problem = targets.locate(head, target)
        if not body:
            if exchange.problem is None:
                memo.learn_same(data, head)
            exchange.is_request_complete = True
            stages.begin(exchange)
            return
        self.receiving = exchange
        self._is_head_done = True
        stages.begin(exchange)
        self.on_body(body)
        self.on_message_complete()

    def _feed(self, data: bytes) -> None:
        gateway = self.gateway
        armed = self.deadline
        if not self._is_head_done:
            if not self.is_begun:
                self.deadline = gateway.coarse_now + self._head_timeout
            self.fed += len(data)
        elif self.receiving is not None:
            self._framing += len(data)
        rest = b""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            unreadable.parser_error(self, error)
            return
        if self._is_upgrading:
            self._continue_without_upgrade(rest)
            return
        if self.receiving is not None:
            if deadlines.is_too_slow(self, self.receiving):
                self.receiving.on_client_late()
                return
            self.deadline = gateway.coarse_now + gateway.settings.body_idle_timeout
        elif not self.is_begun:
            if self.fed:
                # Nothing but blank lines, which may stand before a request (RFC 9112 2.2): no reason for patience.
                self.fed = 0
                self.deadline = armed
        elif not self._is_head_done and self.deadline == NEVER:
            self.deadline = gateway.coarse_now + self._head_timeout  # it began in the segment of the last request
        if self.is_begun and not self.fed and not self._is_head_done:
            self.fed = self._unfinished(data)
        if self._framing > _FRAMING + _FRAMING_A_CHUNK * self._chunks:
            unreadable.refuse(self, problems.MALFORMED)
        elif self.fed > self._watched and not self._is_head_done:
            unreadable.check_incomplete(self)

    def _unfinished(self, data: bytes) -> int:
        """How much of `data` is the beginning of a next head: what follows the last blank line, where no body was.

        After a body nobody can tell; then the count starts with the next piece, and a head may have one piece more.
        """
        return len(data) - (data.rfind(b"\r\n\r\n") + 4) if not self._had_body else self._watched + 1

    def _feed_slices(self, data: bytes) -> None:
        """Feed a long segment until something holds us; the rest waits as it is."""
        for at in range(0, len(data), _SLICE):
            if self.is_deaf or (self.is_closing and self.receiving is None):
                return
            if self.holds - {"unfed"}:
                self._unfed = data[at:]
                return
            self._feed(data[at : at + _SLICE])

    def _feed_rest(self) -> None:
        data, self._unfed = self._unfed, b""
        self._feed_slices(data)
        if not self._unfed:
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
            self.fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._is_head_done:
            return  # the head that primes a parser after an Upgrade
        self._is_head_done = True
        if self.is_closing:
            return  # an answer before this one in the same segment has closed: nothing after it counts
        self._framing = self._chunks = 0
        self.held_seconds = 0.0
        started = monotonic()
        self.deadline = NEVER
        parser = self._parser
        fields, target = self.fields, self.target
        if self.fed > self._watched:
            problem = unreadable.size_problem(self)
            if problem is not None:
                raise Refusal(problem)
        method = parser.get_method()
        # Asking for the version makes a string. Without a Connection field, keep-alive says as much: only HTTP/1.1 has it.
        is_http_1_1 = parser.should_keep_alive()
        head = heads.read_request(method, fields, is_http_1_1)
        if not is_http_1_1 or isinstance(head, Problem) or head.block.has_connection:
            version = parser.get_http_version()
            if version not in ("1.1", "1.0"):
                raise Refusal(problems.BAD_VERSION)
            if is_http_1_1 != (version == "1.1"):
                head = heads.read_request(method, fields, version == "1.1")
        if isinstance(head, Problem):
            raise Refusal(head)
        problem = targets.locate(head, target)
        if method == b"CONNECT" or method == b"TRACE":
            raise Refusal(problems.METHOD_NOT_ALLOWED)
        if head.block.has_upgrade and parser.should_upgrade():
            self._is_upgrading = True
            self._upgrade_length = -1 if head.block.is_chunked else max(head.block.content_length, 0)
        if self._segment is not None:
            memo.learn_request(self._segment, method, head.block)
            self._segment = None
        exchange = self.receiving = Exchange(self, head, started)
        if problem is not None:
            exchange.problem = problem  # well framed: it is answered in its turn, and the connection may go on
        self.take_turn(exchange)

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, data: bytes) -> None:
        self._framing = max(self._framing - len(data), 0)
        if self.receiving is not None:
            self.receiving.on_request_body(data)

    def on_message_complete(self) -> None:
        if self._is_upgrading:
            return  # llhttp ends the message with its head; the body is still to come
        exchange, self.receiving = self.receiving, None
        self._is_head_done = self.is_begun = False
        self.fed = 0
        self.fields = []
        self.target = b""
        if exchange is None:
            return
        self._had_body = exchange.head.block.has_body
        exchange.on_request_end()
        if self.is_write_paused:
            self.pause("unread")
        if exchange.is_finished and self.current is exchange:
            self._next()

    def _continue_without_upgrade(self, rest: bytes) -> None:
        """An Upgrade is not followed. llhttp stops after such a head and would read the body as a new request.

        A fresh parser is primed with a head of the same framing (whose callbacks are ignored, because the head is
        done), and reads on from there.
        """
        self._is_upgrading = False
        framing = b"content-length: %d" % self._upgrade_length
        if self._upgrade_length < 0:
            framing = b"transfer-encoding: chunked"
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n" % framing)
        if rest:
            self.data_received(rest)


def protocol_class(gateway: Gateway) -> Callable[..., ClientConnection]:
    """What uvicorn's Server calls for each accepted connection."""

    def make(*, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> ClientConnection:
        return ClientConnection(gateway, server_state.connections)

    return make
