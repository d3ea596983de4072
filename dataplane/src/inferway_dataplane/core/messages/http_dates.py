"""Dates in header fields."""

from datetime import UTC
from email.utils import parsedate_to_datetime


def timestamp(value: bytes) -> float | None:
    """An HTTP date as Unix time; None when it is none (RFC 9110 5.6.7)."""
    try:
        found = parsedate_to_datetime(value.decode("latin-1"))
        # Every HTTP date is in UTC, also the forms that do not say so.
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
