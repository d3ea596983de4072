"""Reads one response after the other: the callbacks of llhttp, and the checks that llhttp leaves out."""

from abc import abstractmethod
from typing import Final

import httptools

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.response_head import ResponseHead, read_response
from inferway_dataplane.core.upstreams.response_limits import ResponseLimits
from inferway_dataplane.engine.http1.head_cache import HeadCache

PROTOCOL: Final = b"HTTP/1."

_CONTROL: Final = bytes((*range(9), *range(10, 32), 127))
_HEAD_END: Final = b"\r\n\r\n"


class Receiver:
    """Gets the response that an upstream connection reads. Exactly one of `on_end` and `on_broken` comes last.

    Only what a receiver defines concerns it.
    """

    __slots__ = ()

    is_head_request: bool

    def on_informational(self, status: int, fields: Fields) -> None:
        """A 1xx head was read."""

    def on_head(self, head: ResponseHead) -> "Receiver | None":
        """The final head was read. Returns the receiver of the rest; None = it is not wanted."""
        return self

    def on_body(self, data: bytes) -> None:
        """A piece of the body was read."""

    def on_fed(self) -> None:
        """All bytes that had arrived were read, and the response is not complete."""

    def on_end(self) -> None:
        """The response is complete."""

    @abstractmethod
    def on_broken(self, problem: Problem, *, unanswered: bool) -> None:
        """The connection failed. `unanswered`: before the first byte of a response."""

    @abstractmethod
    def on_writable(self, writable: bool) -> None:
        """The upstream stopped reading the request, or reads again."""


class BadResponse(Exception):  # noqa: N818 - it names what it is
    """Carries a problem out of a parser callback: the response has no reading, or two."""

    def __init__(self, why: str, problem: Problem = problems.BAD_RESPONSE) -> None:
        super().__init__(why)
        self.problem = problem


class ResponseParser:
    """The callbacks of the parser, and the state of the current response. `upstream/connection.py` feeds it."""

    __slots__ = (
        "_fed", "_interims", "_segment", "_start", "_tail", "fields", "has_excess", "has_received", "head_bytes",
        "head_cache", "is_close_delimited", "is_complete", "is_forgotten", "is_head_done", "is_reusable", "keep_idle",
        "limits", "parser", "quiet_bytes", "receiver",
    )  # fmt: skip

    def __init__(self, head_cache: HeadCache) -> None:
        self.head_cache = head_cache
        self.receiver: Receiver | None = None
        self.parser = httptools.HttpResponseParser(self)
        self.limits: ResponseLimits  # of the current response; set with each request
        self._start: bytes | None = None  # of a head, while it is too short to show its protocol
        self._fed = b""  # the last piece fed while there is no head
        self._interims = 0  # the number of interim heads that ended in it
        self._segment: bytes | None = None  # the bytes that came with a response's first byte, while they are parsed
        self.expect_response()

    def expect_response(self) -> None:
        self.fields: Fields = []
        self.head_bytes = 0
        self.quiet_bytes = 0  # of the body since its last content
        self._tail = b""  # the last bytes before those that are fed, where the end of a head can begin
        self.has_received = False
        self.is_head_done = False
        self.is_complete = False
        self.is_reusable = False
        self.keep_idle: float | None = None  # seconds for which the upstream keeps the connection; None = unknown
        self.is_close_delimited = False
        self.is_forgotten = False  # the rest is not wanted, but all of it may have arrived
        self.has_excess = False

    def _is_other_protocol(self, start: bytes) -> bool:
        """Whether these bytes cannot begin an HTTP/1 response; llhttp also reads RTSP and ICE."""
        self._start = start if len(start) < len(PROTOCOL) else None
        return not (start.startswith(PROTOCOL) or PROTOCOL.startswith(start))

    def _is_head_continued(self) -> bool:
        """Prepare for the rest of an incomplete head. False: it is another protocol's."""
        rest = self._after_interims()
        if self._interims and self._is_other_protocol(rest):
            return False
        self._tail = rest[-3:]
        return True

    def _after_interims(self) -> bytes:
        """The bytes after the last interim head: such a head has no body, so the next one begins there."""
        text = self._tail + self._fed
        end = 0
        for _ in range(self._interims):
            end = text.index(_HEAD_END, end) + len(_HEAD_END)
        return text[end:]

    # --- httptools -----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.has_excess = True

    def on_status(self, phrase: bytes) -> None:
        # The phrase is not forwarded, but control bytes there are not HTTP (RFC 9112 4).
        if phrase.translate(None, _CONTROL) != phrase:
            raise BadResponse("control bytes in the reason phrase")

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
        # The parser makes a string of the version; comparing the bytes is cheaper, where the head began with them.
        is_http_1_1 = segment is not None and segment.startswith(b"HTTP/1.1 ")
        version = "1.1" if is_http_1_1 else parser.get_http_version()
        if status < 100 or status > 599 or version not in ("1.1", "1.0"):
            raise BadResponse("not an HTTP/1.1 response")
        max_head = self.limits.max_head
        if self.head_bytes > max_head and sum(len(name) + len(value) + 4 for name, value in fields) > max_head:
            raise BadResponse("the head is too large", problems.RESPONSE_HEAD_TOO_LARGE)
        if status < 200:
            self.fields = []
            self.head_bytes = 0
            self._segment = None  # it begins with this head, not with the final one
            self._interims += 1
            if status == 101:
                raise BadResponse("unrequested upgrade")
            receiver.on_informational(status, fields)
            return
        if self._interims and not self._after_interims().startswith(PROTOCOL):
            raise BadResponse("another protocol after an interim response")
        head = read_response(status, fields, parser.should_keep_alive())
        if head is None or (head.is_chunked and version == "1.0"):
            raise BadResponse("the framing has two readings")
        if segment is not None and not receiver.is_head_request:
            self.head_cache.learn_response(segment, head)
        self.is_head_done = True
        self.is_reusable = head.keep_alive
        self.keep_idle = head.keep_idle
        if receiver.is_head_request:
            # Without a body the message ends here; the parser would take the next response for this one's body.
            self.is_complete = True
            self.parser = httptools.HttpResponseParser(self)
        elif status not in (204, 304):
            self.is_close_delimited = not head.is_chunked and head.content_length < 0
        self.receiver = receiver.on_head(head)

    def on_body(self, data: bytes) -> None:
        self.quiet_bytes = 0
        if self.is_complete:
            self.has_excess = True
        elif self.receiver is not None:
            self.receiver.on_body(data)

    def on_message_complete(self) -> None:
        if self.is_head_done:
            self.is_complete = True
