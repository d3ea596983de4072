"""One connection to an upstream, one answer at a time. Which one is used, and when a new one is made: `endpoints.py`."""

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

import httptools

from inferway_dataplane.core import memo, problems
from inferway_dataplane.core.heads import Fields, ResponseHead, read_response
from inferway_dataplane.core.problems import Problem

if TYPE_CHECKING:
    from inferway_dataplane.engine.endpoints import Endpoint
    from inferway_dataplane.engine.room import Seat

NEVER: Final = float("inf")
HIGH_WATER: Final = 64 << 10
GRAIN: Final = 0.25
"""Seconds by which the wheel's time may be behind: added to short limits, so that none ends early."""

_LONGEST_READ: Final = 256 << 10  # what the loop may hand over at once
_CONTROL: Final = bytes((*range(9), *range(10, 32), 127))
_PROTOCOL: Final = b"HTTP/1."
_HEAD_END: Final = b"\r\n\r\n"


class Receiver(Protocol):
    """What an upstream connection tells of the answer it reads. Exactly one of `on_end` and `on_broken` comes last."""

    is_head_request: bool
    is_request_complete: bool

    def on_informational(self, status: int, fields: Fields) -> None: ...
    def on_head(self, head: ResponseHead) -> None: ...
    def on_body(self, data: bytes) -> None: ...
    def on_fed(self) -> None: ...
    def on_end(self) -> None: ...
    def on_broken(self, problem: Problem, *, unanswered: bool) -> None: ...
    def on_writable(self, writable: bool) -> None: ...


class Unreadable(Exception):  # noqa: N818 - it names what it is
    """Carries out of a parser callback that an answer has no reading, or two, and what the client is told."""

    def __init__(self, why: str, problem: Problem = problems.BAD_RESPONSE) -> None:
        super().__init__(why)
        self.problem = problem


