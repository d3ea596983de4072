"""The order of one client's requests: one exchange is current, later ones wait for their turn.

The half of a client connection that knows nothing of bytes: which exchange is next, when the gateway stops reading, and
how the connection ends.
"""

import asyncio
import logging
import socket
import struct
from abc import abstractmethod
from collections import deque
from typing import Any

from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import FieldBlock, RequestHead
from inferway_dataplane.engine.clock import NEVER
from inferway_dataplane.engine.context import Context
from inferway_dataplane.engine.downstream import states, timeouts
from inferway_dataplane.engine.downstream.states import DEAF, FRESH, LAST, LINGERING, OPEN
from inferway_dataplane.engine.downstream.timeouts import GRACE, LINGER
from inferway_dataplane.engine.exchange import local_reply
from inferway_dataplane.engine.exchange.client import (
    HOLD_BODY,
    HOLD_PIPELINE,
    HOLD_UNFED,
    HOLD_UNREAD,
    HOLD_UPSTREAM,
    Client,
)
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.http1.request_parser import BETWEEN, RequestParser
from inferway_dataplane.engine.stages import order
from inferway_dataplane.engine.upstream.connection import UpstreamConnection
from inferway_dataplane.engine.upstream.private_connections import PrivateConnections
from inferway_dataplane.observability.stats import count_in

log = logging.getLogger("inferway")


