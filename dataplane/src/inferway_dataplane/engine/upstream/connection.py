"""One connection to an upstream, one answer at a time. Which one is used, and when a new one is made: `pool.py`."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import httptools

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.engine.http1 import head_cache
from inferway_dataplane.engine.http1.response_parser import PROTOCOL, BadResponse, Receiver, ResponseParser

if TYPE_CHECKING:
    from inferway_dataplane.engine.upstream.connection_limit import Permit
    from inferway_dataplane.engine.upstream.pool import EndpointPool

NEVER: Final = float("inf")
HIGH_WATER: Final = 64 << 10
GRAIN: Final = 0.25
"""Seconds by which the wheel's time may be behind: added to short limits, so that none ends early."""

_LONGEST_READ: Final = 256 << 10  # what the loop may hand over at once


class UpstreamConnection(ResponseParser, asyncio.Protocol):
    """One connection, one answer at a time. It reads and counts; what the answer means is the receiver's business."""

    __slots__ = (
        "deadline",
        "endpoint",
        "has_ended",
        "is_paused",
        "is_reused",
        "seat",
        "stream_idle",
        "transport",
    )

    def __init__(self, endpoint: "EndpointPool", seat: "Permit | None" = None) -> None:
        super().__init__()
        self.endpoint = endpoint
        self.seat = seat
        self.transport: Any = None
        self.deadline = NEVER
        self.is_reused = False
        self.is_paused = False
        self.stream_idle = NEVER
        self.has_ended = False  # the upstream has said that it will send no more; under TLS by an alert of its own

    # --- use ---------------------------------------------------------------------------------------------------------

    def start(self, receiver: Receiver, data: bytes, deadline: float, stream_idle: float, max_head: int) -> None:
        """Send the head (and what there is of the body) of a request and wait for its answer.

        `deadline`: monotonic seconds until the head is there; `stream_idle`: seconds between two pieces of the body;
        `max_head`: bytes that the head may have.
        """
        self.stream_idle = stream_idle
        self.max_head = max_head
        self.receiver = receiver
        self.deadline = deadline
        self.endpoint.active += 1
        self.transport.write(data)

    def abandon(self) -> None:
        """The receiver does not want the rest: a connection in the middle of an answer is of no use to others."""
        if self.receiver is not None:
            self.receiver = None
            self.endpoint.active -= 1
        self.deadline = NEVER
        self.transport.abort()

    def forget(self) -> None:
        """The receiver, from within its `on_head`, does not want the rest: if all of it is there, the connection is kept."""
        self.receiver = None
        self.endpoint.active -= 1
        self.deadline = NEVER
        self.is_forgotten = True

    def _fail(self, problem: Problem) -> None:
        receiver, self.receiver = self.receiver, None
        self.deadline = NEVER
        unanswered = not self.has_received
        self.transport.abort()
        if receiver is not None:
            self.endpoint.active -= 1
            receiver.on_broken(problem, unanswered=unanswered)

    def _complete(self) -> None:
        receiver, self.receiver = self.receiver, None
        endpoint = self.endpoint
        endpoint.active -= 1
        is_read_whole = receiver is None or receiver.is_request_complete
        if self.is_paused:
            self.resume()
        self._rest(is_read_whole)
        if receiver is not None:
            receiver.on_end()

    def _rest(self, is_read_whole: bool) -> None:
        """Wait for the next request, or close where nothing more can be asked here."""
        endpoint = self.endpoint
        if self.is_paused:
            self.resume()
        if (
            self.has_excess
            or not (self.is_reusable and is_read_whole)
            or self.transport.is_closing()
            or len(endpoint.idle) >= endpoint.pools.idle_connections
        ):
            self.deadline = NEVER
            self.transport.close()
        else:
            self._expect_answer()
            self.is_reused = True
            room = endpoint.pools.room
            if room.waiting:
                self.deadline = NEVER
                if room.hand_over(self):
                    return
                if room.waiting:
                    self.transport.close()  # somebody needs the seat more than a next request this connection
                    return
            self.deadline = endpoint.pools.coarse_now + endpoint.pools.idle_timeout
            endpoint.idle.append(self)

    def _end_forgotten(self, is_read_whole: bool) -> None:
        self.is_forgotten = False
        if self.is_complete:
            self._rest(is_read_whole)
        else:
            self.transport.abort()

    def pause(self) -> None:
        """The client reads slowly: read no more until `resume`. The time until then is not the upstream's."""
        if not self.is_paused:
            self.is_paused = True
            self.transport.pause_reading()
            if self.is_head_done:
                self.deadline = NEVER

    def resume(self) -> None:
        """Read on."""
        if self.is_paused:
            self.is_paused = False
            self.transport.resume_reading()
            if self.is_head_done and self.receiver is not None:
                self.deadline = self.endpoint.pools.coarse_now + GRAIN + self.stream_idle

    def on_deadline(self) -> None:
        """The wheel found this connection late."""
        self.deadline = NEVER
        if self.receiver is None:
            self.transport.close()
        else:
            self._fail(problems.UPSTREAM_TIMEOUT)

    # --- asyncio.Protocol ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(HIGH_WATER)
        self.endpoint.pools.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.endpoint.pools.connections.discard(self)
        self.deadline = NEVER
        if self.seat is not None:
            self.seat.leave()
        if self.receiver is not None:
            # Under TLS a FIN alone is not believed: anybody on the way can send one (RFC 9112 9.8).
            if self.is_close_delimited and exc is None and (self.has_ended or self.endpoint.tls is None):
                self.is_reusable = False
                self._complete()
            else:
                self._fail(problems.UPSTREAM_CLOSED)
        elif self in self.endpoint.idle:
            self.endpoint.idle.remove(self)

    def eof_received(self) -> None:
        self.has_ended = True

    def pause_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.on_writable(False)

    def resume_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.on_writable(True)

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:
            # Bytes that nobody asked for: whatever comes next on this connection cannot be trusted.
            self.transport.abort()
            return
        segment = None
        if not self.has_received:
            self.has_received = True
            known = None if receiver.is_head_request else head_cache.known_answer(data)
            if known is not None and known[1] <= self.max_head:
                try:
                    self._deliver_known(receiver, data, *known)
                except Exception:
                    self._fail(problems.INTERNAL)  # as below: a mistake of ours, which the loop's handler logs
                    raise
                return
            segment = data
            if not data.startswith(PROTOCOL) and self._is_other_protocol(data):
                self._fail(problems.BAD_RESPONSE)
                return
        elif self._start is not None and self._is_other_protocol(self._start + data):
            self._fail(problems.BAD_RESPONSE)
            return
        self._segment = segment
        if not self.is_head_done:
            self.head_bytes += len(data)
            self._fed = data
            self._interims = 0
        else:
            self.quiet_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            cause = error.__context__
            if cause is not None and not isinstance(cause, BadResponse):
                # A mistake of ours in a callback: it costs this exchange, and the loop's handler logs it.
                self._fail(problems.INTERNAL)
                raise cause from None
            if self.receiver is receiver and not self.is_complete:
                self._fail(cause.problem if cause is not None else problems.BAD_RESPONSE)
                return
            self.has_excess = True
        if self.receiver is not receiver:
            if self.is_forgotten:
                self._end_forgotten(receiver.is_request_complete)
            return  # it was abandoned while it read
        if not self.is_head_done:
            if self.head_bytes > self.max_head:
                self._fail(problems.RESPONSE_HEAD_TOO_LARGE)
            elif not self._goes_on():
                self._fail(problems.BAD_RESPONSE)
            return
        receiver.on_fed()
        if self.is_complete:
            self._complete()
        elif self.quiet_bytes > self.max_head + _LONGEST_READ:
            self._fail(problems.BAD_RESPONSE)  # framing or trailers without end
        elif self.receiver is receiver and not self.is_paused:
            self.deadline = self.endpoint.pools.coarse_now + GRAIN + self.stream_idle

    def _deliver_known(self, receiver: Receiver, data: bytes, head: ResponseHead, end: int) -> None:
        """A whole answer whose head was parsed before: nothing is left to parse."""
        self.is_head_done = self.is_complete = True
        self.is_reusable = head.keep_alive
        receiver.on_head(head)
        if self.receiver is not receiver:
            if self.is_forgotten:
                self._end_forgotten(receiver.is_request_complete)
            return
        if len(data) > end:
            receiver.on_body(data[end:])
        receiver.on_fed()
        self._complete()
