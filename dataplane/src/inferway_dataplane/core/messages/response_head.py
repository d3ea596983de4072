"""Response heads: framing, caching fields and the fields to forward."""

import re
from datetime import UTC, datetime
from typing import Final

from inferway_dataplane.core.messages import connection_reuse
from inferway_dataplane.core.messages.field_kinds import (
    AGE,
    CACHING,
    CONNECTION,
    DATE,
    ENCODING,
    FORWARD,
    KEEP_ALIVE,
    LENGTH,
    RESPONSE_KINDS,
    SET_COOKIE,
    UPSTREAM_REQUEST_ID,
    Fields,
)


class ResponseHead:
    """The head of an upstream's response. `passed`: the fields that may be forwarded to the client."""

    __slots__ = (
        "age", "caching", "content_length", "date", "has_cookie", "has_date", "is_chunked", "is_negotiating",
        "keep_alive", "keep_idle", "length_line", "lines", "passed", "request_id", "rule", "status", "status_line",
    )  # fmt: skip

    def __init__(self, status: int, keep_alive: bool) -> None:
        self.status = status
        self.keep_alive = keep_alive
        self.request_id = b""  # the upstream's own
        self.keep_idle: float | None = None  # seconds that the connection may be unused; None = unknown
        self.is_negotiating = False  # asks for credentials that authenticate the connection
        self.passed: Fields = []
        self.content_length = -1
        self.length_line = b""  # Content-Length for the client
        self.is_chunked = False
        self.has_cookie = False
        self.has_date = False
        self.caching: dict[bytes, bytes] | None = None
        self.age: bytes | None = None
        self.date: bytes | None = None
        # A pure function of a head and a rule, kept for when the same head is received again.
        self.rule: object = None
        self.lines = b""
        self.status_line = b""


def read_response(status: int, fields: Fields, keep_alive: bool) -> ResponseHead | None:
    """Sort a response's fields; None when its framing is ambiguous (a 502 for the client)."""
    head = ResponseHead(status, keep_alive)
    passed = head.passed
    kinds = RESPONSE_KINDS
    nominated: list[bytes] | None = None
    for field in fields:
        kind = kinds[field[0]]
        if kind == FORWARD:
            passed.append(field)
        elif kind == LENGTH:
            value = field[1]
            if head.content_length >= 0 or not value.isdigit() or len(value) > 18:
                return None
            length = head.content_length = int(value)
            head.length_line = b"content-length: %d\r\n" % length
        elif kind == DATE:
            if not head.has_date:
                head.has_date = True
                head.date = field[1]
                passed.append(field)
            else:
                head.date = None  # two dates are not a date
        elif kind == CONNECTION:
            if field[1] != b"keep-alive":
                tokens = [token.strip(b" \t") for token in field[1].lower().split(b",")]
                nominated = (nominated or []) + tokens
        elif kind == ENCODING:
            if head.is_chunked or field[1].strip(b" \t").lower() != b"chunked":
                return None
            head.is_chunked = True
        elif kind == CACHING:
            passed.append(field)
            if head.caching is None:
                head.caching = {}
            name = field[0].lower()
            earlier = head.caching.get(name)
            head.caching[name] = field[1] if earlier is None else earlier + b", " + field[1]
        elif kind == SET_COOKIE:
            head.has_cookie = True
            passed.append(field)
        elif kind == AGE and head.age is None:  # the first one counts (RFC 9111 5.1)
            head.age = field[1]
        elif kind == UPSTREAM_REQUEST_ID:
            if not head.request_id:
                head.request_id = field[1]
                passed.append((b"x-upstream-request-id", field[1]))
        elif kind == KEEP_ALIVE:
            head.keep_idle = connection_reuse.keep_idle(field[1], head.keep_idle)
    if head.is_chunked and head.content_length >= 0:
        return None
    if status == 204 and (head.is_chunked or head.content_length > 0):
        return None  # RFC 9110 15.3.5: a 204 has no body; one that declares a body is malformed
    if status in (401, 407):
        head.is_negotiating = connection_reuse.is_negotiating(fields)
    if head.keep_idle == 0.0:
        head.keep_alive = False
    if nominated is not None:
        if b"close" in nominated:
            head.keep_alive = False
        dropped = set(nominated)
        head.passed = [field for field in passed if field[0].lower() not in dropped]
    return head


# RFC 9110 5.6.7: IMF-fixdate, the obsolete form of RFC 850, and that of C's asctime; and no other form.
_MONTHS: Final = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_DAY: Final = rb"(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_DAY: Final = rb"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH: Final = b"(?P<month>" + b"|".join(_MONTHS) + b")"
_TIME: Final = rb"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATE_FORMS: Final = tuple(
    # RFC 9111 4.2: a cache ignores the case.
    re.compile(form, re.IGNORECASE).fullmatch
    for form in (
        rb"%b, (?P<day>\d\d) %b (?P<year>\d{4}) %b GMT" % (_DAY, _MONTH, _TIME),
        rb"%b, (?P<day>\d\d)-%b-(?P<year>\d\d) %b GMT" % (_LONG_DAY, _MONTH, _TIME),
        rb"%b %b (?P<day>\d\d| \d) %b (?P<year>\d{4})" % (_DAY, _MONTH, _TIME),
    )
)


def parse_http_date(value: bytes) -> float | None:
    """Convert an HTTP date (RFC 9110 5.6.7) to Unix time; None when it is malformed.

    A year of two digits is between 1970 and 2069.
    """
    match = next((match for parse in _DATE_FORMS if (match := parse(value))), None)
    if match is None:
        return None
    day, year, hour, minute, second = map(int, match.group("day", "year", "hour", "minute", "second"))
    if len(match["year"]) == 2:
        year += 1900 if year >= 70 else 2000
    month = _MONTHS.index(match["month"].lower()) + 1
    try:
        # A leap second is the end of its minute.
        return datetime(year, month, day, hour, minute, second - (second == 60), tzinfo=UTC).timestamp()
    except ValueError:
        return None
