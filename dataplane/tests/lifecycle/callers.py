"""The clients of the model: the requests that each sends, and the responses that it reads, one to one and in order."""

from dataclasses import dataclass, field
from math import inf
from typing import Final

from inferway_dataplane.engine.downstream.connection import ClientConnection
from lifecycle.choices import Choices
from lifecycle.documents import PATHS
from lifecycle.virtual_loop import Transport

_BAD_HEADS: Final = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /plain HTTP/3.0\r\nHost: a\r\n\r\n",
    b"\r\rGET / HTTP/1.1\r\n",
)


@dataclass(eq=False)
class Request:
    """One request of a client."""

    number: int
    method: bytes
    target: bytes
    body: bytes
    closes: bool  # it asks for the end of the connection
    is_bad: bool  # its bytes cannot be read to the end
    start: int  # the place of its first byte in all that the client sends
    end: int
    """After its last byte: it is whole when these bytes were sent."""
    expects: bool = False


@dataclass(eq=False)
class Response:
    """One final response as the client reads it."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes = b""
    is_whole: bool = False


@dataclass(eq=False)
class Caller:
    """One client connection. `read` raises `AssertionError` where a response breaks the rules."""

    transport: Transport
    name: int
    is_trusted: bool
    client: ClientConnection
    """The gateway's side."""
    slow: float = 9.9
    """Seconds: a request that is sent in less never takes too long."""
    may_fail: bool = False
    """A response may be 500."""
    requests: list[Request] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    outbox: list[bytes] = field(default_factory=list)
    composed: int = 0  # bytes
    sent: int = 0
    written: int = 0  # bytes, by the gateway
    _sent_at: list[tuple[int, float]] = field(default_factory=list)
    """For each segment that was sent: where it ends, and when."""
    _marks: list[tuple[int, int]] = field(default_factory=list)
    """For each write of the gateway: where it ends, and how much had been sent to the gateway until then."""
    _at: int = 0  # of what was written: the first unread byte
    _unread: bytes = b""
    _place: str = "head"
    _left: int = 0

    def __post_init__(self) -> None:
        self.transport.on_write = self._on_write

    def _on_write(self, size: int) -> None:
        self.written += size
        self._marks.append((self.written, self.sent))

    @property
    def is_done(self) -> bool:
        """Whether nothing may follow what was composed."""
        return bool(self.requests) and (self.requests[-1].is_bad or self.requests[-1].closes)

    # --- what it sends ----------------------------------------------------------------------------------------------------

    def compose(self, choices: Choices, number: int) -> Request:
        """One more request, put into the outbox in segments cut anywhere."""
        path = PATHS[choices.below(len(PATHS))]
        kind = choices.below(8)
        method, body, framing, is_bad, expects = b"GET", b"", b"", False, False
        version, closes, extra = b"HTTP/1.1", False, b""
        if kind >= 4:
            method = (b"POST", b"PUT")[choices.below(2)]
            body = b"%d:" % number + b"b" * (0, 1, 5, 30, 300, 1_500)[choices.below(6)]
            wire = body
            if kind >= 6:
                framing = b"Transfer-Encoding: chunked\r\n"
                wire = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in choices.cut(body, 3)) + b"0\r\n\r\n"
                if choices.one_in(6):
                    is_bad = True
                    wire = wire[: wire.index(b"\r\n") + 2 + choices.below(3)] + b"zz\r\n!"
            else:
                framing = b"Content-Length: %d\r\n" % len(body)
            expects = choices.one_in(8)
            if expects:
                framing += b"Expect: 100-continue\r\n"
        else:
            wire = b""
            if kind == 3:
                method = b"HEAD"
        if choices.one_in(10):
            closes, extra = True, b"Connection: close\r\n"
        elif choices.one_in(16):
            version, closes = b"HTTP/1.0", True
            if framing.startswith(b"T"):
                version, closes = b"HTTP/1.1", False
        if choices.one_in(12):
            extra += b"Authorization: NTLM dGVzdA==\r\n"
        target = b"%b?%d" % (path, number)
        if method == b"GET" and choices.one_in(2):
            target = path + b"?same"  # the same bytes as others before it
            own_id = b""
        else:
            own_id = b"X-Request-Id: r%d\r\n" % number if choices.one_in(2) else b""
        data = b"%b %b %b\r\nHost: a\r\n%b%b%b\r\n%b" % (method, target, version, own_id, framing, extra, wire)
        if choices.one_in(24):
            is_bad, data = True, _BAD_HEADS[choices.below(len(_BAD_HEADS))]
        if choices.one_in(12):
            data = b"\r\n" + data
        start = self.composed
        self.composed += len(data)
        request = Request(number, method, target, body, closes, is_bad, start, self.composed, expects)
        self.requests.append(request)
        self.outbox += choices.cut(data, (1, 1, 1, 2, 3, 4)[choices.below(6)])
        return request

    def send(self, segments: int) -> None:
        """Send a number of segments in one."""
        data = b"".join(self.outbox[:segments])
        del self.outbox[:segments]
        self.sent += len(data)
        self._sent_at.append((self.sent, self.transport.now()))
        self.transport.send(data)

    def is_sent(self, request: Request) -> bool:
        """Whether all of a request was sent."""
        return self.sent >= request.end

    def _took(self, request: Request) -> float:
        """Seconds from a request's first byte to its last one, or to the end of time."""
        if not self.is_sent(request):
            return inf
        began = next(at for end, at in self._sent_at if end > request.start)
        return next(at for end, at in self._sent_at if end >= request.end) - began

    # --- what it reads ----------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Read what has arrived, strictly (RFC 9112)."""
        data = self.transport.take()
        if data:
            self._unread += data
            while self._advance():
                pass
        if self._place == "until-close" and self.transport.is_fin_received:
            self.responses[-1].is_whole = True

    @property
    def is_inside(self) -> bool:
        """Whether a response has begun and not ended."""
        return bool(self._unread) or bool(self.responses and not self.responses[-1].is_whole)

    def _advance(self) -> bool:
        before = len(self._unread)
        goes_on = self._take()
        self._at += before - len(self._unread)
        return goes_on

    def _take(self) -> bool:
        data = self._unread
        if self._place == "head":
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                return False
            self._begin(head)
            self._unread = rest
            return bool(rest)
        response = self.responses[-1]
        if self._place == "until-close":
            response.body += data
            self._unread = b""
            return False
        if self._place == "chunk":
            size, end, rest = data.partition(b"\r\n")
            if not end:
                return False
            self._unread, self._left = rest, int(size, 16) + 2
            self._place = "last-chunk" if self._left == 2 else "chunk-data"
            return bool(rest)
        taken = data[: self._left]
        self._unread = data[self._left :]
        self._left -= len(taken)
        response.body += taken
        if self._left:
            return False
        if self._place == "length":
            self._end()
        else:
            assert response.body.endswith(b"\r\n"), "a chunk has another size than announced"
            response.body = response.body[:-2]
            if self._place == "last-chunk":
                self._end()
            else:
                self._place = "chunk"
        return bool(self._unread)

    def _begin(self, head: bytes) -> None:
        line, *lines = head.split(b"\r\n")
        version, code, _ = line.split(b" ", 2)
        assert version == b"HTTP/1.1", line
        status = int(code)
        fields = {}
        for one in lines:
            name, value = one.split(b": ", 1)
            fields[name.lower()] = value
        number = len(self.responses)
        assert number < len(self.requests), f"response {status} without a request"
        request = self.requests[number]
        sent = next(sent for end, sent in self._marks if end > self._at)
        assert sent > request.start, f"response {status} before its request"
        if status < 200:
            assert b"content-length" not in fields
            return
        before = self.responses[-1] if self.responses else None
        assert before is None or before.fields.get(b"connection") != b"close", "a response after the last one"
        response = Response(status, fields)
        self.responses.append(response)
        self._check(request, response, sent)
        if request.method == b"HEAD" or status in (204, 304):
            self._end()
        elif fields.get(b"transfer-encoding") == b"chunked":
            assert b"content-length" not in fields
            self._place = "chunk"
        elif b"content-length" in fields:
            self._place, self._left = "length", int(fields[b"content-length"])
            if not self._left:
                self._end()
        else:
            assert fields[b"connection"] == b"close"
            self._place = "until-close"

    def _check(self, request: Request, response: Response, sent: int) -> None:
        """`sent`: bytes that the client had sent when the response was written."""
        status, echo = response.status, response.fields.get(b"x-echo")
        assert status != 500 or self.may_fail, "internal error"
        if echo is not None:
            assert echo == request.target, f"{request.target!r} was answered with the response of {echo!r}"
        own_id = b"r%d" % request.number
        is_own = response.fields[b"x-request-id"]
        assert not is_own.startswith(b"r") or is_own == own_id, f"{is_own!r} is the id of another request"
        if status == 408:
            assert request.is_bad or self._took(request) >= self.slow, "408 for a request that was sent whole, in time"
        if status == 400 or status == 505:
            assert request.is_bad, f"{status} for a good request"

    def _end(self) -> None:
        self.responses[-1].is_whole = True
        self._place = "head"
