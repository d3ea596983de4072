"""One connection to an upstream, one response at a time. `pool.py` chooses connections and makes new ones."""

import asyncio
import os
from abc import abstractmethod
from collections.abc import Iterable
from ssl import SSLContext
from typing import Any, Final

import httptools

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.core.upstreams.awaited import (
    CLIENT_READS,
    CLIENT_SENDS,
    UPSTREAM_ANSWERS,
    UPSTREAM_TAKES,
    awaited,
)
from inferway_dataplane.core.upstreams.response_limits import ResponseLimits
from inferway_dataplane.engine.clock import NEVER, TICK, Clock
from inferway_dataplane.engine.http1.head_cache import HeadCache
from inferway_dataplane.engine.http1.response_parser import PROTOCOL, BadResponse, Receiver, ResponseParser
from inferway_dataplane.engine.upstream.connection_limit import Permit

HIGH_WATER: Final = 64 << 10
"""Bytes that may wait for a slow peer, in each direction of a stream."""

_MOST_READS: Final = 128  # of a lost connection: more than a socket's buffer holds
_LONGEST_READ: Final = 256 << 10  # the most that the loop hands over at once


class Keeper:
    """Keeps connections that are not for everyone, while they are unused."""

    __slots__ = ()

    @abstractmethod
    def keep(self, connection: "UpstreamConnection") -> None:
        """A response has ended on a connection that can be used again."""


class ConnectionOwner:
    """The pool as its connections see it. `active` counts the requests in flight."""

    __slots__ = ("active", "clock", "head_cache", "tls")

    def __init__(self, clock: Clock, head_cache: HeadCache, tls: SSLContext | None) -> None:
        self.active = 0
        self.clock = clock
        self.head_cache = head_cache
        self.tls = tls

    @abstractmethod
    def on_made(self, connection: "UpstreamConnection") -> None:
        """The connection is open."""

    @abstractmethod
    def on_lost(self, connection: "UpstreamConnection") -> None:
        """The connection is gone."""

    @abstractmethod
    def on_free(self, connection: "UpstreamConnection", is_reusable: bool) -> None:
        """A response has ended: keep the connection, hand it over, or close it."""


