"""Freshness: which responses are stored, and for how long."""

from http import HTTPStatus
from typing import Any

import pytest
from cache_messages import DATE, NOW, Fields, lifetime, make_request, make_response, rules
from hypothesis import given
from hypothesis import strategies as st

from inferway_dataplane.core.caching import freshness

# --- directives -----------------------------------------------------------------------------------------------------------

DIRECTIVES = {
    "one": (b"no-store", {b"no-store": None}),
    "several": (b"public, max-age=60", {b"public": None, b"max-age": b"60"}),
    "other case": (b"Max-Age=60, NO-CACHE", {b"max-age": b"60", b"no-cache": None}),
    "no blanks": (b"public,max-age=60", {b"public": None, b"max-age": b"60"}),
    "tabs": (b"public\t,\tmax-age=60", {b"public": None, b"max-age": b"60"}),
    "quoted": (b'max-age="60"', {b"max-age": b"60"}),
    "a comma in quotes": (b'no-cache="a, b", public', {b"no-cache": b"a, b", b"public": None}),
    "no-store in quotes is no directive": (b'ext="no-store, private"', {b"ext": b"no-store, private"}),
    "an odd quote hides nothing": (b'max-age="60, no-store', {b"max-age": b'"60', b"no-store": None}),
    "an odd quote at the end": (b'no-store, x="', {b"no-store": None, b"x": b'"'}),
    "an escaped quote hides nothing": (
        b'a="x\\"", no-store, b="\\""',
        {b"a": b'x\\"', b"no-store": None, b"b": b'\\"'},
    ),
    "repeated": (b"max-age=9, max-age=9", {b"max-age": b"9"}),
    "repeated with another argument": (b"max-age=9, max-age=1", {b"max-age": b"="}),
    "a blank before the equals sign": (b"max-age =60", {b"max-age": b"="}),
    "a blank after the equals sign": (b"max-age= 60", {b"max-age": b" 60"}),
    "single quotes": (b"max-age='60'", {b"max-age": b"'60'"}),
    "empty members": (b",, public,", {b"public": None}),
    "empty": (b"", {}),
    "white space that no field may hold": (b"\n", {}),
    "a name of white space": (b" \t=1", {}),
    "an argument with an equals sign": (b"ext=a=b", {b"ext": b"a=b"}),
    "an empty argument": (b"max-age=", {b"max-age": b""}),
}


@pytest.mark.parametrize(("value", "parsed"), DIRECTIVES.values(), ids=DIRECTIVES)
def test_cache_control_directives_are_parsed(value: bytes, parsed: dict[bytes, bytes | None]) -> None:
    assert freshness.parse_directives(value) == parsed


SECONDS = {
    "zero": (b"0", 0), "some": (b"60", 60), "leading zeros": (b"060", 60), "the largest": (b"9" * 40, 1 << 31),
    "many leading zeros": (b"0" * 40 + b"60", 60), "many zeros": (b"0" * 40, 0), "a plus": (b"+60", None),
    "underscores": (b"6_0", None), "a quote": (b'"60', None), "other digits": ("٦٠".encode(), None),
    "negative": (b"-1", None), "a fraction": (b"1.5", None), "text": (b"abc", None), "empty": (b"", None),
    "a blank": (b"1 0", None), "none": (None, None),
}  # fmt: skip


@pytest.mark.parametrize(("argument", "parsed"), SECONDS.values(), ids=SECONDS)
def test_delta_seconds_are_parsed(argument: bytes | None, parsed: int | None) -> None:
    assert freshness.delta_seconds(argument) == parsed


# --- what a request forbids ---------------------------------------------------------------------------------------------------

FORBIDDEN = {  # fields -> may not use, may not store
    "nothing": ((), (False, False)),
    "no-store": (((b"Cache-Control", b"no-store"),), (True, True)),
    "no-cache": (((b"Cache-Control", b"no-cache"),), (True, False)),
    "max-age=0": (((b"Cache-Control", b"max-age=0"),), (True, False)),
    "max-age=5": (((b"Cache-Control", b"max-age=5"),), (False, False)),
    "two lines": (((b"Cache-Control", b"max-age=5"), (b"cache-control", b"no-store")), (True, True)),
    "Pragma": (((b"Pragma", b"No-Cache"),), (True, False)),
    "Pragma beside Cache-Control": (((b"Pragma", b"no-cache"), (b"Cache-Control", b"max-age=5")), (False, False)),
    "another Pragma": (((b"Pragma", b"x"),), (False, False)),
    "Pragma among others": (((b"Pragma", b"x, no-cache"),), (True, False)),
    "a condition": (((b"If-None-Match", b'"x"'),), (False, False)),
}


