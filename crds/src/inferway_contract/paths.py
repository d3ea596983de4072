"""The match path: the normalized request path that all matching and keying uses.

A raw path is split at `/`; each segment is percent-decoded once. `%2F`, `%5C`, `%00` and invalid escapes stay as
written (hex digits in upper case), so no decoding can invent a separator. A segment that reads `.` or `..` after
decoding, or holds a backslash or a control byte, is rejected, because upstreams may read it in two ways
(RFC 3986 6.2.2.3 lets every hop normalise it in its own way). Empty segments are significant.
"""

import re
from typing import Final

_PERCENT: Final = ord("%")
_KEPT: Final = (0x2F, 0x5C, 0x00)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f\\]")
_ESCAPE = re.compile(rb"%(?!2F|5C|00)(?=[0-9A-Fa-f]{2})")  # those that decoding changes
_DOT_SEGMENT = re.compile(rb"/\.\.?(?![^/])")
_HEX: Final = "0123456789abcdefABCDEF"
# What stands for an escape, by its two digits as sent: a byte, or the escape in upper case.
_DECODED: Final = {
    (high + low).encode(): b"%%%02X" % byte if (byte := int(high + low, 16)) in _KEPT else bytes((byte,))
    for high in _HEX
    for low in _HEX
}


class AmbiguousPath(ValueError):  # noqa: N818 - it names what the path is, and becomes the code `ambiguous_path`
    """A segment of the path can be read in two ways."""


def match_path(raw: bytes) -> bytes:
    """Return the match path of `raw`, which begins with `/` and has no query.

    A match path is its own match path, unless decoding made an escape (`%2541` becomes `%41`). Costs O(length).
    Raises `AmbiguousPath` for dot segments, backslashes and control bytes, encoded or not.
    """
    # Asked by its number: for `bytes` in `bytes` CPython first raises and drops an exception.
    path = decoded(raw) if _PERCENT in raw else raw
    # Decoding makes no separator, so the whole path can be searched at once.
    if path.find(b"/.") >= 0 and _DOT_SEGMENT.search(path) is not None:
        raise AmbiguousPath("the path has a dot segment")
    if _CONTROL.search(path) is not None:
        raise AmbiguousPath("the path has a backslash or a control character")
    return path


def decoded(raw: bytes) -> bytes:
    """Return a path with its escapes decoded once, except those that stay as written."""
    first, *pieces = _ESCAPE.split(raw)
    table = _DECODED
    return first + b"".join([table[it] if len(it) == 2 else table[it[:2]] + it[2:] for it in pieces])
