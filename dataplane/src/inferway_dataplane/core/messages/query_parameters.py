"""Query parameters, as `application/x-www-form-urlencoded` (WHATWG URL 5.1): separated by `&`, decoded once.

A query has as many parameters as its client likes, so only those with names that are asked for are looked at, and the
names of all are decoded in one step. That is the *spelling* of a query: decoded but for the characters that separate
(`&`, `;`, `=`) and `%`, which stay escaped. Equal names have equal spellings.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

_KEPT: Final = b"%&;="
_HEX: Final = "0123456789abcdefABCDEF"
_ESCAPE = re.compile(rb"%(?=[0-9A-Fa-f]{2})")
_SPELLINGS: Final = {
    (high + low).encode(): b"%%%02X" % byte if (byte := int(high + low, 16)) in _KEPT else bytes((byte,))
    for high in _HEX
    for low in _HEX
}
# Whether a byte occurs is asked by its number: for `bytes` in `bytes` CPython first raises and drops an exception.
_PLUS: Final = ord("+")
_PERCENT: Final = ord("%")


def spelling(query: bytes) -> bytes:
    """Return the spelling of a query; O(length)."""
    if _PLUS in query:
        query = query.replace(b"+", b" ")
    if _PERCENT not in query:
        return query
    first, *pieces = _ESCAPE.split(query)
    table = _SPELLINGS
    return first + b"".join([table[it] if len(it) == 2 else table[it[:2]] + it[2:] for it in pieces])


def spellings(names: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return names by their spelling; a semicolon in a name may be escaped or not."""
    escaped = {b"".join(b"%%%02X" % byte if byte in _KEPT else bytes((byte,)) for byte in name): name for name in names}
    return escaped | {spelled.replace(b"%3B", b";"): name for spelled, name in escaped.items()}


def decoded(text: bytes) -> bytes:
    """Decode a value: `+` is a blank, invalid escapes stay."""
    if _PLUS in text:
        text = text.replace(b"+", b" ")
    return unquote_to_bytes(text) if _PERCENT in text else text


def parameters(query: bytes | None, names: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the decoded values of those `names` that a query has; the first of each counts.

    `names`: by their spelling. O(length) of the query, whatever is in it and however many names there are.
    """
    if not query or not names:
        return {}
    spelled = spelling(query)
    pieces = spelled.split(b"&")
    # Equal pieces are dropped: 8 KiB hold 8,000 pieces, but fewer than 3,000 different ones.
    named = [(name, piece) for piece in dict.fromkeys(pieces) if piece and (name := piece.partition(b"=")[0]) in names]
    if not named:
        return {}
    sent = as_sent(pieces, query)
    values: dict[bytes, bytes] = {}
    for name, piece in named:
        values.setdefault(names[name], sent[piece].partition(b"=")[2])
    return {name: decoded(value) for name, value in values.items()}


def as_sent(pieces: list[bytes], query: bytes) -> dict[bytes, bytes]:
    """Return the first piece of `query` that has the spelling, for each of its `pieces`."""
    return dict(zip(reversed(pieces), reversed(query.split(b"&")), strict=True))


class Parameters:
    """The parameters of one query, decoded when the first one is asked for, and only once."""

    __slots__ = ("_names", "_query", "_values")

    def __init__(self, query: bytes | None, names: Mapping[bytes, bytes]) -> None:
        """`names`: by their spelling, of all parameters that may be asked for."""
        self._query = query
        self._names = names
        self._values: dict[bytes, bytes] | None = None

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a parameter; None = absent."""
        values = self._values
        if values is None:
            values = self._values = parameters(self._query, self._names)
        return values.get(name)
