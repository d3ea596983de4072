"""Bytes of answers: heads, and the pattern of bodies."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

_CELL = b"0123456789abcde\n"
_PATTERN = _CELL * 4096
PIECE = len(_PATTERN)
"""Bytes written at once: 64 KiB."""


def pattern(size: int) -> bytes:
    """Return the first `size` bytes of the pattern: `0123456789abcde` and a line feed, repeated."""
    whole, rest = divmod(size, PIECE)
    return _PATTERN * whole + _PATTERN[:rest]


def pieces(size: int, count: int) -> list[int]:
    """Split `size` bytes into `count` pieces of about one size, the first ones larger.

    No piece is empty, because an empty chunk is the last one.
    """
    each, larger = divmod(size, count)
    return [length for number in range(count) if (length := each + (number < larger))]


def head(status: int, fields: Iterable[tuple[str, str]]) -> bytes:
    """Return an HTTP/1.1 head."""
    lines = [f"HTTP/1.1 {status} {reason(status)}", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reason(status: int) -> str:
    """Return the phrase of a status, `Unknown` if it has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def has_body(method: bytes, status: int) -> bool:
    """Return whether an answer may have content (RFC 9110, 6.4.1)."""
    return method != b"HEAD" and status not in (204, 304)
