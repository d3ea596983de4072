"""W3C Trace Context: the `traceparent` of version 00."""

import re
from typing import Final

_TRACEPARENT: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def well_formed(value: bytes | None) -> bytes | None:
    """Return the value if it can be continued, else None."""
    return value if value is not None and _TRACEPARENT.fullmatch(value) is not None else None
