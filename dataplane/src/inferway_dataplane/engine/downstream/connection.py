"""Client connections: the bytes of one client, parsed request by request.

httptools (llhttp) parses; this class counts the bytes that it is fed. The order of requests is in `pipelining.py`, time
limits are in `timeouts.py`.
"""

import logging
from typing import Any, Final

from inferway_dataplane.core.messages import problems, request_target
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import FieldBlock, RequestHead
from inferway_dataplane.engine.clock import NEVER
from inferway_dataplane.engine.context import Context
from inferway_dataplane.engine.downstream import states, timeouts
from inferway_dataplane.engine.downstream.eviction import ConnectionCap
from inferway_dataplane.engine.downstream.pipelining import RequestPipeline
from inferway_dataplane.engine.downstream.states import DEAF, LAST
from inferway_dataplane.engine.exchange import local_reply
from inferway_dataplane.engine.exchange.client import HOLD_UNFED, HOLD_UNREAD
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.http1.request_parser import BETWEEN, IN_BODY, IN_HEAD
from inferway_dataplane.engine.stages import order
from inferway_dataplane.engine.upstream.connection import HIGH_WATER

log = logging.getLogger("inferway")

_AT_ONCE: Final = 64
"""Heads and pieces of bodies of one client that are fed in one turn of the loop: a few milliseconds."""


class ClientConnection(RequestPipeline):
    """One client connection."""

    __slots__ = ("_cap", "_find_same_request", "_head_timeout", "_longest_line")

    def __init__(self, context: Context, cap: ConnectionCap) -> None:
        super().__init__(context)
        self._cap = cap
        self._find_same_request = self.heads.find_same_request
        self._longest_line = context.settings.max_request_line
        self._head_timeout = context.settings.head_timeout
        self.deadline = context.now() + self._head_timeout  # also for a TLS handshake

    # --- asyncio.Protocol ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._cap.on_made(self)  # first: from here on it has time limits, whatever fails
        self.write = transport.write
        transport.set_write_buffer_limits(HIGH_WATER)
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else ""
        self.peer = address.removeprefix("::ffff:")
        self.peer_bytes = self.peer.encode()
        self.is_trusted = self.context.trusted.trusts(self.peer)
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = b"https"
        self.heads = self.context.head_cache.requests_of(self.scheme, is_trusted=self.is_trusted)
        self._find_same_request = self.heads.find_same_request
        self.deadline = self.clock.now() + self._head_timeout

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = self.unread_deadline = NEVER
        self._cap.on_lost(self)
        if self.private is not None:
            self.private.close()
        self.state = states.after(self.state, states.LOST)
        self.waiting.clear()
        if self.current is not None:
            self.current.on_client_gone()

    def data_received(self, data: bytes) -> None:
        if self.state >= DEAF and (self.state != LAST or self.receiving is None):
            return
        if self._unfed:
            self._unfed += data
            return
        self.segment = None
        if self.current is None and self.place == BETWEEN and not (self.waiting or self.is_blank_half_read):
            find_same = self._find_same_request
            same = find_same(data)
            if same is not None:
                self._begin_same(same)
                return
            request = self.heads.find_request(data, self._longest_line)
            if request is not None:
                self._begin_known(data, *request)
                return
            self.segment = data
        self._feed_all(data)

    # --- reading -----------------------------------------------------------------------------------------------------------

    def _begin_same(self, head: RequestHead) -> None:
        """Begin a whole request without a body that came before, byte for byte."""
        read_clock = self.context.now
        exchange = self.current = Exchange(self, head, read_clock(), None, True)
        order.begin(exchange)

    def _begin_known(self, data: bytes, method: bytes, target: bytes, block: FieldBlock, body: bytes) -> None:
        """Begin a whole request with fields that were parsed before."""
        started = self.clock.now()
        head = RequestHead(method, block)
        problem = request_target.locate(head, target)
        exchange = self.current = Exchange(self, head, started, problem, not body)
        if not body:
            if problem is None:
                self.heads.learn_same(data, head)
            order.begin(exchange)
            return
        self.receiving = exchange
        self.place = IN_BODY
        order.begin(exchange)
        self.on_body(body)
        self.on_message_complete()

    def _feed_all(self, data: bytes) -> None:
        """Feed message by message, head and body apart, until there is a hold or enough was fed; the rest waits as bytes.

        So no request is parsed before its turn, and heads and bodies are measured apart wherever segments begin.
        """
        at, end = 0, len(data)
        left = _AT_ONCE
        while at < end:
            if self.state >= DEAF and (self.state != LAST or self.receiving is None):
                return
            if self.holds & ~HOLD_UNFED:
                self._unfed = data[at:]
                return
            if not left:
                # Others have their turn: the loop hands over thousands of tiny requests or chunks at once.
                self._unfed = data[at:]
                self.pause(HOLD_UNFED)
                self.context.call_soon(self._feed_rest)
                return
            if self.place == IN_BODY:
                upto = self.body_end(data, at)
            else:
                if self.place == BETWEEN and (data[at] in b"\r\n" or self.is_blank_half_read):
                    at = self.skip_blank_lines(data, at)
                    continue
                upto = self.head_end(data, at)
            if upto < 0:
                return
            self._feed(data if upto - at == end else data[at:upto])
            at = upto
            left -= 1

    def _feed(self, data: bytes) -> None:
        """Feed a part of one head or one body."""
        is_head = self.place != IN_BODY
        coarse_now = self.clock.coarse_now
        if self.place == BETWEEN and not self.has_fin:
            self.deadline = coarse_now + self._head_timeout
        if not self.feed(data):
            return
        receiving = self.receiving
        if receiving is not None:
            if not is_head and timeouts.is_too_slow(self, coarse_now):
                local_reply.break_off(receiving, problems.BODY_TIMEOUT)
            elif not self.has_fin:
                self.deadline = coarse_now + self.context.settings.body_idle_timeout
        elif is_head and self.place == IN_HEAD:
            self.refuse_oversized()

    def _feed_rest(self) -> None:
        data, self._unfed = self._unfed, b""
        try:
            self._feed_all(data)
            if self._unfed:
                if self.holds & ~HOLD_UNFED:
                    self.holds &= ~HOLD_UNFED  # the end of the other hold feeds the rest
            else:
                self.resume(HOLD_UNFED)
                if self.current is None and not self.waiting:
                    self._close_at_fin()
        except Exception:
            # As the loop does with what `data_received` raises.
            log.exception("unexpected error while reading a request")
            self.transport.abort()

    # --- the parser ----------------------------------------------------------------------------------------------------------

    def on_request(self, head: RequestHead, problem: Problem | None, started: float) -> None:
        if self.state >= LAST:
            return  # a response before this one has closed
        self.held_seconds = 0.0
        exchange = self.receiving = Exchange(self, head, started, problem)
        self.take_turn(exchange)

    def on_body(self, data: bytes) -> None:
        receiving = self.receiving
        if receiving is not None:
            try:
                problem = receiving.on_request_body(data)
            except Exception:
                local_reply.fail(receiving)
            else:
                if problem is not None:
                    local_reply.break_off(receiving, problem)

    def on_request_end(self) -> None:
        exchange, self.receiving = self.receiving, None
        if exchange is None:
            return
        try:
            exchange.on_request_end()
        except Exception:
            local_reply.fail(exchange)
        if self.is_write_paused:
            self.pause(HOLD_UNREAD)
        if exchange.is_finished and self.current is exchange:
            self.on_exchange_end(exchange)