class RequestPipeline(RequestParser, Client, asyncio.Protocol):
    """Base of `ClientConnection`. `state` is one of `states.py`; `has_fin`: the client has ended its side."""

    __slots__ = (
        "_held_since", "_is_fin_read", "_is_taking_turns", "_unfed", "context", "current", "deadline", "has_fin", "held_seconds",
        "holds", "is_trusted", "is_write_paused", "peer", "peer_bytes", "private", "receiving", "scheme", "state", "transport",
        "unread_deadline", "unread_left", "waiting", "write",
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        super().__init__(context.settings, context.clock, context.head_cache.requests_of(b"http", is_trusted=False))
        self.context = context
        self.transport: Any = None
        self.write: Any = None  # the transport's own
        self.peer = ""
        self.peer_bytes = b""
        self.scheme = b"http"
        self.is_trusted = False
        self.private: PrivateConnections | None = None
        self.state = FRESH
        self.current: Exchange | None = None
        self.waiting: deque[Exchange] = deque()
        self.receiving: Exchange | None = None  # its body is not complete
        self.deadline = NEVER
        self.unread_deadline = NEVER
        self.unread_left = 0  # bytes that were written and not taken, when that clock was set
        self.has_fin = False
        self._is_fin_read = False  # so nothing more can come; a FIN that was only polled may stand behind requests
        self.is_write_paused = False
        self.holds = 0  # reasons not to read, as bits (`client.HOLD_NAMES`)
        self.held_seconds = 0.0  # for how long the current body was not read
        self._held_since = 0.0
        self._is_taking_turns = False
        self._unfed = b""  # bytes that arrived during a hold

    @abstractmethod
    def _feed_rest(self) -> None:
        """Parse the bytes that had to wait."""

    # --- what the client reads, and whether it is there -------------------------------------------------------------------

    def eof_received(self) -> bool:
        is_asking = self.current is not None or bool(self.waiting)
        is_deaf = self.state == DEAF or self.state == LINGERING
        current = self.current
        if current is not None and current.is_close_delimited and not self.transport.can_write_eof():
            self.abort_response(by_reset=True)  # an orderly end would pass for the end of the response
        if is_deaf or self.receiving is not None or not is_asking or not self.transport.can_write_eof():
            return False  # TLS has no half-closed connection
        # A request is under way: either the client has left, or it only has no further request (`timeouts.GRACE`).
        self._is_fin_read = True
        self.expect_leaving(self.clock.now())
        return True

    def expect_leaving(self, now: float) -> None:
        """The client sent a FIN during a request: give the response a moment."""
        self.has_fin = True
        self.deadline = now + GRACE

    def pause_writing(self) -> None:
        self.is_write_paused = True
        self._await_reading()
        if self.receiving is None:
            self.pause(HOLD_UNREAD)  # a client that does not read its responses may not send further requests
        if self.current is not None:
            self.current.on_client_writable(False)

    def _await_reading(self) -> None:
        """From now on the client has to take what was written."""
        self.unread_left = self.transport.get_write_buffer_size()
        self.unread_deadline = self.clock.coarse_now + self.context.settings.unread_timeout

    def resume_writing(self) -> None:
        self.is_write_paused = False
        if self.state < LINGERING:
            self.unread_deadline = NEVER
        if self.current is not None:
            try:
                self.current.on_client_writable(True)
            except Exception:
                local_reply.fail(self.current)
        self.resume(HOLD_UNREAD)
        if self.waiting and self.current is None:
            if self.state >= LAST:
                self._close_gently()
            else:
                self._take_turns()

    # --- turns -------------------------------------------------------------------------------------------------------------

    def take_turn(self, exchange: Exchange) -> None:
        """Begin a request now, or after the responses before it, as soon as the client has read enough of them."""
        if self.current is None and not self.waiting and not self.is_write_paused:
            self.current = exchange
            order.begin(exchange)
        else:
            self.waiting.append(exchange)
            self.pause(HOLD_PIPELINE)

    def on_exchange_end(self, exchange: Exchange) -> None:
        """The current exchange has its response; the next one begins when its request is complete too."""
        if exchange.is_close_after or self.state >= LAST:
            self._close_gently()
        elif exchange.is_request_complete:
            self._next()

    def _next(self) -> None:
        self.current = None
        if self.state != OPEN:
            self.state = states.after(self.state, states.RESPONDED)
        if self.holds:
            self.resume(HOLD_BODY)
            self.resume(HOLD_UPSTREAM)
        if self.waiting:
            self._take_turns()
        elif self.has_fin:
            self._close_at_fin()
        elif self.place == BETWEEN:
            self.deadline = self.clock.coarse_now + self.context.settings.idle_timeout

    def _close_at_fin(self) -> None:
        """Close when a FIN was read and everything before it has its response."""
        if self._is_fin_read and not (self._unfed or self.holds & HOLD_UNFED or self.state >= LINGERING):
            self.close()

    def _take_turns(self) -> None:
        """Begin waiting requests. A loop, not a recursion: responses without a wait come back here at once."""
        if self._is_taking_turns:
            return
        self._is_taking_turns = True
        try:
            while self.waiting and self.current is None and self.state < LAST and not self.is_write_paused:
                exchange = self.current = self.waiting.popleft()
                if not self.waiting:
                    self.resume(HOLD_PIPELINE)
                order.begin(exchange)
        finally:
            self._is_taking_turns = False
        if self.current is None and not self.waiting and self.state < LAST:
            self._next()

    def refuse(self, problem: Problem) -> None:
        """Refuse bytes that cannot become a request: behind the responses before it, and the connection closes.

        After bytes that have no reading, or two, the start of the next message is unknown (RFC 9112 2.2, 11.2).
        """
        if self.state == DEAF or self.state >= LINGERING:
            return
        self.state = states.after(self.state, states.REFUSED)
        count_in(self.context.stats.refused, problem.code)
        receiving, self.receiving = self.receiving, None
        if receiving is not None and receiving.is_finished:
            self._close_gently()  # it has its response; a refusal would be a second one
            return
        if receiving is not None:
            # Its head is valid and its body is not: the upstream must not get a complete request.
            receiving.refuse_later(problem)
            if receiving is self.current:
                local_reply.break_off(receiving, problem)
            return
        exchange = Exchange(self, RequestHead(b"", FieldBlock([], True)), self.clock.now(), problem)
        exchange.close_after()
        self.take_turn(exchange)

    # --- reading -------------------------------------------------------------------------------------------------------------

    def pause(self, hold: int) -> None:
        if not self.holds:
            self._held_since = self.clock.coarse_now
            if not self.transport.is_closing():
                self.transport.pause_reading()
        self.holds |= hold

    def resume(self, hold: int) -> None:
        if not self.holds & hold:
            return
        self.holds &= ~hold
        if self.holds:
            return
        now = self.clock.coarse_now
        self.held_seconds += now - self._held_since
        self._held_since = now
        if not self.has_fin:
            timeouts.begin(self, now)  # the client had no time while the gateway did not read
        if self._unfed:
            # Later, because this may run within a callback of the parser, which cannot be fed then.
            self.holds = HOLD_UNFED
            self.context.call_soon(self._feed_rest)
            return
        if not self.transport.is_closing():
            try:
                self.transport.resume_reading()
            except Exception:
                log.exception("unexpected error in a transport")
                self.transport.abort()  # or its client would wait for an answer to what is never read

    def bind(self, connection: UpstreamConnection) -> None:
        if self.private is None:
            self.private = PrivateConnections(self.context.pools.private)
        self.private.bind(connection)

    # --- ends --------------------------------------------------------------------------------------------------------------------

    def abort_response(self, *, by_reset: bool) -> None:
        self.state = states.after(self.state, states.LOST)
        client_socket = self.transport.get_extra_info("socket") if by_reset else None
        if client_socket is not None:
            client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def shutdown(self) -> None:
        """The process stops: close when idle, else after the current response.

        A request may be on its way just now, most likely on a new connection: there the gateway waits a little for it,
        unless the drain delay has already closed every connection that sent a request.
        """
        if self.current is not None or self.waiting:
            self.state = states.after(self.state, states.STOPPED)
            if self.current is not None:
                self.current.close_after()
        elif self.state == OPEN and self.place == BETWEEN and self.context.settings.drain_delay >= GRACE:
            self.close()
        else:
            self.deadline = min(self.deadline, self.clock.now() + GRACE)

    def close(self) -> None:
        """Close as soon as the client has taken what was written, within a time limit."""
        self.state = states.after(self.state, states.CLOSED_BY_US)
        self.transport.close()
        self._await_reading()

    def cut(self, reason: str) -> None:
        """Cut the connection; `reason` labels the metric."""
        count_in(self.context.stats.cut, reason)
        self.transport.abort()

    def _close_gently(self) -> None:
        self.waiting.clear()
        self.current = None
        if self.transport.is_closing():
            self.state = states.after(self.state, states.LOST)
            return
        if not self.transport.can_write_eof():
            self.close()  # the closing alert of TLS ends both sides
            return
        # What the client is sending just now is read and dropped for a while (`timeouts.LINGER`).
        self.state = states.after(self.state, states.LINGERED)
        self.receiving = None
        self._unfed = b""
        if self.holds:
            self.holds = 0
            self.transport.resume_reading()
        self.deadline = self.clock.coarse_now + LINGER
        self._await_reading()
        self.transport.write_eof()