class UpstreamConnection(asyncio.Protocol):
    """One connection, one answer at a time. It parses and counts; what the answer means is the receiver's business."""

    __slots__ = (
        "_fed",
        "_interims",
        "_segment",
        "_start",
        "_tail",
        "deadline",
        "endpoint",
        "fields",
        "has_ended",
        "has_excess",
        "has_received",
        "head_bytes",
        "is_close_delimited",
        "is_complete",
        "is_forgotten",
        "is_head_done",
        "is_paused",
        "is_reusable",
        "is_reused",
        "max_head",
        "parser",
        "quiet_bytes",
        "receiver",
        "seat",
        "stream_idle",
        "transport",
    )

    def __init__(self, endpoint: "Endpoint", seat: "Seat | None" = None) -> None:
        self.endpoint = endpoint
        self.seat = seat
        self.transport: Any = None
        self.receiver: Receiver | None = None
        self.parser = httptools.HttpResponseParser(self)
        self.deadline = NEVER
        self.is_reused = False
        self.is_paused = False
        self.stream_idle = NEVER
        self.max_head = 0
        self._start: bytes | None = None  # of a head, as long as it is too short to tell its protocol
        self._fed = b""  # what the parser is fed while there is no head
        self._interims = 0  # interim heads that ended in it
        self._tail = b""  # what came before it, as far as the end of a head can begin there
        self.has_ended = False  # the upstream has said that it will send no more; under TLS by an alert of its own
        self._segment: bytes | None = None  # what came with the first byte of an answer, while it is parsed
        self._reset()

    def _reset(self) -> None:
        self.fields: Fields = []
        self.head_bytes = 0
        self.quiet_bytes = 0  # of the body since there was content
        self._tail = b""
        self.has_received = False
        self.is_head_done = False
        self.is_complete = False
        self.is_reusable = False
        self.is_close_delimited = False
        self.is_forgotten = False
        self.has_excess = False

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
            self._reset()
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
            known = None if receiver.is_head_request else memo.known_answer(data)
            if known is not None and known[1] <= self.max_head:
                try:
                    self._deliver_known(receiver, data, *known)
                except Exception:
                    self._fail(problems.INTERNAL)  # as below: a mistake of ours, which the loop's handler logs
                    raise
                return
            segment = data
            if not data.startswith(_PROTOCOL) and self._is_other_protocol(data):
                return
        elif self._start is not None and self._is_other_protocol(self._start + data):
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
            if cause is not None and not isinstance(cause, Unreadable):
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
            else:
                self._keep_tail()
            return
        receiver.on_fed()
        if self.is_complete:
            self._complete()
        elif self.quiet_bytes > self.max_head + _LONGEST_READ:
            self._fail(problems.BAD_RESPONSE)  # framing or trailers without end
        elif self.receiver is receiver and not self.is_paused:
            self.deadline = self.endpoint.pools.coarse_now + GRAIN + self.stream_idle

    def _is_other_protocol(self, start: bytes) -> bool:
        """llhttp reads answers of RTSP and ICE too: what does not begin as HTTP/1 is refused before it is fed."""
        self._start = start if len(start) < len(_PROTOCOL) else None
        if start.startswith(_PROTOCOL) or _PROTOCOL.startswith(start):
            return False
        self._fail(problems.BAD_RESPONSE)
        return True

    def _keep_tail(self) -> None:
        """There is no head yet: what comes next belongs to the head that has begun, if it is one of HTTP."""
        rest = self._after_interims()
        if not self._interims or not self._is_other_protocol(rest):
            self._tail = rest[-3:]

    def _after_interims(self) -> bytes:
        """What was fed after the last interim head: such a head has no body, so the next one begins there."""
        text = self._tail + self._fed
        end = 0
        for _ in range(self._interims):
            end = text.index(_HEAD_END, end) + len(_HEAD_END)
        return text[end:]

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

    # --- httptools -----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.has_excess = True

    def on_status(self, phrase: bytes) -> None:
        # The phrase never goes on, but who writes control bytes there does not speak HTTP (RFC 9112 4).
        if phrase.translate(None, _CONTROL) != phrase:
            raise Unreadable("control bytes in the reason phrase")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_head_done:
            self.fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        receiver = self.receiver
        if receiver is None or self.is_complete:
            return
        parser = self.parser
        status = parser.get_status_code()
        fields = self.fields
        segment = self._segment
        # Asking the parser for the version makes a string; the bytes say it too, when the head began with them.
        is_http_1_1 = segment is not None and segment.startswith(b"HTTP/1.1 ")
        version = "1.1" if is_http_1_1 else parser.get_http_version()
        if status < 100 or status > 599 or version not in ("1.1", "1.0"):
            raise Unreadable("not an answer of HTTP/1.1")
        if self.head_bytes > self.max_head and _size(fields) > self.max_head:
            raise Unreadable("the head is too large", problems.RESPONSE_HEAD_TOO_LARGE)
        if status < 200:
            self.fields = []
            self.head_bytes = 0
            self._segment = None  # it begins with this head, not with the answer's
            self._interims += 1
            if status == 101:
                raise Unreadable("no upgrade was asked for")
            receiver.on_informational(status, fields)
            return
        if self._interims and not self._after_interims().startswith(_PROTOCOL):
            raise Unreadable("another protocol after an interim answer")
        head = read_response(status, fields, parser.should_keep_alive())
        if head is None or (head.is_chunked and version == "1.0"):
            raise Unreadable("the framing has two readings")
        if segment is not None and not receiver.is_head_request:
            memo.learn_answer(segment, head)
        self.is_head_done = True
        self.is_reusable = head.keep_alive
        if receiver.is_head_request:
            # The parser would take the next answer for this one's body: it has none, so the message ends here.
            self.is_complete = True
            self.parser = httptools.HttpResponseParser(self)
        elif status not in (204, 304):
            self.is_close_delimited = not head.is_chunked and head.content_length < 0
        receiver.on_head(head)

    def on_body(self, data: bytes) -> None:
        self.quiet_bytes = 0
        if self.is_complete:
            self.has_excess = True
        elif self.receiver is not None:
            self.receiver.on_body(data)

    def on_message_complete(self) -> None:
        if self.is_head_done:
            self.is_complete = True


def _size(fields: Fields) -> int:
    return sum(len(name) + len(value) + 4 for name, value in fields)
