"""Client connections: the class that uvicorn's Server runs in place of an ASGI protocol (its `http=` option).

httptools (llhttp) parses; this class counts what it was fed, keeps pipelined requests in order, and holds each
connection to its time limits. Requests are answered one after the other: one exchange is current, later ones wait.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

import httptools

from inferway_dataplane.core import heads, memo, problems, targets
from inferway_dataplane.core.heads import FieldBlock, Fields, RequestHead
from inferway_dataplane.core.problems import Problem
from inferway_dataplane.engine import stages
from inferway_dataplane.engine.exchange import Exchange
from inferway_dataplane.engine.gateway import Gateway
from inferway_dataplane.engine.upstream import HIGH_WATER, NEVER
from inferway_dataplane.observe import count_in

# A refused request's body up to this size is read and thrown away; a larger one costs the connection.
_DRAINED: Final = 64 << 10
# After an answer that closes: how long the client may go on sending before its connection is cut. Closing at once
# would reset the connection, and a reset can destroy the answer before the client has read it (RFC 9112 9.6).
_LINGER: Final = 2.0
# Of a body, what is not content: chunk extensions (4 KiB at most), trailers. Bytes for all, and for each chunk.
_FRAMING: Final = 8 << 10
_FRAMING_A_CHUNK: Final = 64


class ClientConnection(asyncio.Protocol):
    """One client connection."""

    __slots__ = (
        "_chunks",
        "_fed",
        "_fields",
        "_framing",
        "_had_body",
        "_head_timeout",
        "_holds",
        "_is_begun",
        "_is_deaf",
        "_is_half_closed",
        "_is_head_done",
        "_is_taking_turns",
        "_is_upgrading",
        "_longest_line",
        "_parser",
        "_receiving",
        "_segment",
        "_target",
        "_upgrade_length",
        "_waiting",
        "_watched",
        "current",
        "deadline",
        "gateway",
        "is_closing",
        "is_trusted",
        "is_write_paused",
        "peer",
        "peer_bytes",
        "registry",
        "scheme",
        "transport",
    )

    def __init__(self, gateway: Gateway, registry: set[Any]) -> None:
        """`registry` is uvicorn's set of open connections, which its graceful stop waits for."""
        self.gateway = gateway
        self.registry = registry
        self.transport: Any = None
        self.peer = ""
        self.peer_bytes = b""
        self.scheme = b"http"
        self.is_trusted = False
        self.is_closing = False
        self.is_write_paused = False
        self.deadline = NEVER
        self.current: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._receiving: Exchange | None = None
        self._holds: set[str] = set()
        self._is_deaf = False  # nothing more is parsed: what comes is read and dropped
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._fields: Fields = []
        self._is_begun = False  # the parser stands inside a message, not between two
        self._is_half_closed = False
        self._is_taking_turns = False
        self._had_body = False  # the last message that ended
        self._framing = 0  # bytes of the current body that were framing: chunk sizes, extensions, trailers
        self._chunks = 0
        self._is_upgrading = False  # a head with an Upgrade was read, and llhttp has stopped there
        self._upgrade_length = 0  # of the body after it; -1 = chunked
        self._fed = 0  # bytes since the last message ended, while a head is incomplete
        self._is_head_done = False
        self._longest_line = gateway.settings.max_request_line
        self._segment: bytes | None = None  # what came with the first byte of a request, while it is parsed
        self._head_timeout = gateway.settings.head_timeout
        # Fewer bytes than this cannot break any limit on heads, so nothing has to be added up.
        settings = gateway.settings
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
        self.deadline = monotonic() + self.gateway.settings.head_timeout
        self.registry.add(self)
        self.gateway.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = NEVER
        self.registry.discard(self)
        self.gateway.connections.discard(self)
        self.is_closing = True
        self._waiting.clear()
        if self.current is not None:
            self.current.on_client_gone()

    def eof_received(self) -> bool:
        if self._is_deaf:
            return False
        # A client may half-close after its last request and still wants its answers.
        if self.current is None or self._receiving is not None:
            return False
        self._is_half_closed = True
        return True

    def pause_writing(self) -> None:
        self.is_write_paused = True
        if self.current is not None and self.current.upstream is not None:
            self.current.upstream.pause()

    def resume_writing(self) -> None:
        self.is_write_paused = False
        if self.current is not None and self.current.upstream is not None:
            self.current.upstream.resume()

    def data_received(self, data: bytes) -> None:
        if self._is_deaf or (self.is_closing and self._receiving is None):
            return
        self._segment = None
        if not self._is_head_done:
            if not self._is_begun:
                if self.current is None:
                    same = memo.same_request(data)
                    if same is not None:
                        self._begin_same(same)
                        return
                    known = memo.known_request(data, self._longest_line)
                    if known is not None:
                        self._begin_known(data, *known)
                        return
                    self._segment = data
                self.deadline = self.gateway.coarse_now + self._head_timeout
            self._fed += len(data)
        elif self._receiving is not None:
            self._framing += len(data)
        rest = b""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            self._on_parser_error(error)
            return
        if self._is_upgrading:
            self._continue_without_upgrade(rest)
            return
        if self._receiving is not None:
            self.deadline = self.gateway.coarse_now + self.gateway.settings.body_idle_timeout
        elif self._is_begun and not self._is_head_done and self.deadline == NEVER:
            self.deadline = self.gateway.coarse_now + self._head_timeout  # it began in the segment of the last request
        if self._is_begun and not self._fed and not self._is_head_done:
            self._fed = self._unfinished(data)
        if self._framing > _FRAMING + _FRAMING_A_CHUNK * self._chunks:
            self._refuse_unread(problems.MALFORMED)
        elif self._fed > self._watched and not self._is_head_done:
            self._check_incomplete()

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
        self._receiving = exchange
        self._is_head_done = True
        stages.begin(exchange)
        self.on_body(body)
        self.on_message_complete()

    # --- httptools ---------------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._is_begun = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head come trailers: parsed and dropped, they never become headers (RFC 9110 6.5.1).
        if not self._is_head_done:
            # llhttp leaves the white space after a value, which is no part of it (RFC 9110 5.5).
            self._fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._is_head_done:
            return  # the head that primes a parser after an Upgrade
        self._is_head_done = True
        if self.is_closing:
            return  # an answer before this one in the same segment has closed: nothing after it counts
        self._framing = self._chunks = 0
        started = monotonic()
        self.deadline = NEVER
        parser = self._parser
        fields, target = self._fields, self._target
        if self._fed > self._watched:
            problem = self._size_problem()
            if problem is not None:
                raise _Refusal(problem)
        method = parser.get_method()
        # Asking for the version makes a string. Without a Connection field, keep-alive says as much: only HTTP/1.1 has it.
        is_http_1_1 = parser.should_keep_alive()
        head = heads.read_request(method, fields, is_http_1_1)
        if not is_http_1_1 or isinstance(head, Problem) or head.block.has_connection:
            version = parser.get_http_version()
            if version not in ("1.1", "1.0"):
                raise _Refusal(problems.BAD_VERSION)
            if is_http_1_1 != (version == "1.1"):
                head = heads.read_request(method, fields, version == "1.1")
        if isinstance(head, Problem):
            raise _Refusal(head)
        problem = targets.locate(head, target)
        if method == b"CONNECT" or method == b"TRACE":
            raise _Refusal(problems.METHOD_NOT_ALLOWED)
        if head.block.has_upgrade and parser.should_upgrade():
            self._is_upgrading = True
            self._upgrade_length = -1 if head.block.is_chunked else max(head.block.content_length, 0)
        if self._segment is not None:
            memo.learn_request(self._segment, method, head.block)
            self._segment = None
        exchange = self._receiving = Exchange(self, head, started)
        if problem is not None:
            exchange.problem = problem  # well framed: it is answered in its turn, and the connection may go on
        self._take_turn(exchange)

    def _take_turn(self, exchange: Exchange) -> None:
        if self.current is None:
            self.current = exchange
            stages.begin(exchange)
        else:
            self._waiting.append(exchange)
            self.pause("pipeline")

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, data: bytes) -> None:
        self._framing = max(self._framing - len(data), 0)
        if self._receiving is not None:
            self._receiving.on_request_body(data)

    def on_message_complete(self) -> None:
        if self._is_upgrading:
            return  # llhttp ends the message with its head; the body is still to come
        exchange, self._receiving = self._receiving, None
        self._is_head_done = self._is_begun = False
        self._fed = 0
        self._fields = []
        self._target = b""
        if exchange is None:
            return
        self._had_body = exchange.head.block.has_body
        exchange.on_request_end()
        if exchange.is_finished and self.current is exchange:
            self._next()

    # --- for the current exchange --------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Write to the client."""
        self.transport.write(data)

    def pause(self, reason: str) -> None:
        """Stop reading from the client; it starts again when every reason is gone."""
        if not self._holds:
            self.transport.pause_reading()
        self._holds.add(reason)

    def resume(self, reason: str) -> None:
        """One reason to pause is gone."""
        if reason in self._holds:
            self._holds.discard(reason)
            if not self._holds and not self.transport.is_closing():
                self.transport.resume_reading()

    def may_drain(self, exchange: Exchange) -> bool:
        """Whether the rest of a refused request's body is small enough to be read and dropped."""
        head = exchange.head
        return not head.block.has_body or (
            not head.block.is_chunked and head.block.content_length <= _DRAINED and not head.block.expects_continue
        )

    def abort_answer(self) -> None:
        """The answer cannot be completed: cut the connection, so that the client does not take a part for the whole."""
        self.is_closing = True
        self.transport.abort()

    def on_exchange_end(self, exchange: Exchange) -> None:
        """The current exchange has its answer; the next one begins when its request is complete too."""
        if exchange.is_close_after or self.is_closing:
            self._close_gently()
        elif exchange.is_request_complete:
            self._next()

    def _next(self) -> None:
        if self._holds:
            self.resume("body")
            self.resume("upstream")
        if self._waiting:
            self._take_turns()
        elif self._is_half_closed:
            self.current = None
            self.transport.close()
        else:
            self.current = None
            if not self._is_begun:
                self.deadline = self.gateway.coarse_now + self.gateway.settings.idle_timeout

    def _take_turns(self) -> None:
        """Begin waiting requests. A loop, not a recursion: answers that need no waiting come back here at once."""
        if self._is_taking_turns:
            return
        self._is_taking_turns = True
        while self._waiting and not self.is_closing:
            exchange = self.current = self._waiting.popleft()
            if not self._waiting:
                self.resume("pipeline")
            stages.begin(exchange)
            if not (exchange.is_finished and exchange.is_request_complete):
                break
        self._is_taking_turns = False
        last = self.current
        if (
            not (self._waiting or self.is_closing)
            and last is not None
            and last.is_finished
            and last.is_request_complete
        ):
            self._next()

    # --- ends --------------------------------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """uvicorn's graceful stop: close when idle, else after the current answer."""
        self.is_closing = True
        if self.current is None:
            self.transport.close()

    def abort(self) -> None:
        """Cut the connection."""
        self.transport.abort()

    def on_deadline(self) -> None:
        """The wheel found this connection late."""
        self.deadline = NEVER
        if self.current is None and (self._is_deaf or self.is_closing or not self._fed):
            self.transport.abort() if self._is_deaf else self.transport.close()
        elif self._receiving is not None and self._holds:
            # It is we who do not read.
            self.deadline = self.gateway.coarse_now + self.gateway.settings.body_idle_timeout
        elif self._receiving is not None and self._receiving.is_finished:
            self.transport.abort()  # it has its answer, and does not send the rest of its request
        elif self._receiving is not None:
            self._receiving.on_client_late()
        else:
            self._refuse_unread(problems.HEAD_TIMEOUT)

    def _close_gently(self) -> None:
        self._waiting.clear()
        self.is_closing = True
        current = self.current
        self.current = None
        if current is None or current.is_request_complete:
            self.transport.close()
            return
        self._is_deaf = True
        self._receiving = None
        self.deadline = monotonic() + _LINGER
        self._holds.clear()
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    # --- what cannot be read ---------------------------------------------------------------------------------------------------

    def _on_parser_error(self, error: httptools.HttpParserError) -> None:
        cause = error.__context__
        if isinstance(cause, _Refusal):
            self._refuse_unread(cause.problem)
        elif cause is not None and not isinstance(cause, httptools.HttpParserError):
            # A callback failed: a bug of ours. It costs this connection, and the loop's handler logs it.
            self._refuse_unread(problems.INTERNAL)
            raise cause
        elif isinstance(error, httptools.HttpParserInvalidMethodError):
            self._refuse_unread(problems.UNKNOWN_METHOD)
        else:
            self._refuse_unread(problems.MALFORMED)

    def _refuse_unread(self, problem: Problem) -> None:
        """Answer a request that never became one, after those before it, and close."""
        if self._is_deaf:
            return
        self._is_deaf = True
        count_in(self.gateway.stats.refused, problem.code)
        receiving, self._receiving = self._receiving, None
        if receiving is not None and not receiving.is_finished:
            # Its head was fine and its body is not: the upstream must not see a complete request.
            receiving.is_close_after = True
            if receiving is self.current:
                receiving.break_off(problem)
            else:
                receiving.problem = problem
            return
        exchange = Exchange(self, RequestHead(b"", FieldBlock([], True)), monotonic())
        exchange.problem = problem
        exchange.is_close_after = True
        self._take_turn(exchange)

    def _unfinished(self, data: bytes) -> int:
        """How much of `data` is the beginning of a next head: what follows the last blank line, where no body was.

        After a body nobody can tell; then the count starts with the next piece, and a head may have one piece more.
        """
        return len(data) - (data.rfind(b"\r\n\r\n") + 4) if not self._had_body else self._watched + 1

    def _check_incomplete(self) -> None:
        problem = self._size_problem()
        settings = self.gateway.settings
        if problem is None and self._fed > settings.max_header_bytes + settings.max_request_line:
            # What was fed is more than what was parsed: one field so long that the parser has not told of it yet.
            problem = problems.HEAD_TOO_LARGE
        if problem is not None:
            self._refuse_unread(problem)

    def _size_problem(self) -> Problem | None:
        settings = self.gateway.settings
        if len(self._target) > settings.max_request_line - 16:
            return problems.TARGET_TOO_LONG
        size = sum(len(name) + len(value) + 4 for name, value in self._fields)
        if len(self._fields) > settings.max_header_count or size > settings.max_header_bytes:
            return problems.HEAD_TOO_LARGE
        return None

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


class _Refusal(Exception):  # noqa: N818 - it names what happens
    """Carries a problem out of a parser callback."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


def protocol_class(gateway: Gateway) -> Callable[..., ClientConnection]:
    """What uvicorn's Server calls for each accepted connection."""

    def make(*, config: Any, server_state: Any, app_state: Any, _loop: Any = None) -> ClientConnection:
        return ClientConnection(gateway, server_state.connections)

    return make
