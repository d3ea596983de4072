"""Keys of limits by header and query parameter: what comes twice is refused, spellings of one value are one key."""

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_oracle import make_request

from inferway_contract.document import KeyPart
from inferway_dataplane.core.limits import keys
from inferway_dataplane.core.limits.key_values import LIST_FIELDS, AmbiguousKey
from inferway_dataplane.core.messages import credentials
from inferway_testing.examples import examples

Fields = tuple[tuple[bytes, bytes], ...]


def key(part: KeyPart, target: bytes = b"/", fields: Fields = ()) -> object:
    """The key of a request, or the name of what is ambiguous."""
    key_of = keys.key_of((part,))
    assert key_of is not None
    try:
        return key_of(make_request(target, fields=fields), "192.0.2.1")
    except AmbiguousKey as error:
        return error.kind, error.name


HEADER = KeyPart(type="header", name="x-tenant")
TWICE = ("header", "x-tenant")
HEADERS: dict[str, tuple[Fields, object]] = {
    "none": ((), (None,)),
    "one": (((b"X-Tenant", b"a"),), (b"a",)),
    "a comma in it": (((b"X-Tenant", b"a, b"),), (b"a, b",)),
    "two": (((b"X-Tenant", b"a"), (b"X-Tenant", b"b")), TWICE),
    "the same twice": (((b"X-Tenant", b"a"), (b"X-Tenant", b"a")), TWICE),
    "two in other case": (((b"X-Tenant", b"a"), (b"x-TENANT", b"b")), TWICE),
    "an empty one behind it": (((b"X-Tenant", b"a"), (b"X-Tenant", b"")), TWICE),
    "an empty one before it": (((b"X-Tenant", b""), (b"X-Tenant", b"a")), TWICE),
    "one with an underscore": (((b"X-Tenant", b"a"), (b"X_Tenant", b"b")), TWICE),
    "one with an underscore only": (((b"X_Tenant", b"b"),), (None,)),
    "one named by Connection": (((b"X-Tenant", b"a"), (b"Connection", b"x-tenant")), (b"a",)),
    "another twice": (((b"X-Tenant", b"a"), (b"X-B", b"1"), (b"X-B", b"2")), (b"a",)),
}


@pytest.mark.parametrize(("fields", "expected"), HEADERS.values(), ids=HEADERS)
def test_header_that_comes_twice_is_no_key(fields: Fields, expected: object) -> None:
    assert key(HEADER, fields=fields) == expected


@pytest.mark.parametrize("host", [b"a.example", b"A.Example", b"a.example.", b"a.example:80", b"a.example:8080"])
@pytest.mark.parametrize("target", [b"/", b"http://A.example/"])
def test_host_header_as_a_key_has_one_form(host: bytes, target: bytes) -> None:
    key_of = keys.key_of((KeyPart(type="header", name="host"),))
    assert key_of is not None
    assert key_of(make_request(target, host), "") == (b"a.example",)


@pytest.mark.parametrize("name", sorted(LIST_FIELDS - {b"x-forwarded-for", b"forwarded"}))
def test_list_field_in_several_lines_is_one_list(name: bytes) -> None:
    part = KeyPart(type="header", name=name.decode())
    one, several = ((name, b"a, b"),), ((name, b"a"), (name.title(), b"b"))
    assert key(part, fields=one) == key(part, fields=several) == (b"a, b",)


QUERY = KeyPart(type="query", name="k")
TWO = ("parameter", "k")
QUERIES: dict[bytes, object] = {
    b"": (None,),
    b"?": (None,),
    b"?x=1": (None,),
    b"?k=a": (b"a",),
    b"?k": (b"",),
    b"?%6b=%61": (b"a",),
    b"?k=a+b%26c%3Bd": (b"a b&c;d",),
    b"?k=a&x=1&x=2": (b"a",),
    b"?k=a=b": (b"a=b",),
    b"?k=a&k=b": TWO,
    b"?k=a&k=a": TWO,
    b"?k=a&k": TWO,
    b"?k=a&%6B=b": TWO,
    b"?k=a&x&%6b=a": TWO,
    b"?k=a&K=b": TWO,
    b"?K=b&k=a": TWO,
    b"?K=b": (None,),
    b"?k=a;k=b": TWO,
    b"?k=a;x=b": TWO,  # `a;x=b` here, `a` where a semicolon separates
    b"?x=1;k=b&k=a": TWO,
    b"?k=a&x=1;k=b": TWO,
    b"?k=a&x=1;K=b": TWO,
    b"?x=1;k=b": (None,),
    b"?x=1;k=b;k=c": (None,),
    b"?k=a&x=1;y=2": (b"a",),
    b"?k=a&x%3Bk=b": (b"a",),
    b"?k=a&x%26k=b": (b"a",),
    b"?k=a&k%3D=b": (b"a",),
    b"?k=%2": (b"%2",),
}


