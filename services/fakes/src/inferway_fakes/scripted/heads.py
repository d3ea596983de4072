"""Bytes of answers: heads, and the pattern that bodies are made of."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

_CELL = b"0123456789abcde\n"
_PATTERN = _CELL * 4096
PIECE = len(_PATTERN)
"""Bytes written at once: 64 KiB."""


def pattern(size: int) -> bytes:
    """The first `size` bytes of the pattern, `0123456789abcde` and a line feed over and over."""
    whole, rest = divmod(size, PIECE)
    return _PATTERN * whole + _PATTERN[:rest]


def pieces(size: int, count: int) -> list[int]:
    """`size` bytes in `count` pieces of about one size, the first ones larger; none is empty (a chunk of no bytes is
    the last one)."""
    each, larger = divmod(size, count)
    return [length for number in range(count) if (length := each + (number < larger))]


def head(status: int, fields: Iterable[tuple[str, str]]) -> bytes:
    """An HTTP/1.1 head."""
    lines = [f"HTTP/1.1 {status} {reason(status)}", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reason(status: int) -> str:
    """The phrase of a status; `Unknown` where it has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def has_body(method: bytes, status: int) -> bool:
    """RFC 9110, 6.4.1: whether an answer may have content."""
    return method != b"HEAD" and status not in (204, 304)
