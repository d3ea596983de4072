"""Find the end of a chunked body (RFC 9112 7.1) and count its framing bytes.

The scanner measures only; the parser decides which bytes are legal. With the end of each body the engine can feed the
parser one message at a time: no byte of the next request is parsed early, and the framing bytes can be bounded.
"""

from math import inf
from typing import Final

_MOST_DIGITS: Final = 16
_OF_INTEREST: Final = 2 * _MOST_DIGITS  # bytes kept of a line: enough for a size, or to detect an empty trailer line

# States
_SIZE: Final = 0  # in a line with a chunk's size and extensions
_DATA: Final = 1  # in a chunk's content and the line end after it
_TRAILER: Final = 2  # in the lines after the last chunk


class ChunkedBodyScanner:
    """Scan one body. After an unreadable size (`is_lost`) all bytes count as part of the body."""

    __slots__ = ("_left", "_line", "_state", "chunks", "framing", "is_done", "is_lost")

    def __init__(self) -> None:
        self.is_done = False
        self.is_lost = False  # also set by more than 16 digits (llhttp accepts leading zeros)
        self.chunks = 0
        self.framing = 0  # bytes so far that are not content: sizes, extensions, line ends, trailers
        self._state = _SIZE
        self._line = b""  # the start of a line that began in an earlier piece, cut to `_OF_INTEREST` bytes
        self._left = 0

    def scan(self, data: bytes, at: int, most: int | None = None) -> int:
        """Return the index in `data` after the body's last byte; `len(data)` if the body continues.

        `most`: chunks after which it returns the index reached, so that others have their turn; None = no bound.
        """
        end = len(data)
        last = inf if most is None else self.chunks + most
        while at < end and not self.is_done and self.chunks < last:
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
