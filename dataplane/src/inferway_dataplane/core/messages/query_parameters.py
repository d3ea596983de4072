"""Query parameters, as `application/x-www-form-urlencoded` (WHATWG URL 5.1): separated by `&`, decoded once."""

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes


def parameters(query: bytes | None) -> dict[bytes, bytes]:
    """Decode query parameters; the first of each name counts."""
    values: dict[bytes, bytes] = {}
    for name, value in pairs(query.split(b"&") if query else ()):
        values.setdefault(name, value)
    return values


def pairs(pieces: Iterable[bytes]) -> Iterable[tuple[bytes, bytes]]:
    """Decode pieces of a query into names and values; empty pieces are none."""
    # Not `parse_qsl`: it decodes to text and fails on non-ASCII bytes.
    for piece in pieces:
        name, mark, value = piece.partition(b"=")
        if name or mark:
            yield decoded(name), decoded(value)


def decoded(text: bytes) -> bytes:
    """Decode a name or a value: `+` is a blank, invalid escapes stay."""
    if b"+" in text:
        text = text.replace(b"+", b" ")
    return unquote_to_bytes(text) if b"%" in text else text


class Parameters:
    """The parameters of one query, decoded when the first one is asked for, and only once."""

    __slots__ = ("_query", "_values")

    def __init__(self, query: bytes | None) -> None:
        self._query = query
        self._values: dict[bytes, bytes] | None = None

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a parameter; None = absent."""
        values = self._values
        if values is None:
            values = self._values = parameters(self._query)
        return values.get(name)
