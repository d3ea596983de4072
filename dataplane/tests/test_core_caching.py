"""Caching: which responses are stored, for how long, and under which key."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.canonical import canonical
from inferway_contract.document import (
    Auth,
    Backend,
    Cache,
    Cors,
    HeaderEdit,
    Match,
    PathMatch,
    Rewrite,
    Rule,
    Url,
)
from inferway_dataplane.core.caching import freshness
from inferway_dataplane.core.caching import keys as cache_keys
from inferway_dataplane.core.caching.keys import CacheRules, digest_of
from inferway_dataplane.core.messages import field_kinds, request_head, request_target, response_head
from inferway_dataplane.core.messages.client_claims import ClientClaims
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.messages.response_head import ResponseHead
from inferway_dataplane.core.messages.sender import Sender

Fields = tuple[tuple[bytes, bytes], ...]
SECRET = b"s" * 32
NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT
DATE = (b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT")


def make_request(*fields: tuple[bytes, bytes], target: bytes = b"/a", host: bytes = b"a.example") -> RequestHead:
    head = request_head.read_request(b"GET", [(b"Host", host), *fields], is_http_1_1=True)
    assert isinstance(head, RequestHead)
    assert request_target.locate(head, target) is None
    return head


def make_response(*fields: tuple[bytes, bytes], status: int = 200) -> ResponseHead:
    head = response_head.read_response(status, list(fields), keep_alive=True)
    assert head is not None
    return head


def rules(scope: bytes = b"a rule", **settings: Any) -> CacheRules:
    return CacheRules(Cache(**settings), scope)


def lifetime(
    *fields: tuple[bytes, bytes], head: RequestHead | None = None, status: int = 200, delay: float = 0, **settings: Any
) -> float:
    """The lifetime of a response to `head`, under a rule with these settings."""
    response = make_response(*fields, status=status)
    fresh = freshness.freshness_of(rules(**settings), head or make_request(), response, delay, lambda: NOW)
    return 0 if fresh is None else fresh.lifetime


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


# --- keys -----------------------------------------------------------------------------------------------------------------------


def key(head: RequestHead, cache_rules: CacheRules | None = None, prefix: bytes = b"/") -> bytes:
    return (cache_rules or rules()).key(head, prefix, SECRET)


def all_differ(keys: Iterable[bytes]) -> bool:
    keys = list(keys)
    return len(set(keys)) == len(keys)


def test_cache_key_of_equal_requests_is_equal() -> None:
    assert key(make_request((b"Accept", b"a"))) == key(make_request((b"User-Agent", b"b")))


def test_c10_cache_key_contains_path_query_host_and_rule() -> None:
    heads_ = [
        make_request(target=target)
        for target in (
            b"/a",
            b"/a/",
            b"/A",
            b"/a?",
            b"/a?x",
            b"/a?x=",
            b"/a?x=1",
            b"/a?x=1&y=2",
            b"/a?y=2&x=1",
            b"/a%3Fx",
        )
    ]
    keys = [key(head) for head in heads_]
    keys += [
        key(make_request(host=b"b.example")),
        key(make_request(), rules(b"another rule")),
    ]
    assert all_differ(keys)


def test_cache_key_contains_the_host_lower_cased_with_its_port() -> None:
    # The upstream sees the port and may return links that contain it.
    assert all_differ(key(make_request(host=host)) for host in (b"a.example", b"a.example:81", b"a.example:82"))
    assert key(make_request(host=b"A.example")) == key(make_request())


def test_cache_key_without_the_host_is_shared_by_all_hosts() -> None:
    cache_rules = rules(key_host=False)
    assert key(make_request(), cache_rules) == key(make_request(host=b"b.example:81"), cache_rules)


CREDENTIALS = [  # each of them separates responses
    b"Authorization", b"Proxy-Authorization", b"Cookie", b"X-Api-Key", b"Api-Key", b"apikey", b"x-goog-api-key",
    b"Ocp-Apim-Subscription-Key", b"X-Functions-Key", b"X-Amz-Security-Token", b"CF-Access-Client-Secret",
    b"CF-Access-Client-Id", b"X-Auth-Email", b"X-Auth-Key", b"cf-aig-authorization", b"X-Vault-Token", b"X-Vault-Namespace",
    b"xi-api-key", b"Private-Token", b"OpenAI-Organization", b"OpenAI-Project", b"Stripe-Account", b"X-Subscription-Token",
    b"Helicone-Auth", b"DPoP", b"X-User-Id",
    # by the words in their names
    b"X-Acme-Auth", b"X-ACME-TOKEN", b"Acme-Key", b"X-Client-Secret-2", b"X-Session", b"SessionId", b"x-my-credential",
    b"X-JWT", b"Signature-Input", b"X-Hub-Signature-256", b"x_acme_token",
]  # fmt: skip


def test_c2_cache_key_contains_all_credential_fields() -> None:
    keys = [key(make_request())]
    for name in CREDENTIALS:
        keys += [key(make_request((name, value))) for value in (b"", b"alice", b"bob")]
    keys.append(key(make_request((b"Authorization", b"alice"), (b"Cookie", b"alice"))))
    assert all_differ(keys)


def test_c2_cache_key_depends_on_the_secret() -> None:
    head = make_request((b"Authorization", b"x"))
    assert rules().key(head, b"/", b"a" * 32) != rules().key(head, b"/", b"b" * 32)


@pytest.mark.parametrize(
    "name", [b"Idempotency-Key", b"Sec-WebSocket-Key", b"Sec-Fetch-Site", b"Accept", b"User-Agent", b"X-Amzn-Trace-Id"]
)
def test_harmless_fields_share_a_cache_key(name: bytes) -> None:
    assert key(make_request((name, b"alice"))) == key(make_request())


def test_flood_of_field_names_keeps_their_classes() -> None:
    for number in range(10_000):
        make_request((b"X-%d" % number, b"a"))
        key(make_request((b"X-Token-%d" % number, b"a")))
    assert len(field_kinds.IDENTITY_KINDS) <= 4096
    assert key(make_request((b"X-Token-1", b"a"))) != key(make_request((b"X-Token-1", b"b")))


SAME_CREDENTIALS: dict[str, tuple[Fields, Fields, bool]] = {
    "case of the scheme": (((b"Authorization", b"Bearer x"),), ((b"authorization", b"bearer x"),), True),
    "blanks after the scheme": (((b"Authorization", b"Bearer x"),), ((b"Authorization", b"BEARER \t x"),), True),
    "case of the credential": (((b"Authorization", b"Bearer x"),), ((b"Authorization", b"Bearer X"),), False),
    "a credential of two words": (((b"Authorization", b"Digest a, b"),), ((b"Authorization", b"Digest a,  b"),), False),
    "of the proxy": (((b"Proxy-Authorization", b"Basic x"),), ((b"Proxy-Authorization", b"basic  x"),), True),
    "blanks elsewhere": (((b"X-Api-Key", b"a b"),), ((b"X-Api-Key", b"a  b"),), False),
    "case elsewhere": (((b"X-Api-Key", b"a"),), ((b"X-Api-Key", b"A"),), False),
    "order of names": (((b"Cookie", b"a"), (b"X-Token", b"b")), ((b"X-Token", b"b"), (b"Cookie", b"a")), True),
    "order of lines": (((b"X-Token", b"a"), (b"X-Token", b"b")), ((b"X-Token", b"b"), (b"X-Token", b"a")), False),
    "lines and a list": (((b"X-Token", b"a"), (b"X-Token", b"b")), ((b"X-Token", b"a, b"),), False),
    "other names, same value": (((b"X-Token", b"a"),), ((b"X-Key", b"a"),), False),
    "empty scheme": (((b"Authorization", b""),), ((b"Authorization", b"Bearer"),), False),
}


@pytest.mark.parametrize(("one", "other", "is_same"), SAME_CREDENTIALS.values(), ids=SAME_CREDENTIALS)
def test_cache_key_compares_credentials_in_one_form(one: Fields, other: Fields, is_same: bool) -> None:
    assert (key(make_request(*one)) == key(make_request(*other))) is is_same


def test_cache_key_of_a_shared_identity_omits_credentials() -> None:
    cache_rules = rules(identity="Shared")
    for name in CREDENTIALS:
        assert key(make_request((name, b"x")), cache_rules) == key(make_request(), cache_rules)


CREDENTIAL_PARAMETERS = [
    b"key", b"api_key", b"apikey", b"API-Key", b"access_token", b"token", b"sig", b"code", b"X-Amz-Signature",
    b"X-Amz-Credential", b"X-Amz-Security-Token", b"X-Goog-Signature", b"session", b"jsessionid", b"PHPSESSID", b"jwt",
    b"password", b"client_secret", b"auth", b"%61uth", b"user_id",
]  # fmt: skip


@pytest.mark.parametrize("name", CREDENTIAL_PARAMETERS)
@pytest.mark.parametrize(
    "settings", [{"query_include": ("q",)}, {"query_exclude": ("%s",)}], ids=["include", "exclude"]
)
def test_c2_credential_in_the_query_never_crosses_users(name: bytes, settings: dict[str, tuple[str, ...]]) -> None:
    decoded = unquote(name.decode())
    named = {field: tuple(value.replace("%s", decoded) for value in values) for field, values in settings.items()}
    heads = [make_request(target=b"/a?q=1&%b=%b" % (name, value)) for value in (b"alice", b"bob")]
    keys = [key(head, rules(**named)) for head in (*heads, make_request(target=b"/a?q=1"))]
    assert all_differ(keys)
    shared = rules(identity="Shared", **named)
    assert key(heads[0], shared) == key(heads[1], shared)


@pytest.mark.parametrize("name", [b"utm_source", b"gclid", b"keyword", b"page", b"author"])
def test_harmless_parameters_are_left_out_of_the_key(name: bytes) -> None:
    cache_rules = rules(query_exclude=(name.decode(),))
    assert key(make_request(target=b"/a?q=1&%b=2" % name), cache_rules) == key(
        make_request(target=b"/a?q=1"), cache_rules
    )


def test_cache_key_contains_the_configured_headers() -> None:
    cache_rules = rules(key_headers=("Accept-Language", "x-b"))
    values: list[Fields] = [
        (), ((b"accept-language", b""),), ((b"accept-language", b"de"),), ((b"Accept-Language", b"de, en"),),
        ((b"X-B", b"de"),), ((b"accept-language", b"de"), (b"x-b", b"de")),
    ]  # fmt: skip
    assert all_differ(key(make_request(*fields), cache_rules) for fields in values)
    two_lines = make_request((b"accept-language", b"de"), (b"accept-language", b"en"))
    assert key(two_lines, cache_rules) == key(make_request((b"accept-language", b"de, en")), cache_rules)


QUERIES: dict[str, tuple[dict[str, Any], bytes, bytes, bool]] = {  # settings, two targets -> one key?
    "as sent": ({}, b"/a?x=1&y=2", b"/a?y=2&x=1", False),
    "sorted": ({"query_sort": True}, b"/a?x=1&y=2", b"/a?y=2&x=1", True),
    "sorted, values of one name": ({"query_sort": True}, b"/a?x=1&x=2", b"/a?x=2&x=1", False),
    "sorted, other values": ({"query_sort": True}, b"/a?x=1&y=2", b"/a?x=2&y=1", False),
    "excluded": ({"query_exclude": ("utm",)}, b"/a?x=1&utm=2", b"/a?x=1", True),
    "excluded, but not what begins so": ({"query_exclude": ("utm",)}, b"/a?x=1&utm2=2", b"/a?x=1", False),
    "excluded, spelled with escapes": ({"query_exclude": ("utm",)}, b"/a?x=1&%75tm=2", b"/a?x=1", True),
    "excluded, not ASCII": ({"query_exclude": ("ü",)}, "/a?x=1&ü=2".encode(), b"/a?x=1&%C3%BC=3", True),
    "all excluded": ({"query_exclude": ("utm",)}, b"/a?utm=2", b"/a", True),
    "included": ({"query_include": ("x",)}, b"/a?x=1&y=2", b"/a?z&x=1", True),
    "included, other values": ({"query_include": ("x",)}, b"/a?x=1", b"/a?x=2", False),
    "included, absent": ({"query_include": ("x",)}, b"/a?y=1", b"/a", True),
    "included, empty is not absent": ({"query_include": ("x",)}, b"/a?x=", b"/a", False),
    "included and sorted": ({"query_include": ("x", "y"), "query_sort": True}, b"/a?y=1&z&x=2", b"/a?x=2&y=1", True),
    "a plus is a blank": ({"query_exclude": ("a b",)}, b"/a?a+b=1", b"/a", True),
    "excluded, the last that is looked at": (
        {"query_exclude": ("utm",)},
        b"/a?utm=1" + b"&x" * 127,
        b"/a?" + b"x&" * 126 + b"x",
        True,
    ),
    "excluded, of too many": (
        {"query_exclude": ("utm",)},
        b"/a?utm=1" + b"&x" * 128,
        b"/a?" + b"x&" * 127 + b"x",
        False,
    ),
    # What another reader of the query takes for something else stays in the key.
    "excluded, with a semicolon": ({"query_exclude": ("utm",)}, b"/a?q=1&utm=1;q=2", b"/a?q=1", False),
    "excluded, semicolon before it": ({"query_exclude": ("utm",)}, b"/a?q=2;utm=1", b"/a?q=1;utm=1", False),
    "excluded, with a question mark": ({"query_exclude": ("utm",)}, b"/a?q=1&utm=1?q=2", b"/a?q=1", False),
    "excluded, an escaped semicolon": ({"query_exclude": ("utm",)}, b"/a?q=1&utm=1%3Bq=2", b"/a?q=1", True),
    "excluded, in another case": ({"query_exclude": ("utm",)}, b"/a?q=1&UTM=2", b"/a?q=1", False),
    "excluded, an empty pair": ({"query_exclude": ("utm",)}, b"/a?q=1&&utm=2", b"/a?q=1&", True),
    "included, with a semicolon": ({"query_include": ("q",)}, b"/a?q=1&x=1;q=2", b"/a?q=1", False),
    "included, in another case": ({"query_include": ("q",)}, b"/a?q=1&Q=2", b"/a?q=1", False),
    "included, as a list": ({"query_include": ("q",)}, b"/a?q=1&q[]=2", b"/a?q=1", False),
    "included, as an escaped list": ({"query_include": ("q",)}, b"/a?q=1&q%5B0%5D=2", b"/a?q=1", False),
    "included, after a blank": ({"query_include": ("q",)}, b"/a?q=1&+q=2", b"/a?q=1", False),
    "included, with a null": ({"query_include": ("q",)}, b"/a?q=1&q%00x=2", b"/a?q=1", False),
    "included, with a dot": ({"query_include": ("a_b",)}, b"/a?a_b=1&a.b=2", b"/a?a_b=1", False),
    "included, with IIS's escape": ({"query_include": ("q",)}, b"/a?q=1&%u0071=2", b"/a?q=1", False),
    "sorted, with a semicolon": ({"query_sort": True}, b"/a?b=1&a=1;b=2", b"/a?a=1;b=2&b=1", False),
    "sorted, spelled with escapes": ({"query_sort": True}, b"/a?b=1&%62=2", b"/a?%62=2&b=1", False),
    "sorted, as lists": ({"query_sort": True}, b"/a?b[]=1&b=2", b"/a?b=2&b[]=1", False),
    "sorted, in another case": ({"query_sort": True}, b"/a?b=1&B=2", b"/a?B=2&b=1", False),
}


@pytest.mark.parametrize(("settings", "one", "other", "is_one"), QUERIES.values(), ids=QUERIES)
def test_cache_key_contains_the_configured_query_parameters(
    settings: dict[str, Any], one: bytes, other: bytes, is_one: bool
) -> None:
    cache_rules = rules(**settings)
    assert (key(make_request(target=one), cache_rules) == key(make_request(target=other), cache_rules)) is is_one


# Small alphabets, so that equal requests, and those that differ in one part, come often.
values = st.sampled_from((b"", b"a", b"b", b"a, b", b"1:a", b"-"))
requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from((b"GET", b"HEAD")),
        "path": st.sampled_from((b"/", b"/a", b"/a/", b"/A", b"/a;b")),
        "query": st.none() | st.lists(st.sampled_from((b"", b"a=1", b"a=2", b"b=1", b"b", b"a=1;b=1")), max_size=3).map(b"&".join),
        "host": st.sampled_from((b"a.example", b"a.example:81", b"b.example")),
        "scheme": st.sampled_from((b"http", b"https")),
        "fields": st.lists(
            st.tuples(st.sampled_from((b"X-A", b"X-B", b"Cookie", b"X-Token", b"Authorization")), values), max_size=3
        ),
    }
)  # fmt: skip


def seen(request: dict[str, Any]) -> tuple[object, ...]:
    """All of a request that decides its key, as the documents describe it."""
    fields: list[tuple[bytes, bytes]] = [(name.lower(), value) for name, value in request["fields"]]
    lines = {name: [value for other, value in fields if other == name] for name, _ in fields}
    header = lines.pop(b"x-a", None)
    lines.pop(b"x-b", None)
    return (
        request["path"], request["query"], request["host"], request["scheme"],
        None if header is None else b", ".join(header), tuple(sorted((name, tuple(of)) for name, of in lines.items())),
    )  # fmt: skip


def request_of(request: dict[str, Any]) -> RequestHead:
    sender = Sender(request["scheme"], ClientClaims(), is_trusted=False)
    fields = [(b"Host", request["host"]), *request["fields"]]
    head = request_head.read_request(request["method"], fields, is_http_1_1=True, sender=sender)
    assert isinstance(head, RequestHead)
    query = b"" if request["query"] is None else b"?" + request["query"]
    assert request_target.locate(head, request["path"] + query) is None
    return head


@given(requests, st.data())
def test_c10_requests_share_a_key_only_if_they_are_the_same(request: dict[str, Any], data: st.DataObject) -> None:
    changed = data.draw(st.sampled_from(sorted(request)))
    other = {**request, changed: data.draw(requests)[changed]}
    cache_rules = rules(key_headers=("x-a",))
    is_same = seen(request) == seen(other)
    assert (key(request_of(request), cache_rules) == key(request_of(other), cache_rules)) is is_same


@given(
    st.lists(st.sampled_from((b"a=1", b"a=2", b"utm=1", b"utm=2", b"b", b"", b"utm=1;a=2", b"%61=2")), max_size=5),
    st.data(),
)
def test_left_out_parameters_never_hide_another(pairs: list[bytes], data: st.DataObject) -> None:
    """Readers that end parameters at `&`, or at `;` too, agree on all but what the rule leaves out."""
    other = data.draw(st.permutations(pairs))
    cache_rules = rules(query_exclude=("utm",))
    targets = [
        b"/a?" + b"&".join(of)
        for of in (pairs, [pair for pair in pairs if not pair.startswith(b"utm=") or b";" in pair], other)
    ]
    keys = [key(make_request(target=target), cache_rules) for target in targets]

    def read(target: bytes, ends: bytes) -> list[tuple[bytes, bytes]]:
        query = target.partition(b"?")[2].replace(ends, b"&")
        split = (pair.partition(b"=") for pair in query.split(b"&"))
        return [(unquote_to_bytes(name), value) for name, _, value in split if name != b"utm"]

    for one, target in zip(keys[1:], targets[1:], strict=True):
        if one == keys[0]:
            for ends in (b"&", b";"):
                assert [pair for pair in read(target, ends) if any(pair)] == [
                    pair for pair in read(targets[0], ends) if any(pair)
                ]


def test_head_and_get_share_a_key_and_other_methods_do_not() -> None:
    heads = {method: make_request() for method in (b"GET", b"HEAD", b"QUERY", b"POST")}
    for method, head in heads.items():
        head.method = method
    assert key(heads[b"GET"]) == key(heads[b"HEAD"])
    assert all_differ(key(heads[method]) for method in (b"GET", b"QUERY", b"POST"))


def test_cache_key_contains_the_prefix_that_is_rewritten() -> None:
    rewriting = CacheRules(Cache(), b"r", has_prefix=True)
    assert all_differ(key(make_request(), rewriting, prefix) for prefix in (b"/", b"/a"))
    assert key(make_request(), prefix=b"/") == key(make_request(), prefix=b"/a")


# --- what trusted proxies forward -----------------------------------------------------------------------------------------------

PROXY = Sender(b"http", ClientClaims(), is_trusted=True)


def forwarded(*fields: tuple[bytes, bytes], host: bytes = b"a.example") -> RequestHead:
    head = request_head.read_request(b"GET", [(b"Host", host), *fields], is_http_1_1=True, sender=PROXY)
    assert isinstance(head, RequestHead)
    assert request_target.locate(head, b"/a") is None
    return head


FORWARDED = [
    (b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Host", b"b.example"), (b"X-Forwarded-Port", b"81"),
    (b"X-Forwarded-Prefix", b"/x"), (b"X-Forwarded-Scheme", b"https"), (b"X-Forwarded-Ssl", b"on"),
    (b"Front-End-Https", b"on"), (b"X-Original-Url", b"/x"), (b"X-Rewrite-Url", b"/x"), (b"Forwarded", b"proto=https"),
    (b"Forwarded", b"for=192.0.2.1;host=b.example"), (b"X-HTTP-Method-Override", b"POST"), (b"X-Url-Scheme", b"https"),
    (b"X-Forwarded-Path", b"/x"), (b"X-Forwarded-Anything", b"x"), (b"X-Original-Host", b"b.example"),
    (b"X-Forwarded-User", b"alice"), (b"X-Client-Cert", b"alice"), (b"X-SSL-Client-Verify", b"SUCCESS"),
    (b"Remote-User", b"alice"), (b"X-Forwarded-Groups", b"admins"), (b"X-Amzn-Oidc-Identity", b"alice"),
    (b"X-MS-Client-Principal", b"alice"), (b"SSL_CLIENT_CERT", b"alice"),
]  # fmt: skip


def test_cache_key_contains_what_trusted_proxies_forward() -> None:
    assert all_differ([key(forwarded()), *(key(forwarded(field)) for field in FORWARDED)])
    # With X-Forwarded-Host, the Host that the upstream receives is a second one.
    both = [forwarded((b"X-Forwarded-Host", b"c.example"), host=host) for host in (b"a.example", b"b.example")]
    assert all_differ(map(key, both))


@pytest.mark.parametrize("field", FORWARDED, ids=[name.decode() for name, _ in FORWARDED])
def test_claims_of_other_peers_are_not_in_the_key(field: tuple[bytes, bytes]) -> None:
    assert key(make_request(field)) == key(make_request())


ADDRESSES = [
    (b"X-Forwarded-For", b"192.0.2.1"), (b"X-Real-IP", b"192.0.2.1"), (b"CF-Connecting-IP", b"192.0.2.1"),
    (b"True-Client-IP", b"192.0.2.1"), (b"X-Original-Forwarded-For", b"192.0.2.1"),
    (b"X-Original-Remote-Addr", b"192.0.2.1"), (b"Forwarded", b'for="[2001:db8::1]:4711"; by=203.0.113.43'),
]  # fmt: skip


def test_addresses_of_clients_share_a_key() -> None:
    without = {key(forwarded()), key(forwarded((b"Forwarded", b"for=192.0.2.9")))}
    assert {key(forwarded(field)) for field in ADDRESSES} <= without


# --- the rule -------------------------------------------------------------------------------------------------------------------

RULE = Rule(name="r", backends=(Backend(url=Url(scheme="http", host="a.example", port=80)),), cache=Cache(ttl=60_000))
CHANGES: dict[str, dict[str, Any]] = {
    "a match": {"matches": (Match(path=PathMatch(value="/a")),)},
    "a match by method": {"matches": (Match(method="GET"),)},
    "the backend": {"backends": (Backend(url=Url(scheme="http", host="b.example", port=80)),)},
    "the backend's scheme": {"backends": (Backend(url=Url(scheme="https", host="a.example", port=80)),)},
    "the backend's path": {"backends": (Backend(url=Url(scheme="http", host="a.example", port=80, path="/x")),)},
    "a weight": {"backends": (Backend(weight=2, url=Url(scheme="http", host="a.example", port=80)),)},
    "a Service": {"backends": (Backend(service="demo/a:80"),)},
    "another Service": {"backends": (Backend(service="demo/b:80"),)},
    "a credential": {
        "backends": (Backend(url=Url(scheme="http", host="a.example", port=80), auth=Auth(header="x-key", file="a")),)
    },
    "a request header": {"request_headers": HeaderEdit(remove=("x-a",))},
    "a response header": {"response_headers": HeaderEdit(remove=("x-a",))},
    "a rewrite": {"rewrite": Rewrite(hostname="b.example")},
    "CORS": {"cors": Cors(allow_origins=("*",))},
    "the ttl": {"cache": Cache(ttl=61_000)},
    "the key": {"cache": Cache(ttl=60_000, query_exclude=("utm",))},
    "the identity": {"cache": Cache(ttl=60_000, identity="Shared")},
    "the status header": {"cache": Cache(ttl=60_000, status_header="X-Other")},
}


def test_digest_differs_with_all_that_a_rule_does() -> None:
    changed = [digest_of("demo/a", RULE.model_copy(update=change)) for change in CHANGES.values()]
    assert all_differ([digest_of("demo/a", RULE), digest_of("demo/b", RULE), *changed])


def test_digest_is_the_same_under_another_name_or_position() -> None:
    assert digest_of("demo/a", RULE.model_copy(update={"name": "rule-7"})) == digest_of("demo/a", RULE)


texts = st.sampled_from(("a", "b", "a,b", '"', "ü"))
rule_documents = st.builds(
    Rule,
    name=texts,
    matches=st.lists(
        st.builds(Match, path=st.builds(PathMatch, value=texts), method=st.none() | texts, headers=st.just(())),
        max_size=2,
    ).map(tuple),
    backends=st.lists(st.builds(Backend, weight=st.integers(0, 2), service=st.none() | texts), max_size=2).map(tuple),
    request_headers=st.none() | st.builds(HeaderEdit, remove=st.lists(texts, max_size=2).map(tuple)),
    cache=st.builds(Cache, ttl=st.none() | st.integers(0, 2), key_headers=st.lists(texts, max_size=2).map(tuple)),
)


@given(rule_documents, rule_documents, st.booleans())
def test_digests_are_equal_exactly_for_equal_rules(one: Rule, other: Rule, is_copy: bool) -> None:
    if is_copy:
        other = Rule.model_validate_json(one.model_dump_json()).model_copy(update={"name": other.name})
    nameless = [canonical(rule.model_copy(update={"name": ""})) for rule in (one, other)]
    assert (digest_of("demo/a", one) == digest_of("demo/a", other)) is (nameless[0] == nameless[1])
    if is_copy:
        assert nameless[0] == nameless[1]


# --- Vary -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((), ()),
        ((b"Accept",), (b"accept",)),
        ((b"Accept, Accept-Language",), (b"accept", b"accept-language")),
        ((b"Accept-Language ,\tACCEPT",), (b"accept", b"accept-language")),
        ((b"Accept", b"accept, Origin"), (b"accept", b"origin")),
        ((b",, ,",), ()),
    ],
)
def test_vary_names_are_parsed(values: tuple[bytes, ...], names: tuple[bytes, ...]) -> None:
    assert cache_keys.vary_names(make_response(*((b"Vary", value) for value in values))) == names


def variant(names: tuple[bytes, ...], head: RequestHead, peer: bytes = b"192.0.2.1") -> bytes:
    return cache_keys.variant(names, head, peer)


def test_variant_separates_absent_and_empty_fields() -> None:
    names = (b"a", b"b")
    requests: list[Fields] = [
        (), ((b"A", b""),), ((b"A", b"x"),), ((b"B", b"x"),), ((b"A", b"x"), (b"B", b"x")), ((b"A", b"x, x"),),
        ((b"A", b"1:x"),), ((b"A", b"-"),),
    ]  # fmt: skip
    assert all_differ(variant(names, make_request(*fields)) for fields in requests)
    assert variant(names, make_request((b"C", b"1"))) == variant(names, make_request())


def test_variant_by_address_is_the_one_that_is_forwarded() -> None:
    names = (b"x-forwarded-for",)
    assert variant(names, make_request(), b"192.0.2.1") != variant(names, make_request(), b"192.0.2.2")
    # What another peer claims is not forwarded.
    claiming = make_request((b"X-Forwarded-For", b"192.0.2.9"))
    assert variant(names, claiming) == variant(names, make_request())
    chains = [forwarded((b"X-Forwarded-For", value)) for value in (b"192.0.2.8", b"192.0.2.9")]
    assert all_differ([variant(names, forwarded()), *(variant(names, head) for head in chains)])


@pytest.mark.parametrize(
    "name", [b"host", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port", b"forwarded"]
)
def test_variant_by_what_the_gateway_writes_follows_the_client(name: bytes) -> None:
    heads = [
        make_request(), make_request(host=b"b.example"), forwarded((b"X-Forwarded-Proto", b"https")),
        forwarded((b"X-Forwarded-Host", b"c.example")),
    ]  # fmt: skip
    assert all_differ(variant((name,), head) for head in heads)
    assert variant((name,), make_request(host=b"A.example")) == variant((name,), make_request())