@pytest.mark.parametrize(("fields", "forbidden"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_request_directives_forbid_the_cache_as_listed(fields: Fields, forbidden: tuple[bool, bool]) -> None:
    assert freshness.request_forbids(make_request(*fields)) == forbidden


# --- lifetime -----------------------------------------------------------------------------------------------------------------


def control(value: bytes) -> tuple[bytes, bytes]:
    return (b"Cache-Control", value)


def date(value: bytes) -> tuple[bytes, bytes]:
    return (b"Date", value)


LIFETIMES: dict[str, tuple[Fields, float]] = {  # response to a plain GET, with ttl 60 s and maxTtl 1 h
    "nothing said": ((), 60),
    "max-age": ((control(b"max-age=30"),), 30),
    "s-maxage wins": ((control(b"max-age=30, s-maxage=40"),), 40),
    "s-maxage=0 wins": ((control(b"max-age=30, s-maxage=0"),), 0),
    "max-age=0": ((control(b"max-age=0"),), 0),
    "an invalid max-age is stale": ((control(b"max-age=abc"),), 0),
    "an empty max-age is stale": ((control(b"max-age"),), 0),
    "max-age wins over Expires": ((control(b"max-age=30"), DATE, (b"Expires", b"Sun, 06 Nov 1994 08:59:37 GMT")), 30),
    "maxTtl": ((control(b"max-age=999999"),), 3600),
    "Expires from Date": ((DATE, (b"Expires", b"Sun, 06 Nov 1994 08:51:17 GMT")), 100),
    "Expires from a Date that is behind": (
        (date(b"Sun, 06 Nov 1994 08:49:27 GMT"), (b"Expires", b"Sun, 06 Nov 1994 08:49:47 GMT")),
        10,
    ),
    "Expires from a Date that is behind, with Age": (
        (date(b"Sun, 06 Nov 1994 07:00:00 GMT"), (b"Expires", b"Sun, 06 Nov 1994 07:00:20 GMT"), (b"Age", b"5")),
        15,
    ),
    "max-age from a Date that is behind": ((control(b"max-age=30"), date(b"Sun, 06 Nov 1994 08:49:27 GMT")), 20),
    "max-age from a Date that is far behind": ((control(b"max-age=30"), date(b"Sun, 06 Nov 1994 08:49:07 GMT")), 0),
    "max-age from a Date of the last second": ((control(b"max-age=30"), date(b"Sun, 06 Nov 1994 08:49:36 GMT")), 30),
    "max-age from a Date that is ahead": ((control(b"max-age=30"), date(b"Sun, 06 Nov 1994 10:00:00 GMT")), 30),
    "max-age, Date and Age": ((control(b"max-age=30"), date(b"Sun, 06 Nov 1994 08:00:00 GMT"), (b"Age", b"5")), 25),
    "C11 max-age and a wrong Date": ((control(b"max-age=30"), date(b"yesterday")), 30),
    "the rule's ttl does not depend on a Date that is behind": ((date(b"Sun, 06 Nov 1993 08:49:27 GMT"),), 60),
    "Expires from a Date that is ahead": (
        (date(b"Sun, 06 Nov 2094 07:00:00 GMT"), (b"Expires", b"Sun, 06 Nov 2094 07:00:20 GMT")),
        20,
    ),
    "Expires with two Dates": ((DATE, DATE, (b"Expires", b"Sun, 06 Nov 1994 08:49:47 GMT")), 10),
    "two Expires": (
        (DATE, (b"Expires", b"Sun, 06 Nov 1994 08:51:17 GMT"), (b"Expires", b"Sun, 06 Nov 1994 08:51:17 GMT")),
        0,
    ),
    "Expires -1": (((b"Expires", b"-1"),), 0),
    "Expires empty": (((b"Expires", b""),), 0),
    "max-age wins over an invalid Expires": ((control(b"max-age=30"), (b"Expires", b"0")), 30),
    "Expires without Date": (((b"Expires", b"Sun, 06 Nov 1994 08:49:47 GMT"),), 10),
    "Expires in the past": ((DATE, (b"Expires", b"Sun, 06 Nov 1994 08:00:00 GMT")), 0),
    "Expires 0": (((b"Expires", b"0"),), 0),
    "C11 Expires garbage": (((b"Expires", b"soon, \xff"),), 0),
    "an old date format": ((DATE, (b"Expires", b"Sunday, 06-Nov-94 08:51:17 GMT")), 100),
    "a date format without a zone": ((DATE, (b"Expires", b"Sun Nov  6 08:51:17 1994")), 100),
    "C11 a wrong Date": (((b"Date", b"x"), (b"Expires", b"Sun, 06 Nov 1994 08:49:47 GMT")), 10),
    "Age": ((control(b"max-age=30"), (b"Age", b"10")), 20),
    "Age above the lifetime": ((control(b"max-age=30"), (b"Age", b"31")), 0),
    "C11 Age abc": ((control(b"max-age=30"), (b"Age", b"abc")), 30),
    "C11 Age negative": ((control(b"max-age=30"), (b"Age", b"-10")), 30),
    "C11 Age beyond all": ((control(b"max-age=30"), (b"Age", b"9" * 40)), 0),
    "Age with leading zeros": ((control(b"max-age=30"), (b"Age", b"0" * 20 + b"31")), 0),
    "Age in a list": ((control(b"max-age=30"), (b"Age", b"10, 20")), 20),
    "Age in two lines": ((control(b"max-age=30"), (b"Age", b"10"), (b"Age", b"0")), 20),
    "Age in two lines, the first malformed": ((control(b"max-age=30"), (b"Age", b"x"), (b"Age", b"31")), 30),
    "Age counts against the default": (((b"Age", b"50"),), 10),
    "no-store": ((control(b"no-store, max-age=30"),), 0),
    "private": ((control(b"private, max-age=30"),), 0),
    "private with names": ((control(b'private="x", max-age=30'),), 0),
    "no-cache": ((control(b"no-cache, max-age=30"),), 0),
    "max-age quoted": ((control(b'max-age="30"'),), 30),
    "max-age in any case": ((control(b"MAX-AGE=30"),), 30),
    "max-age negative": ((control(b"max-age=-30"),), 0),
    "max-age with a fraction": ((control(b"max-age=30.5"),), 0),
    "max-age beyond all": ((control(b"max-age=" + b"9" * 40),), 3600),
    "max-age in two lines": ((control(b"max-age=30"), control(b"max-age=30")), 30),
    "max-age in two lines that differ": ((control(b"max-age=30"), control(b"max-age=0")), 0),
    "s-maxage malformed": ((control(b"max-age=30, s-maxage=x"),), 0),
    "no-cache in any case": ((control(b"NO-cache, max-age=30"),), 0),
    "no-cache with names": ((control(b'no-cache="x", max-age=30'),), 0),
    "must-understand of a known status": ((control(b"must-understand, max-age=30"),), 30),
    "must-understand takes the place of no-store": ((control(b"must-understand, no-store, max-age=30"),), 30),
    "must-understand allows nothing private": ((control(b"must-understand, private, max-age=30"),), 0),
    "no-store in a second line": ((control(b"max-age=30"), control(b"no-store")), 0),
    "public": ((control(b"public"),), 60),
    "must-revalidate": ((control(b"must-revalidate, max-age=30"),), 30),
    "C3 Set-Cookie": ((control(b"max-age=30"), (b"Set-Cookie", b"a=1")), 0),
    "C10 Vary *": ((control(b"max-age=30"), (b"Vary", b"*")), 0),
    "C10 Vary * among others": ((control(b"max-age=30"), (b"Vary", b"Accept, *")), 0),
    "Vary on the request's id": ((control(b"max-age=30"), (b"Vary", b"X-Request-ID")), 0),
    "Vary on the trace": ((control(b"max-age=30"), (b"Vary", b"Accept, traceparent")), 0),
    "Vary": ((control(b"max-age=30"), (b"Vary", b"Accept")), 30),
}


@pytest.mark.parametrize(("fields", "fresh"), LIFETIMES.values(), ids=LIFETIMES)
def test_lifetime_follows_the_response_fields(fields: Fields, fresh: float) -> None:
    assert lifetime(*fields, ttl=60_000) == fresh


STATUSES = {
    200: 60,
    203: 60,
    204: 60,
    301: 60,
    404: 60,
    410: 60,
    201: 0,
    302: 0,
    307: 0,
    500: 0,
    503: 0,
    206: 0,
    304: 0,
}


@pytest.mark.parametrize(("status", "fresh"), STATUSES.items())
def test_ttl_applies_to_the_listed_statuses(status: int, fresh: float) -> None:
    assert lifetime(status=status, ttl=60_000) == fresh


UNSTORED = (206, 304, 428, 429, 431, 511)  # RFC 9111 3, RFC 6585


@pytest.mark.parametrize("status", range(200, 600))
def test_freshness_of_the_origin_counts_for_all_final_statuses(status: int) -> None:
    fresh = 0 if status in UNSTORED else 30
    assert lifetime(control(b"max-age=30"), status=status) == fresh
    assert lifetime(DATE, (b"Expires", b"Sun, 06 Nov 1994 08:50:07 GMT"), status=status) == fresh
    # RFC 9111 5.2.2.3
    is_known = status in {status.value for status in HTTPStatus}
    assert lifetime(control(b"must-understand, max-age=30"), status=status) == (fresh if is_known else 0)


@pytest.mark.parametrize("status", UNSTORED)
def test_statuses_of_one_request_are_never_stored(status: int) -> None:
    assert lifetime(status=status, ttl=60_000, statuses=(200, status)) == 0


CONDITIONS = [
    (b"Range", b"bytes=9-"), (b"If-Range", b'"x"'), (b"If-Match", b'"x"'), (b"If-None-Match", b'"x"'),
    (b"If-Modified-Since", DATE[1]), (b"If-Unmodified-Since", DATE[1]),
]  # fmt: skip


@pytest.mark.parametrize("condition", CONDITIONS, ids=[name.decode() for name, _ in CONDITIONS])
def test_refused_condition_or_range_is_not_stored(condition: tuple[bytes, bytes]) -> None:
    head = make_request(condition)
    for status in (400, 404, 412, 416):
        assert lifetime(control(b"max-age=30"), head=head, status=status) == 0
        assert lifetime(control(b"max-age=30"), head=make_request(control(b"max-age=9")), status=status) == 30
    assert lifetime(control(b"max-age=30"), head=head) == 30  # the whole response


DELAYS = {  # response, seconds that the upstream took -> lifetime
    "max-age": ((control(b"max-age=3"),), 3.25, 0),
    "max-age, in part": ((control(b"max-age=10"),), 3.25, 6.75),
    "in addition to Age": ((control(b"max-age=30"), (b"Age", b"10")), 3.25, 16.75),
    "Expires": ((DATE, (b"Expires", b"Sun, 06 Nov 1994 08:49:47 GMT")), 3.25, 6.75),
    "the rule's own ttl": ((), 3.25, 56.75),
    "a clock that went back": ((control(b"max-age=30"),), -5.0, 30),
}


@pytest.mark.parametrize(("fields", "delay", "fresh"), DELAYS.values(), ids=DELAYS)
def test_delay_of_the_upstream_is_part_of_the_age(fields: Fields, delay: float, fresh: float) -> None:
    assert lifetime(*fields, delay=delay, ttl=60_000) == fresh


AUTHORIZED = {  # response -> lifetime with Isolate, with Shared (RFC 9111 3.5)
    "nothing said": ((), 60, 0),
    "max-age": ((control(b"max-age=30"),), 30, 0),
    "Expires": ((DATE, (b"Expires", b"Sun, 06 Nov 1994 08:50:07 GMT")), 30, 0),
    "public": ((control(b"public, max-age=30"),), 30, 30),
    "s-maxage": ((control(b"s-maxage=30"),), 30, 30),
    "must-revalidate": ((control(b"must-revalidate, max-age=30"),), 30, 30),
    "public and private": ((control(b"public, private, max-age=30"),), 0, 0),
    "no-store": ((control(b"no-store, max-age=30"),), 0, 0),
}


@pytest.mark.parametrize(("fields", "isolated", "shared"), AUTHORIZED.values(), ids=AUTHORIZED)
def test_c2_authorized_response_is_stored_for_its_credential(fields: Fields, isolated: float, shared: float) -> None:
    head = make_request((b"Authorization", b"Bearer x"))
    assert lifetime(*fields, head=head, ttl=60_000) == isolated
    assert lifetime(*fields, head=head, ttl=60_000, identity="Shared") == shared
    cookie = make_request((b"Cookie", b"a=1"))  # RFC 9111 3.5 covers Authorization only; here the rule shares responses
    assert lifetime(head=cookie, ttl=60_000, identity="Shared") == 60


PRIVATE: dict[str, tuple[Fields, dict[str, Any], float]] = {  # request, settings -> lifetime
    "by default": (((b"Authorization", b"x"),), {}, 0),
    "storePrivate, Authorization": (((b"Authorization", b"x"),), {"store_private": True}, 30),
    "storePrivate, a provider's key": (((b"X-Goog-Api-Key", b"x"),), {"store_private": True}, 30),
    "storePrivate, a cookie": (((b"Cookie", b"a=1"),), {"store_private": True}, 30),
    "storePrivate, no credential": ((), {"store_private": True}, 0),
    "storePrivate, a field that only separates": (((b"X-Session-Hint", b"x"),), {"store_private": True}, 0),
    "storePrivate, an account": (((b"OpenAI-Organization", b"x"),), {"store_private": True}, 0),
    "storePrivate, Shared": (((b"Authorization", b"x"),), {"store_private": True, "identity": "Shared"}, 0),
}


@pytest.mark.parametrize(("fields", "settings", "fresh"), PRIVATE.values(), ids=PRIVATE)
def test_c2_private_response_is_stored_only_for_one_user(
    fields: Fields, settings: dict[str, Any], fresh: float
) -> None:
    head = make_request(*fields)
    for value in (b"private, max-age=30", b'max-age=30, Private="x"'):
        assert lifetime(control(value), head=head, **settings) == fresh
    assert lifetime(control(b"private, no-store, max-age=30"), head=head, **settings) == 0
    assert lifetime(control(b"private, max-age=30"), (b"Set-Cookie", b"a=1"), head=head, **settings) == 0


def test_lifetime_without_a_ttl_comes_from_the_origin() -> None:
    assert lifetime() == 0
    assert lifetime(control(b"max-age=5")) == 5


def test_ttl_is_independent_of_the_wall_clock() -> None:
    def wall() -> float:
        raise AssertionError("asked")

    for fields in ((), (DATE,), (DATE, (b"Age", b"5"))):
        fresh = freshness.freshness_of(rules(ttl=60_000), make_request(), make_response(*fields), 0, wall)
        assert fresh is not None


AGES = {  # response, seconds that it took -> age
    "nothing": ((), 0.5, 0.5),
    "Age": (((b"Age", b"10"),), 0.5, 10.5),
    "Date": ((date(b"Sun, 06 Nov 1994 08:49:27 GMT"),), 0.5, 10),
    "Date of a slow response": ((date(b"Sun, 06 Nov 1994 08:49:27 GMT"),), 20.5, 20.5),
    "Age and Date": (((b"Age", b"5"), date(b"Sun, 06 Nov 1994 08:49:27 GMT")), 0.5, 5.5),
    "Age that is malformed": (((b"Age", b"x"), date(b"Sun, 06 Nov 1994 08:49:27 GMT")), 0.5, 10),
}


@pytest.mark.parametrize(("fields", "delay", "age"), AGES.values(), ids=AGES)
def test_age_of_a_new_response_is_the_largest(fields: Fields, delay: float, age: float) -> None:
    response = make_response(control(b"max-age=60"), *fields)
    fresh = freshness.freshness_of(rules(), make_request(), response, delay, lambda: NOW)
    assert fresh == (60 - age, age)


field_bytes = st.one_of(st.binary(max_size=40), st.text("0123456789:, SunNov GMT+-", max_size=40).map(str.encode))


@given(field_bytes, field_bytes, field_bytes, field_bytes)
def test_c11_lifetime_of_any_field_bytes_is_in_range(
    expires: bytes, date: bytes, age: bytes, cache_control: bytes
) -> None:
    assert 0 <= lifetime((b"Expires", expires), (b"Date", date), (b"Age", age), ttl=60_000) <= 3600
    assert 0 <= lifetime(control(cache_control), (b"Age", age), ttl=60_000) <= 3600
