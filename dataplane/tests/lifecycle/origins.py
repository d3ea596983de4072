"""The upstreams of the model: what each connection receives, and how it answers."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lifecycle.choices import Choices
from lifecycle.virtual_loop import Transport


@dataclass(eq=False)
class Asked:
    """One request as an upstream reads it."""

    method: bytes
    target: bytes
    body: bytes = b""
    is_whole: bool = False
    is_answered: bool = False


@dataclass(eq=False)
class Origin:
    """One upstream connection. `read` raises `AssertionError` where a request breaks the rules."""

    transport: Transport
    on_request: Callable[[Asked], None]
    """Called when a request is whole."""
    asked: list[Asked] = field(default_factory=list)
    outbox: list[bytes] = field(default_factory=list)
    ends: bool = False
    """It closes when its outbox is empty."""
    _unread: bytes = b""
    _place: str = "head"
    _left: int = 0

    def read(self) -> None:
        """Read what has arrived, strictly."""
        data = self.transport.take()
        if data:
            self._unread += data
            while self._advance():
                pass

    @property
    def open_request(self) -> Asked | None:
        """The request that it may answer."""
        return self.asked[-1] if self.asked and not self.asked[-1].is_answered else None

    def _advance(self) -> bool:
        data = self._unread
        if self._place == "head":
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                return False
            self._unread = rest
            self._begin(head)
            return bool(rest)
        asked = self.asked[-1]
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
        asked.body += taken
        if self._left:
            return False
        if self._place == "length":
            self._end(asked)
        else:
            asked.body = asked.body[:-2]
            if self._place == "last-chunk":
                self._end(asked)
            else:
                self._place = "chunk"
        return bool(self._unread)

    def _begin(self, head: bytes) -> None:
        line, *lines = head.split(b"\r\n")
        method, target, version = line.split(b" ")
        assert version == b"HTTP/1.1"
        assert all(one.is_answered for one in self.asked), "a request on a connection that still owes a response"
        fields = {name.lower(): value for name, value in (one.split(b": ", 1) for one in lines)}
        asked = Asked(method, target)
        self.asked.append(asked)
        if fields.get(b"transfer-encoding") == b"chunked":
            self._place = "chunk"
        elif int(fields.get(b"content-length", b"0")):
            self._place, self._left = "length", int(fields[b"content-length"])
        else:
            self._end(asked)

    def _end(self, asked: Asked) -> None:
        self._place = "head"
        asked.is_whole = True
        self.on_request(asked)

    def answer(self, choices: Choices) -> str:
        """Choose how to answer the open request, perhaps before it is whole; into the outbox. Returns what it is."""
        asked = self.asked[-1]
        asked.is_answered = True
        kind = choices.below(20)
        body = b"<%b>" % asked.target + b"y" * (0, 3, 40, 700, 2_000)[choices.below(5)]
        is_head = asked.method == b"HEAD"
        echo = b"X-Echo: %b\r\nCache-Control: max-age=60\r\n" % asked.target
        sized = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (echo, len(body), b"" if is_head else body)
        name = "200"
        data = sized
        if kind in (6, 7):
            name = "chunked"
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in choices.cut(body, 3)) + b"0\r\n\r\n"
            data = b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (echo, b"" if is_head else chunks)
        elif kind == 8:
            name = "until close"
            data = b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (echo, b"" if is_head else body)
            self.ends = True
        elif kind == 9:
            status = (204, 304)[choices.below(2)]
            name, data = str(status), b"HTTP/1.1 %d X\r\n%b\r\n" % (status, echo)
        elif kind == 10:
            interim = (b"100 C", b"103 E\r\nLink: <a>", b"102 P")[choices.below(3)]
            name, data = "interim", b"HTTP/1.1 %b\r\n\r\n%b" % (interim, sized)
        elif kind in (11, 12):
            name = "503"
            data = b"HTTP/1.1 503 X\r\n%bContent-Length: 2\r\n\r\n%b" % (echo, b"" if is_head else b"no")
        elif kind == 13:
            name = "close"
            data = sized.replace(b"200 OK\r\n", b"200 OK\r\nConnection: close\r\n")
            self.ends = bool(choices.below(2))
        elif kind == 14:
            name = "bad"
            data = (
                b"garbage\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n2\r\nokzz\r\n" % echo,
                b"HTTP/1.1 101 S\r\n\r\n",
            )[choices.below(4)]
        elif kind == 15:
            name = "excess"
            data = sized + b"HTTP/1.1 200 OK\r\nX-Echo: none\r\nContent-Length: 0\r\n\r\n"
        elif kind == 16:
            name = "cut"
            data = sized[: 1 + choices.below(200)]
            self.ends = True
        elif kind == 17:
            name, data = "nothing", b""
            self.ends = True
        elif kind == 18:
            name = "negotiates"  # from here on the connection belongs to its client (RFC 4559)
            refusal = b"" if is_head else b"no"
            data = b"HTTP/1.1 401 X\r\n%bWWW-Authenticate: NTLM\r\nContent-Length: 2\r\n\r\n%b" % (echo, refusal)
        # What is too much comes at once: later it would be the response to the connection's next request.
        self.outbox += choices.cut(data, 1 if name == "excess" else (1, 1, 2, 3, 5)[choices.below(5)])
        return name

    def send(self, segments: int) -> None:
        """Send a number of segments in one, and the end when that was all."""
        data = b"".join(self.outbox[:segments])
        del self.outbox[:segments]
        if data:
            self.transport.send(data)
        if self.ends and not self.outbox:
            self.transport.finish()
