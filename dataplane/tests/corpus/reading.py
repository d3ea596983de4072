"""Reads what a proxy wrote, on either side, strictly (RFC 9112). Malformed bytes are a result, not an error."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Answer:
    """One answer as a client reads it; status 0 = the bytes are not an answer."""

    status: int
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    is_whole: bool = True

    def all(self, name: str) -> list[str]:
        """The values of a field, by its lower-case name."""
        return [value for known, value in self.fields if known.lower() == name]


@dataclass
class ForwardedRequest:
    """One request as an upstream reads it; an empty method = the bytes are not a request."""

    method: str
    target: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    is_whole: bool = False

    def all(self, name: str) -> list[str]:
        """The values of a field, by its lower-case name."""
        return [value for known, value in self.fields if known.lower() == name]


def answers(data: bytes, heads: Sequence[bool], *, is_closed: bool) -> list[Answer]:
    """All answers in what a client received, interim ones too; the last one may be cut.

    `heads`: which of the final answers are to HEAD. `is_closed`: nothing more comes.
    """
    read: list[Answer] = []
    finals = 0
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        answer = _answer_head(head) if end else None
        if answer is None:
            read.append(Answer(0, body=data, is_whole=False))
            return read
        read.append(answer)
        data = rest
        if answer.status < 200:
            continue
        is_to_head = finals < len(heads) and heads[finals]
        finals += 1
        lengths, codings = answer.all("content-length"), answer.all("transfer-encoding")
        if len(lengths) + len(codings) > 1:
            answer.status = 0
            return read
        if is_to_head or answer.status in (204, 304):
            continue
        if codings:
            answer.body, answer.is_whole, data = unchunked(data)
        elif lengths:
            size = int(lengths[0])
            answer.is_whole = len(data) >= size
            answer.body, data = data[:size], data[size:]
        else:
            answer.body, answer.is_whole, data = data, is_closed, b""
    return read


def _answer_head(head: bytes) -> Answer | None:
    line, fields = _fields(head)
    version, _, rest = line.partition(" ")
    if version != "HTTP/1.1" or not rest[:3].isdigit() or fields is None:
        return None
    return Answer(int(rest[:3]), fields)


def requests(data: bytes) -> list[ForwardedRequest]:
    """All requests in what an upstream received on one connection; the last one may be cut."""
    read: list[ForwardedRequest] = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        request = request_head(head) if end else None
        if request is None:
            read.append(ForwardedRequest("", body=data))
            return read
        read.append(request)
        if request.all("transfer-encoding"):
            request.body, request.is_whole, data = unchunked(rest)
        else:
            size = int((request.all("content-length") or ["0"])[0])
            request.body, request.is_whole, data = rest[:size], len(rest) >= size, rest[size:]
    return read


def request_head(head: bytes) -> ForwardedRequest | None:
    """A request's head, framed in one way only; None = it is not."""
    line, fields = _fields(head)
    words = line.split(" ")
    if len(words) != 3 or words[2] != "HTTP/1.1" or fields is None:
        return None
    request = ForwardedRequest(words[0], words[1], fields)
    lengths, codings = request.all("content-length"), request.all("transfer-encoding")
    is_framed_once = len(lengths) + len(codings) <= 1 and codings in ([], ["chunked"])
    if not is_framed_once or not all(length.isdigit() for length in lengths) or len(request.all("host")) != 1:
        return None
    return request


def _fields(head: bytes) -> tuple[str, list[tuple[str, str]] | None]:
    line, *lines = head.decode("latin-1").split("\r\n")
    parts = [text.partition(":") for text in lines]
    # Splitting took every CRLF, so a CR or LF that is still there stood alone.
    is_broken = any("\n" in text or "\r" in text for text in (line, *lines))
    if is_broken or any(not colon or not name or name != name.strip() for name, colon, _ in parts):
        return line, None
    return line, [(name, value.strip(" \t")) for name, _, value in parts]


def unchunked(data: bytes) -> tuple[bytes, bool, bytes]:
    """The body, whether it is complete, and what follows it."""
    body = b""
    while True:
        size, mark, data = data.partition(b"\r\n")
        if not mark or not size or size.strip(b"0123456789abcdefABCDEF"):
            return body, False, b""
        length = int(size, 16)
        body += data[:length]
        if data[length : length + 2] != b"\r\n":
            return body, False, b""
        data = data[length + 2 :]
        if not length:
            return body, True, data
