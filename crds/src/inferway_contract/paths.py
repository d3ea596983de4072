"""The match path: the normalized request path that all matching and keying uses.

A raw path is split at `/`; each segment is percent-decoded once. `%2F`, `%5C`, `%00` and invalid escapes stay as
written (hex digits in upper case), so no decoding can invent a separator. A segment that reads `.` or `..` after
decoding, or holds a backslash or a control byte, is rejected, because upstreams may read it in two ways
(RFC 3986 6.2.2.3 lets every hop normalise it in its own way). Empty segments are significant.
"""

import re
from typing import Final

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
_KEPT: Final = (0x2F, 0x5C, 0x00)
_CONTROL = re.compile(rb"[\x00-\x1f\x7f\\]")


class AmbiguousPath(ValueError):  # noqa: N818 - it names what the path is, and becomes the code `ambiguous_path`
    """A segment of the path can be read in two ways."""


def match_path(raw: bytes) -> bytes:
    """Return the match path of `raw`, which begins with `/` and has no query.

    A match path is its own match path, unless decoding made an escape (`%2541` becomes `%41`).
    Raises `AmbiguousPath` for dot segments, backslashes and control bytes, encoded or not.
    """
    # Most paths need no decoding and no check of segments: three scans in C decide that.
    if b"%" not in raw and b"/." not in raw and _CONTROL.search(raw) is None:
        return raw
    return b"/".join([_segment(part) for part in raw.split(b"/")])


def _segment(raw: bytes) -> bytes:
    decoded = _ESCAPE.sub(_decode, raw) if b"%" in raw else raw
    if decoded in (b".", b".."):
        raise AmbiguousPath("the path has a dot segment")
    if _CONTROL.search(decoded) is not None:
        raise AmbiguousPath("the path has a backslash or a control character")
    return decoded


def _decode(escape: re.Match[bytes]) -> bytes:
    digits = escape[1]
    if digits is None:
        return b"%"
    byte = int(digits, 16)
    return b"%" + digits.upper() if byte in _KEPT else bytes((byte,))
