"""Caching: which responses are stored, for how long, and under which key."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway_contract.document import Cache
from inferway_dataplane.core.caching import freshness
from inferway_dataplane.core.caching import keys as cache_keys
from inferway_dataplane.core.caching.keys import CacheRules
from inferway_dataplane.core.messages import request_head, request_target, response_head
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.messages.response_head import ResponseHead

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


def rules(scope: str = "demo/a r", **settings: Any) -> CacheRules:
    return CacheRules(Cache(**settings), scope)


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
    "an odd quote hides nothing": (b'max-age="60, no-store', {b"max-age": b"60", b"no-store": None}),
    "an odd quote at the end": (b'no-store, x="', {b"no-store": None, b"x": b""}),
    "repeated": (b"max-age=1, max-age=9", {b"max-age": b"1"}),
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
    "a condition": (((b"If-None-Match", b'"x"'),), (False, False)),
}


@pytest.mark.parametrize(("fields", "forbidden"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_request_directives_forbid_the_cache_as_listed(fields: Fields, forbidden: tuple[bool, bool]) -> None:
    assert freshness.request_forbids(make_request(*fields)) == forbidden


# --- lifetime -----------------------------------------------------------------------------------------------------------------


def control(value: bytes) -> tuple[bytes, bytes]:
    return (b"Cache-Control", value)


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
    "Age repeated": ((control(b"max-age=30"), (b"Age", b"10, 20")), 20),
    "Age counts against the default": (((b"Age", b"50"),), 10),
    "no-store": ((control(b"no-store, max-age=30"),), 0),
    "private": ((control(b"private, max-age=30"),), 0),
    "private with names": ((control(b'private="x", max-age=30'),), 0),
    "no-cache": ((control(b"no-cache, max-age=30"),), 0),
    "no-store in a second line": ((control(b"max-age=30"), control(b"no-store")), 0),
    "public": ((control(b"public"),), 60),
    "must-revalidate": ((control(b"must-revalidate, max-age=30"),), 30),
    "C3 Set-Cookie": ((control(b"max-age=30"), (b"Set-Cookie", b"a=1")), 0),
    "C10 Vary *": ((control(b"max-age=30"), (b"Vary", b"*")), 0),
    "C10 Vary * among others": ((control(b"max-age=30"), (b"Vary", b"Accept, *")), 0),
    "Vary": ((control(b"max-age=30"), (b"Vary", b"Accept")), 30),
}


@pytest.mark.parametrize(("fields", "fresh"), LIFETIMES.values(), ids=LIFETIMES)
def test_lifetime_follows_the_response_fields(fields: Fields, fresh: float) -> None:
    assert freshness.lifetime(rules(ttl=60_000), make_request(), make_response(*fields), lambda: NOW) == fresh


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
def test_lifetime_depends_on_the_status(status: int, fresh: float) -> None:
    assert freshness.lifetime(rules(ttl=60_000), make_request(), make_response(status=status), lambda: NOW) == fresh


def test_statuses_206_and_304_are_never_stored() -> None:
    cache_rules = rules(ttl=60_000, statuses=(200, 206, 304, 500))
    for status, fresh in ((200, 60), (206, 0), (304, 0), (500, 60)):
        assert freshness.lifetime(cache_rules, make_request(), make_response(status=status), lambda: NOW) == fresh


AUTHORIZED = {
    "nothing said": ((), 0),
    "max-age": ((control(b"max-age=30"),), 0),
    "public": ((control(b"public, max-age=30"),), 30),
    "s-maxage": ((control(b"s-maxage=30"),), 30),
    "must-revalidate": ((control(b"must-revalidate, max-age=30"),), 30),
    "public and private": ((control(b"public, private, max-age=30"),), 0),
}


@pytest.mark.parametrize(("fields", "fresh"), AUTHORIZED.values(), ids=AUTHORIZED)
def test_c2_authorized_response_is_stored_only_if_allowed(fields: Fields, fresh: float) -> None:
    head = make_request((b"Authorization", b"Bearer x"))
    assert freshness.lifetime(rules(ttl=60_000), head, make_response(*fields), lambda: NOW) == fresh
    cookie = make_request((b"Cookie", b"a=1"))  # RFC 9111 3.5 covers Authorization only; a cookie is part of the key
    assert freshness.lifetime(rules(ttl=60_000), cookie, make_response(), lambda: NOW) == 60


def test_lifetime_without_a_ttl_comes_from_the_origin() -> None:
    assert freshness.lifetime(rules(), make_request(), make_response(), lambda: NOW) == 0
    assert freshness.lifetime(rules(), make_request(), make_response(control(b"max-age=5")), lambda: NOW) == 5


def test_lifetime_reads_the_clock_only_for_expires_without_date() -> None:
    def wall() -> float:
        raise AssertionError("asked")

    freshness.lifetime(rules(ttl=60_000), make_request(), make_response(), wall)
    freshness.lifetime(rules(ttl=60_000), make_request(), make_response(DATE, (b"Expires", DATE[1])), wall)
    with pytest.raises(AssertionError, match="asked"):
        freshness.lifetime(rules(ttl=60_000), make_request(), make_response((b"Expires", DATE[1])), wall)


field_bytes = st.one_of(st.binary(max_size=40), st.text("0123456789:, SunNov GMT+-", max_size=40).map(str.encode))


@given(field_bytes, field_bytes, field_bytes, field_bytes)
def test_c11_lifetime_of_any_field_bytes_is_in_range(
    expires: bytes, date: bytes, age: bytes, cache_control: bytes
) -> None:
    answer = make_response((b"Expires", expires), (b"Date", date), (b"Age", age))
    assert 0 <= freshness.lifetime(rules(ttl=60_000), make_request(), answer, lambda: NOW) <= 3600
    answer = make_response(control(cache_control), (b"Age", age))
    assert 0 <= freshness.lifetime(rules(ttl=60_000), make_request(), answer, lambda: NOW) <= 3600


# --- keys -----------------------------------------------------------------------------------------------------------------------


def key(head: RequestHead, cache_rules: CacheRules | None = None) -> bytes:
    return (cache_rules or rules()).key(head, SECRET)


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
        key(make_request(), rules("demo/a s")),
        key(make_request(), rules("demo/b r")),
    ]
    assert all_differ(keys)


def test_cache_key_contains_the_host_lower_cased_with_its_port() -> None:
    # The upstream sees the port and may return links that contain it.
    assert all_differ(key(make_request(host=host)) for host in (b"a.example", b"a.example:81", b"a.example:82"))
    assert key(make_request(host=b"A.example")) == key(make_request())


def test_cache_key_without_the_host_is_shared_by_all_hosts() -> None:
    cache_rules = rules(key_host=False)
    assert key(make_request(), cache_rules) == key(make_request(host=b"b.example:81"), cache_rules)


CREDENTIALS = [(b"Authorization", b"x"), (b"Cookie", b"x"), (b"X-Api-Key", b"x"), (b"Api-Key", b"x")]


def test_c2_cache_key_contains_hashed_credentials() -> None:
    keys = [key(make_request(*fields)) for fields in ((), *((one,) for one in CREDENTIALS))]
    keys += [key(make_request((b"Authorization", b"y"))), key(make_request(CREDENTIALS[0], CREDENTIALS[1]))]
    assert all_differ(keys)
    assert b"secret-token" not in key(make_request((b"Authorization", b"secret-token")))
    assert rules().key(make_request(CREDENTIALS[0]), b"a" * 32) != rules().key(make_request(CREDENTIALS[0]), b"b" * 32)


def test_cache_key_separates_absent_and_empty_credentials() -> None:
    assert all_differ(
        [key(make_request()), key(make_request((b"Authorization", b""))), key(make_request((b"Cookie", b"")))]
    )


def test_cache_key_of_a_shared_identity_omits_credentials() -> None:
    cache_rules = rules(identity="Shared")
    assert key(make_request(CREDENTIALS[0]), cache_rules) == key(make_request(), cache_rules)


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
}


@pytest.mark.parametrize(("settings", "one", "other", "is_one"), QUERIES.values(), ids=QUERIES)
def test_cache_key_contains_the_configured_query_parameters(
    settings: dict[str, Any], one: bytes, other: bytes, is_one: bool
) -> None:
    cache_rules = rules(**settings)
    assert (key(make_request(target=one), cache_rules) == key(make_request(target=other), cache_rules)) is is_one


parts = st.text("ab\x02 ,", max_size=3).map(str.encode)


@given(st.tuples(parts, parts, parts), st.tuples(parts, parts, parts))
def test_c10_cache_keys_of_different_requests_differ(one: tuple[bytes, ...], other: tuple[bytes, ...]) -> None:
    cache_rules = rules(key_headers=("x-a",))

    def of(path: bytes, value: bytes, cookie: bytes) -> bytes:
        return key(
            make_request((b"X-A", value), (b"Cookie", cookie), target=b"/" + path.replace(b"\x02", b"").strip(b" ,")),
            cache_rules,
        )

    same = (one[0].replace(b"\x02", b"").strip(b" ,"), *one[1:]) == (
        other[0].replace(b"\x02", b"").strip(b" ,"),
        *other[1:],
    )
    assert (of(*one) == of(*other)) is same


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


def test_variant_separates_absent_and_empty_fields() -> None:
    names = (b"a", b"b")
    requests: list[Fields] = [
        (), ((b"A", b""),), ((b"A", b"x"),), ((b"B", b"x"),), ((b"A", b"x"), (b"B", b"x")), ((b"A", b"x, x"),),
    ]  # fmt: skip
    assert all_differ(cache_keys.variant(names, make_request(*fields)) for fields in requests)
    assert cache_keys.variant(names, make_request((b"C", b"1"))) == cache_keys.variant(names, make_request())