class UpstreamConnection(ResponseParser, asyncio.Protocol):
    """Reads and counts; the receiver decides what a response means."""

    __slots__ = (
        "_head_left", "address", "binding", "deadline", "endpoint", "has_ended", "is_paused", "is_request_whole",
        "is_reused", "keeper", "permit", "takes_body", "transport", "write",
    )  # fmt: skip

    def __init__(self, endpoint: ConnectionOwner, permit: Permit | None = None, address: str = "") -> None:
        """`address`: the one connected to, where the endpoint has a name."""
        super().__init__(endpoint.head_cache)
        self.endpoint = endpoint
        self.permit = permit
        self.address = address
        self.keeper: Keeper | None = None  # None = the pool
        self.binding: Permit | None = None  # set = private to a client connection, and counted as such
        self.transport: Any = None
        self.write: Any = None  # the transport's own
        self.deadline = NEVER
        self.is_request_whole = False  # all of the request was handed to the transport
        self.is_reused = False
        self.is_paused = False
        self.takes_body = True  # the upstream reads what it is sent
        self._head_left = NEVER  # seconds for the head that are left when the client reads again
        self.has_ended = False  # the upstream has ended its side; under TLS by a closing alert

    # --- use ---------------------------------------------------------------------------------------------------------

    def start(
        self,
        receiver: Receiver,
        data: bytes,
        deadline: float,
        limits: ResponseLimits,
        is_request_whole: bool,
    ) -> None:
        """Send the head of a request, and wait for the response.

        `deadline`: monotonic seconds for the response's head; NEVER while the request is not whole.
        """
        self.limits = limits
        self.receiver = receiver
        self.deadline = deadline
        self.is_request_whole = is_request_whole
        self.endpoint.active += 1
        write = self.write
        write(data)

    def send(self, pieces: Iterable[bytes]) -> None:
        """Send more of the request's body."""
        self.transport.writelines(pieces)

    def end_request(self, deadline: float) -> None:
        """All of the request was sent. `deadline`: monotonic seconds for the response's head."""
        self.is_request_whole = True
        if self.is_head_done:
            self._set_deadline()
        elif self.is_paused:
            self._head_left = deadline - self.endpoint.clock.coarse_now
        else:
            self.deadline = deadline

    def _set_deadline(self) -> None:
        """Begin the time limit of whatever is waited for now."""
        peer = awaited(
            has_head=self.is_head_done,
            is_request_whole=self.is_request_whole,
            takes_body=self.takes_body,
            client_reads=not self.is_paused,
        )
        if peer in (CLIENT_SENDS, CLIENT_READS):
            self.deadline = NEVER
            return
        limits = self.limits
        if peer == UPSTREAM_ANSWERS:
            seconds = self._head_left
        else:
            seconds = limits.head_timeout if peer == UPSTREAM_TAKES else limits.stream_idle
        self.deadline = self.endpoint.clock.coarse_now + TICK + seconds

    def _drop_receiver(self) -> Receiver | None:
        receiver, self.receiver = self.receiver, None
        self.deadline = NEVER
        if receiver is not None:
            self.endpoint.active -= 1
        return receiver

    def abandon(self) -> None:
        """The receiver does not want the rest: in the middle of a response the connection is not reusable."""
        self._drop_receiver()
        self.transport.abort()

    def forget(self) -> None:
        """The receiver, within its `on_head`, does not want the rest: keep the connection if all of it has arrived."""
        self._drop_receiver()
        self.is_forgotten = True

    def close(self) -> None:
        """Close in order; at once while a part of a request is unsent, as the upstream may never take it."""
        self.deadline = NEVER
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def _fail(self, problem: Problem) -> None:
        receiver = self._drop_receiver()
        self.transport.abort()
        if receiver is not None:
            receiver.on_broken(problem, unanswered=not self.has_received)

    def _complete(self) -> None:
        receiver, self.receiver = self.receiver, None
        endpoint = self.endpoint
        endpoint.active -= 1
        if self.is_paused:
            self.resume()
        is_reusable = self.is_reusable and self.is_request_whole and self.takes_body and not self.has_excess
        try:
            endpoint.on_free(self, is_reusable)
            if receiver is not None:
                receiver.on_end()
        except Exception:
            if receiver is not None:
                receiver.on_broken(problems.INTERNAL, unanswered=False)
            raise

    def _end_forgotten(self) -> None:
        if not self.is_forgotten:
            return  # it was abandoned during the read, and is cut already
        self.is_forgotten = False
        if self.is_complete:
            self.endpoint.active += 1  # `forget` has given it back
            self._complete()
        else:
            self.transport.abort()

    def pause(self) -> None:
        """Stop reading until `resume`: the client reads slowly. That time does not count against the upstream."""
        if not self.is_paused:
            self.is_paused = True
            self.transport.pause_reading()
            self._head_left = self.deadline - self.endpoint.clock.coarse_now
            self._set_deadline()

    def resume(self) -> None:
        if self.is_paused:
            self.is_paused = False
            self.transport.resume_reading()
            if self.receiver is not None:
                self._set_deadline()

    def on_deadline(self) -> None:
        self.deadline = NEVER
        if self.receiver is None:
            self.transport.close()
        else:
            self._fail(problems.UPSTREAM_TIMEOUT)

    # --- asyncio.Protocol ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.endpoint.on_made(self)
        self.write = transport.write
        transport.set_write_buffer_limits(HIGH_WATER)

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            if exc is not None and self.receiver is not None:
                self._read_rest()
        finally:
            self._end(exc)

    def _end(self, exc: Exception | None) -> None:
        self.deadline = NEVER
        self.endpoint.on_lost(self)
        if self.receiver is not None:
            # Under TLS a FIN alone is not an end: anyone on the path can send one (RFC 9112 9.8).
            if self.is_close_delimited and exc is None and (self.has_ended or self.endpoint.tls is None):
                self.is_reusable = False
                self._complete()
            else:
                self._fail(problems.UPSTREAM_CLOSED)

    def _read_rest(self) -> None:
        """Read what has arrived on a connection on which writing has failed (RFC 9112 9.5).

        A server that answers early and closes resets the connection; its answer is in the socket's buffer. Under TLS
        `tls_connection.py` has read it.
        """
        upstream_socket = self.transport.get_extra_info("socket")
        if self.endpoint.tls is not None or upstream_socket is None:
            return
        for _ in range(_MOST_READS):
            try:
                data = os.read(upstream_socket.fileno(), HIGH_WATER)
            except OSError:
                return  # nothing is left
            if not data:
                return
            self.data_received(data)
            if self.receiver is None:
                return

    def eof_received(self) -> None:
        self.has_ended = True

    def pause_writing(self) -> None:
        self.takes_body = False
        if self.receiver is not None:
            if not self.is_request_whole:
                self._set_deadline()
            self.receiver.on_writable(False)

    def resume_writing(self) -> None:
        self.takes_body = True
        if self.receiver is not None:
            if not self.is_request_whole:
                self._set_deadline()
            self.receiver.on_writable(True)

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:
            # Bytes without a request: no later response on this connection can be trusted.
            self.transport.abort()
            return
        segment = None
        if not self.has_received:
            self.has_received = True
            same = None if receiver.is_head_request else self.head_cache.find_response(data)
            if same is not None and same[1] <= self.limits.max_head:
                try:
                    self._deliver_same(receiver, data, *same)
                except Exception:
                    self._fail(problems.INTERNAL)  # as below: a bug of the gateway, logged by the loop's handler
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
                # A bug of the gateway in a callback: it costs this exchange, and the loop's handler logs it.
                self._fail(problems.INTERNAL)
                raise cause from None
            if self.receiver is not None and not self.is_complete:
                self._fail(cause.problem if cause is not None else problems.BAD_RESPONSE)
                return
            self.has_excess = True
        receiver = self.receiver  # another one since the head was read
        if receiver is None:
            self._end_forgotten()
            return
        if not self.is_head_done:
            if self.head_bytes > self.limits.max_head:
                self._fail(problems.RESPONSE_HEAD_TOO_LARGE)
            elif not self._is_head_continued():
                self._fail(problems.BAD_RESPONSE)
            return
        if self.is_complete:
            self._complete()
            return
        receiver.on_fed()
        if self.quiet_bytes > self.limits.max_head + _LONGEST_READ:
            self._fail(problems.BAD_RESPONSE)  # framing or trailers without end
        elif self.receiver is not None:
            if self.is_request_whole and not self.is_paused:
                self.deadline = self.endpoint.clock.coarse_now + TICK + self.limits.stream_idle
            else:
                self._set_deadline()

    def _deliver_same(self, receiver: Receiver, data: bytes, head: ResponseHead, end: int) -> None:
        """Deliver a whole response with a head that was parsed before."""
        self.is_head_done = self.is_complete = True
        self.is_reusable = head.keep_alive
        self.keep_idle = head.keep_idle
        relay = self.receiver = receiver.on_head(head)
        if relay is None:
            self._end_forgotten()
            return
        if len(data) > end:
            relay.on_body(data[end:])
        self._complete()
