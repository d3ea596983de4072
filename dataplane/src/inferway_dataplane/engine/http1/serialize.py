"""Response heads as bytes."""

from http import HTTPStatus
from typing import Final

from inferway_dataplane.core.messages.field_kinds import Fields

_END: Final = b"\r\n"
_FIELD: Final = b": ".join

STATUS_LINES: Final = {code.value: b"HTTP/1.1 %d %b\r\n" % (code.value, code.phrase.encode()) for code in HTTPStatus}


def status_line(status: int) -> bytes:
    """The status line, with the standard's own phrase whatever the upstream wrote."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def lines(fields: Fields) -> bytes:
    """Field lines, rebuilt from parsed fields: nothing of a peer's raw bytes passes."""
    return _END.join(map(_FIELD, fields)) + _END if fields else b""


def chunk(data: bytes) -> bytes:
    """One chunk of the chunked transfer coding (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK: Final = b"0\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
