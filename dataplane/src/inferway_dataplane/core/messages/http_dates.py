"""HTTP dates in header fields (RFC 9110 5.6.7)."""

from datetime import UTC
from email.utils import parsedate_to_datetime


def timestamp(value: bytes) -> float | None:
    """Convert an HTTP date to Unix time; None when it is malformed."""
    try:
        date = parsedate_to_datetime(value.decode("latin-1"))
        # Every HTTP date is in UTC, including the forms without a zone.
        return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
