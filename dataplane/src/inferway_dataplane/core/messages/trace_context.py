"""Ids of requests: the `traceparent` of W3C Trace Context (version 00), and X-Request-Id."""

import re
from typing import Final

_TRACEPARENT: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._\-]{8,128}")


def well_formed(value: bytes | None) -> bytes | None:
    """Return the value if it can be continued, else None."""
    return value if value is not None and _TRACEPARENT.fullmatch(value) is not None else None


def is_request_id(value: bytes) -> bool:
    """Whether a trusted peer's X-Request-Id may be kept: it goes into logs and headers."""
    return _REQUEST_ID.fullmatch(value) is not None