@pytest.mark.parametrize(("target", "expected"), QUERIES.items())
def test_parameter_that_comes_twice_is_no_key(target: bytes, expected: object) -> None:
    assert key(QUERY, b"/" + target) == expected


@pytest.mark.parametrize("name", ["a b", "a;b", "a&b", "ä", "a=b", "50%", "A"])
def test_name_of_a_parameter_may_have_any_character(name: str) -> None:
    escaped = b"".join(b"%%%02x" % byte for byte in name.encode())
    assert key(KeyPart(type="query", name=name), b"/?" + escaped + b"=1") == (b"1",)


def test_keys_in_one_and_the_other_case_are_two_names() -> None:
    part_of = {name: KeyPart(type="query", name=name) for name in ("k", "K")}
    values = keys.values_of([(part,) for part in part_of.values()])
    key_of = {name: keys.key_of((part,), values) for name, part in part_of.items()}
    head = make_request(b"/?k=1&K=2")
    assert [read(head, "") for read in key_of.values() if read is not None] == [(b"1",), (b"2",)]


# --- the property: a key is what every reading of the query has ----------------------------------------------------------------

PIECES = (b"k", b"K", b"x", b"%6b", b"=", b"=", b"&", b"&", b";", b"1", b"2", b"+", b"%26", b"%3B", b"%3D")
queries = st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)


def values(query: bytes, separators: bytes, *, folds: bool) -> list[bytes]:
    """All values of `k`, as a peer reads them that separates there, and may ignore case."""
    found = []
    for piece in re.split(separators, query):
        name, mark, value = piece.partition(b"=")
        name, value = (unquote_to_bytes(text.replace(b"+", b" ")) for text in (name, value))
        if (name or mark) and (name.lower() if folds else name) == b"k":
            found.append(value)
    return found


@settings(max_examples=examples(1000))
@given(queries)
def test_key_by_parameter_is_the_same_in_every_reading(query: bytes) -> None:
    result = key(QUERY, b"/?" + query)
    own = values(query, rb"&", folds=False)
    if not own:
        # A value that only others read is absent here: all such requests share one bucket. A name without its value may
        # look as if it came twice.
        assert result in ((None,), TWO)
    elif all(values(query, at, folds=folds) == own[:1] for at in (rb"&", rb"[&;]") for folds in (False, True)):
        assert result == (own[0],)
    else:
        assert result == TWO


# --- spellings of credentials -----------------------------------------------------------------------------------------------

SPELLINGS = [b"Bearer a", b"bearer a", b"BEARER a", b"Bearer  a", b"Bearer\ta", b"bEARER \t a"]


@pytest.mark.parametrize("name", sorted(credentials.FIELDS_WITH_A_SCHEME))
def test_spellings_of_credentials_are_one_key(name: bytes) -> None:
    part = KeyPart(type="header", name=name.decode())
    assert {key(part, fields=((name, value),)) for value in SPELLINGS} == {(b"bearer a",)}


@pytest.mark.parametrize("value", [b"Bearer A", b"Basic a", b"Bearera", b"Bearer", b"", b"Bearer a b", b"a Bearer"])
def test_other_credentials_are_another_key(value: bytes) -> None:
    part = KeyPart(type="header", name="authorization")
    assert key(part, fields=((b"Authorization", value),)) != (b"bearer a",)


@given(st.binary())
def test_canonical_credentials_stay_as_they_are(value: bytes) -> None:
    once = credentials.canonical(b"authorization", value)
    assert credentials.canonical(b"authorization", once) == once
    assert credentials.canonical(b"x-tenant", value) == value
