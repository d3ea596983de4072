"""Credentials of a request: one form for all spellings of the same credentials (RFC 9110 11.4)."""

from typing import Final

FIELDS_WITH_A_SCHEME: Final = frozenset((b"authorization", b"proxy-authorization"))
"""Fields whose value is an authentication scheme and its credentials. In lower case."""


def canonical(name: bytes, value: bytes) -> bytes:
    """Return the value of a field in one form for all its spellings; `name` in lower case.

    An authentication scheme is case-insensitive (RFC 9110 11.1) and any number of blanks may follow it. Other fields are
    returned as they are: their bytes have no second spelling that is known here.
    """
    if name not in FIELDS_WITH_A_SCHEME:
        return value
    words = value.split(None, 1)
    if not words:
        return b""
    scheme = words[0].lower()
    return scheme if len(words) == 1 else scheme + b" " + words[1].rstrip()
