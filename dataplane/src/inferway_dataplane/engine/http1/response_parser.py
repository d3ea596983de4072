"""Reading one answer after the other: what llhttp tells of it, and what must hold of it that llhttp does not look at."""

from typing import Final, Protocol

import httptools

from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.field_kinds import Fields
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.response_head import ResponseHead, read_response
from inferway_dataplane.engine.http1 import head_cache

PROTOCOL: Final = b"HTTP/1."

_CONTROL: Final = bytes((*range(9), *range(10, 32), 127))
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


class BadResponse(Exception):  # noqa: N818 - it names what it is
    """Carries out of a parser callback that an answer has no reading, or two, and what the client is told."""

    def __init__(self, why: str, problem: Problem = problems.BAD_RESPONSE) -> None:
        super().__init__(why)
        self.problem = problem


class ResponseParser:
    """The callbacks of the parser, and what is known of the answer so far. Who feeds it has a connection: `upstream/connection.py`."""

    __slots__ = (
        "_fed",
        "_interims",
        "_segment",
        "_start",
        "_tail",
        "fields",
        "has_excess",
        "has_received",
        "head_bytes",
        "is_close_delimited",
        "is_complete",
        "is_forgotten",
        "is_head_done",
        "is_reusable",
        "max_head",
        "parser",
        "quiet_bytes",
        "receiver",
    )

    def __init__(self) -> None:
        self.receiver: Receiver | None = None
        self.parser = httptools.HttpResponseParser(self)
        self.max_head = 0
        self._start: bytes | None = None  # of a head, as long as it is too short to tell its protocol
        self._fed = b""  # what the parser is fed while there is no head
        self._interims = 0  # interim heads that ended in it
        self._segment: bytes | None = None  # what came with the first byte of an answer, while it is parsed
        self._expect_answer()

    def _expect_answer(self) -> None:
        self.fields: Fields = []
        self.head_bytes = 0
        self.quiet_bytes = 0  # of the body since there was content
        self._tail = b""  # what came before what is fed, as far as the end of a head can begin there
        self.has_received = False
        self.is_head_done = False
        self.is_complete = False
        self.is_reusable = False
        self.is_close_delimited = False
        self.is_forgotten = False  # nobody wants the rest, but all of it may be there
        self.has_excess = False

    def _is_other_protocol(self, start: bytes) -> bool:
        """llhttp reads answers of RTSP and ICE too: what does not begin as HTTP/1 is refused before it is fed."""
        self._start = start if len(start) < len(PROTOCOL) else None
        return not (start.startswith(PROTOCOL) or PROTOCOL.startswith(start))

    def _goes_on(self) -> bool:
        """There is no head yet: what comes next belongs to the head that has begun, if it is one of HTTP."""
        rest = self._after_interims()
        if self._interims and self._is_other_protocol(rest):
            return False
        self._tail = rest[-3:]
        return True

    def _after_interims(self) -> bytes:
        """What was fed after the last interim head: such a head has no body, so the next one begins there."""
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
        # The phrase never goes on, but who writes control bytes there does not speak HTTP (RFC 9112 4).
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
        # Asking the parser for the version makes a string; the bytes say it too, when the head began with them.
        is_http_1_1 = segment is not None and segment.startswith(b"HTTP/1.1 ")
        version = "1.1" if is_http_1_1 else parser.get_http_version()
        if status < 100 or status > 599 or version not in ("1.1", "1.0"):
            raise BadResponse("not an answer of HTTP/1.1")
        if self.head_bytes > self.max_head and _size(fields) > self.max_head:
            raise BadResponse("the head is too large", problems.RESPONSE_HEAD_TOO_LARGE)
        if status < 200:
            self.fields = []
            self.head_bytes = 0
            self._segment = None  # it begins with this head, not with the answer's
            self._interims += 1
            if status == 101:
                raise BadResponse("no upgrade was asked for")
            receiver.on_informational(status, fields)
            return
        if self._interims and not self._after_interims().startswith(PROTOCOL):
            raise BadResponse("another protocol after an interim answer")
        head = read_response(status, fields, parser.should_keep_alive())
        if head is None or (head.is_chunked and version == "1.0"):
            raise BadResponse("the framing has two readings")
        if segment is not None and not receiver.is_head_request:
            head_cache.learn_answer(segment, head)
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
