"""Where a chunked body ends (RFC 9112 7.1), and how much of it was not content.

This measures, it does not judge: what is legal, the parser decides. The engine feeds the parser one message at a time, so
that nothing of a next request is parsed before its turn, and so that what frames a body can be bounded.
"""

from typing import Final

_MOST_DIGITS: Final = 16
_OF_INTEREST: Final = 2 * _MOST_DIGITS  # bytes of a line: enough to tell a size, and whether a trailer line is empty

_SIZE: Final = 0  # in a line with a chunk's size and extensions
_DATA: Final = 1  # in a chunk's content and the line end after it
_TRAILER: Final = 2  # in the lines after the last chunk


class ChunkedBodyScanner:
    """Follows one body. After a size that it cannot read (`is_lost`) it takes everything for a part of it."""

    __slots__ = ("_left", "_line", "_state", "chunks", "framing", "is_done", "is_lost")

    def __init__(self) -> None:
        self.is_done = False
        self.is_lost = False  # also by more than 16 digits, of which llhttp forgives zeros
        self.chunks = 0
        self.framing = 0
        """Bytes so far that were no content: sizes, extensions, line ends, trailers."""
        self._state = _SIZE
        self._line = b""  # its beginning, where it began in an earlier piece; cut: only the digits are of interest
        self._left = 0

    def scan(self, data: bytes, at: int) -> int:
        """The index in `data` after the last byte of this body, or `len(data)` while it goes on."""
        end = len(data)
        while at < end and not self.is_done:
            if self._state == _DATA:
                taken = min(self._left, end - at)
                at += taken
                self._left -= taken
                if not self._left:
                    self._state = _SIZE
                continue
            line_end = data.find(b"\n", at)
            if line_end < 0:
                self.framing += end - at
                self._line = (self._line + data[at : at + _OF_INTEREST])[:_OF_INTEREST]
                return end
            self.framing += line_end + 1 - at
            line = (self._line + data[at : min(line_end, at + _OF_INTEREST)])[:_OF_INTEREST]
            self._line = b""
            at = line_end + 1
            if self._state == _TRAILER:
                self.is_done = line in (b"\r", b"")
            else:
                self._take_size(line)
        return at

    def _take_size(self, line: bytes) -> None:
        digits = line.partition(b";")[0].strip(b" \t\r")
        try:
            size = int(digits, 16) if digits.isalnum() else -1
        except ValueError:
            size = -1
        if size < 0 or len(digits) > _MOST_DIGITS:
            self.is_lost = True
            self._state, self._left = _DATA, 1 << 62
        elif size == 0:
            self._state = _TRAILER
        else:
            self.chunks += 1
            self.framing += 2
            self._state, self._left = _DATA, size + 2
