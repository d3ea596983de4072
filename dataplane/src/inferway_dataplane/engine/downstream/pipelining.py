"""The order of one client's requests: one exchange is current, later ones wait for their turn.

The half of a client connection that knows nothing of bytes: who is answered next, when we stop reading, how it ends.
"""

import asyncio
import socket
import struct
from collections import deque
from time import monotonic
from typing import Any, Final

from inferway_dataplane.engine.downstream import timeouts
from inferway_dataplane.engine.exchange.exchange import Exchange
from inferway_dataplane.engine.stages import order as stage_order
from inferway_dataplane.engine.upstream.connection import NEVER
from inferway_dataplane.gateway import Gateway

# A refused request's body up to this size is read and thrown away; a larger one costs the connection.
_DRAINED: Final = 64 << 10


class RequestPipeline(asyncio.Protocol):
    """Base of `ClientConnection`; a class of its own only so that each half fits on a screen or two."""

    __slots__ = (
        "_held_since",
        "_is_taking_turns",
        "_unfed",
        "current",
        "deadline",
        "gateway",
        "has_asked",
        "held_seconds",
        "holds",
        "is_begun",
        "is_closing",
        "is_deaf",
        "is_half_closed",
        "is_write_paused",
        "receiving",
        "transport",
        "unread_deadline",
        "unread_left",
        "waiting",
    )

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.transport: Any = None
        self.current: Exchange | None = None
        self.waiting: deque[Exchange] = deque()
        self.receiving: Exchange | None = None  # whose body is not complete
        self.deadline = NEVER
        self.unread_deadline = NEVER
        self.has_asked = False  # a request has had its answer
        self.unread_left = 0  # bytes that were written and not taken, when that clock was set
        self.is_closing = False
        self.is_deaf = False  # nothing more is parsed: what comes is read and dropped
        self.is_half_closed = False
        self.is_write_paused = False
        self.holds: set[str] = set()  # why we do not read
        self.held_seconds = 0.0  # for how long we did not read the current body
        self._held_since = 0.0
        self.is_begun = False  # the parser stands inside a message, not between two
        self._is_taking_turns = False
        self._unfed = b""  # of a segment, what has to wait

    def _feed_rest(self) -> None:
        """Parse what had to wait."""
        raise NotImplementedError  # `ClientConnection` does: this half knows nothing of bytes

    # --- what the client reads, and whether it is there -------------------------------------------------------------------

    def eof_received(self) -> bool:
        is_asking = self.current is not None or bool(self.waiting)
        if self.is_deaf or self.receiving is not None or not is_asking or not self.transport.can_write_eof():
            return False  # under TLS nobody can go on after the end
        # It has asked and is not answered yet: it may have left, or it only has no more to ask (`deadlines.GRACE`).
        self.is_half_closed = True
        self.deadline = monotonic() + timeouts.GRACE
        return True

    def pause_writing(self) -> None:
        self.is_write_paused = True
        self._await_reading()
        if self.receiving is None:
            self.pause("unread")  # whoever does not read the answers may not go on asking
        if self.current is not None and self.current.upstream is not None:
            self.current.upstream.pause()

    def _await_reading(self) -> None:
        """From now on the client has to take what was written."""
        self.unread_left = self.transport.get_write_buffer_size()
        self.unread_deadline = self.gateway.coarse_now + self.gateway.settings.unread_timeout

    def resume_writing(self) -> None:
        self.is_write_paused = False
        if not self.is_closing:
            self.unread_deadline = NEVER
        if self.current is not None and self.current.upstream is not None:
            self.current.upstream.resume()
        self.resume("unread")
        if self.waiting and self.current is None:
            if self.is_closing:
                self._close_gently()
            else:
                self._take_turns()

    # --- turns -------------------------------------------------------------------------------------------------------------

    def take_turn(self, exchange: Exchange) -> None:
        """Begin a request now, or when those before it have their answers and the client has read enough of them."""
        if self.current is None and not self.waiting and not self.is_write_paused:
            self.current = exchange
            stage_order.begin(exchange)
        else:
            self.waiting.append(exchange)
            self.pause("pipeline")

    def on_exchange_end(self, exchange: Exchange) -> None:
        """The current exchange has its answer; the next one begins when its request is complete too."""
        if exchange.is_close_after or self.is_closing:
            self._close_gently()
        elif exchange.is_request_complete:
            self._next()

    def _next(self) -> None:
        self.current = None
        self.has_asked = True
        if self.holds:
            self.resume("body")
            self.resume("upstream")
        if self.waiting:
            self._take_turns()
        elif self.is_half_closed:
            self.close()
        elif not self.is_begun:
            self.deadline = self.gateway.coarse_now + self.gateway.settings.idle_timeout

    def _take_turns(self) -> None:
        """Begin waiting requests. A loop, not a recursion: answers that need no waiting come back here at once."""
        if self._is_taking_turns:
            return
        self._is_taking_turns = True
        try:
            while self.waiting and self.current is None and not (self.is_closing or self.is_write_paused):
                exchange = self.current = self.waiting.popleft()
                if not self.waiting:
                    self.resume("pipeline")
                stage_order.begin(exchange)
        finally:
            self._is_taking_turns = False
        if self.current is None and not (self.waiting or self.is_closing):
            self._next()

    def pause(self, reason: str) -> None:
        """Stop reading from the client; it starts again when every reason is gone."""
        if not self.holds:
            self._held_since = self.gateway.coarse_now
            if not self.transport.is_closing():
                self.transport.pause_reading()
        self.holds.add(reason)

    def resume(self, reason: str) -> None:
        """One reason to pause is gone."""
        holds = self.holds
        if reason not in holds:
            return
        holds.discard(reason)
        if holds:
            return
        now = self.gateway.coarse_now
        self.held_seconds += now - self._held_since
        self._held_since = now
        if self._unfed:
            # Not from within a callback of the parser, which cannot be fed while it is being fed.
            holds.add("unfed")
            self.gateway.call_soon(self._feed_rest)
            return
        if not self.transport.is_closing():
            self.transport.resume_reading()

    # --- for the current exchange --------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Write to the client."""
        self.transport.write(data)

    def may_drain(self, exchange: Exchange) -> bool:
        """Whether the rest of a refused request's body is small enough to be read and dropped."""
        head = exchange.head
        return not head.block.has_body or (
            not head.block.is_chunked and head.block.content_length <= _DRAINED and not head.block.expects_continue
        )

    def abort_answer(self, *, by_reset: bool) -> None:
        """The answer cannot be completed: cut the connection, so that the client does not take a part for the whole.

        `by_reset`: the answer's end is the connection's own (RFC 9112 6.3), so that a FIN would be a clean end.
        """
        self.is_closing = True
        own_socket = self.transport.get_extra_info("socket") if by_reset else None
        if own_socket is not None:
            own_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # --- ends --------------------------------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Close when idle, else after the current answer.

        A request may be on its way just now, surely so on a connection that was made a moment ago: there it is waited
        for a little, unless the drain delay has already told every client that asks to go.
        """
        if self.current is not None or self.waiting:
            self.is_closing = True
        elif self.has_asked and not self.is_begun and self.gateway.settings.drain_delay >= timeouts.GRACE:
            self.close()
        else:
            self.deadline = min(self.deadline, monotonic() + timeouts.GRACE)

    def close(self) -> None:
        """Close as soon as the client has taken what was written; it does not get for ever."""
        self.is_closing = True
        self.transport.close()
        self._await_reading()

    def abort(self) -> None:
        """Cut the connection."""
        self.transport.abort()

    def _close_gently(self) -> None:
        self.waiting.clear()
        self.is_closing = True
        self.current = None
        if self.transport.is_closing():
            return  # it was cut
        if not self.transport.can_write_eof():
            self.close()  # TLS: its own last message ends both ways
            return
        # What the client is sending just now is read and dropped for a while (`deadlines.LINGER`).
        self.is_deaf = True
        self.receiving = None
        self._unfed = b""
        if self.holds:
            self.holds.clear()
            self.transport.resume_reading()
        now = self.gateway.coarse_now
        self.deadline = now + timeouts.LINGER
        self._await_reading()
        self.transport.write_eof()
