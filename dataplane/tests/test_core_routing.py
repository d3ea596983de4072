"""Routing: the documented precedence as a table, and against an oracle that tries every rule."""

import re
from urllib.parse import quote

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_oracle import RouteEntry, make_request, select, table_of

from inferway_contract import patterns
from inferway_contract.document import Match, PathMatch, ValueMatch
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.query_parameters import parameters, spellings
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing.table import RoutingTable
from inferway_testing.examples import examples


def match(text: str) -> Match:
    """`[METHOD] path [h:name=value] [q:name=value]`: a path that begins with = is Exact, with ~ a pattern; so are values."""
    method, path, headers, query = None, PathMatch(), [], []
    for word in text.split():
        if word[:2] in ("h:", "q:"):
            name, mark, value = re.split("(=|~)", word[2:], maxsplit=1)
            kind = "Exact" if mark == "=" else "RegularExpression"
            (headers if word[0] == "h" else query).append(ValueMatch(name=name, value=value, type=kind))
        elif word[0] in "=~":
            path = PathMatch(type="Exact" if word[0] == "=" else "RegularExpression", value=word[1:])
        elif word[0] == "/":
            path = PathMatch(value=word)
        else:
            method = word
    return Match(path=path, method=method, headers=tuple(headers), query=tuple(query))


def table(*rules: str) -> RoutingTable[str]:
    """Rules as `host match`; a host of `-` is any. Each is a separate route, the first the oldest."""
    claims = []
    for age, rule in enumerate(rules):
        host, _, text = rule.partition(" ")
        claims.append(RouteEntry("" if host == "-" else host, match(text), age, 0, rule))
    return table_of(claims)


def matched_rule(routes: RoutingTable[str], head: RequestHead) -> str | None:
    selected = routes.select(head)
    return None if isinstance(selected, Problem) else selected.rule


X = ((b"X-A", b"1"),)
PRECEDENCE = {  # the rules, the request -> the index of the matching rule
    "an exact host beats a wildcard": (["*.example =/a", "a.example /"], make_request(b"/a"), 1),
    "a wildcard beats any host": (["- =/a", "*.example /"], make_request(b"/a"), 1),
    "more labels beat fewer": (
        ["*.example =/a", "*.b.example /", "- =/a"], make_request(b"/a", b"a.b.example"), 1,
    ),
    "a wildcard spans labels": (["*.example /"], make_request(b"/", b"a.b.c.example"), 0),
    "a wildcard is not its own domain": (["*.a.example /", "- /"], make_request(b"/"), 1),
    "a wildcard needs its dot": (["*.example /", "- /"], make_request(b"/", b"aexample"), 1),
    "fall through to a wildcard": (["a.example /x", "*.example /", "- /"], make_request(b"/y"), 1),
    "fall through to any host": (["a.example /x", "*.example /x", "- /"], make_request(b"/y"), 2),
    "fall through for a method": (["a.example POST /", "- /"], make_request(b"/"), 1),
    "fall through for a header": (["a.example / h:x-a=1", "- /"], make_request(b"/"), 1),
    "exact beats a pattern": (["- ~/a.*", "- =/a"], make_request(b"/a"), 1),
    "a pattern beats a prefix": (["- /a/b/c/d/e", "- ~/a.*"], make_request(b"/a/b/c/d/e"), 1),
    "a longer pattern beats a shorter": (["- ~/a.*", "- ~/a/b.*"], make_request(b"/a/b"), 1),
    "a longer prefix beats a shorter": (["- /a", "- /a/b", "- /"], make_request(b"/a/b/c"), 1),
    "a path beats a method": (["- GET /a", "- /a/b"], make_request(b"/a/b"), 1),
    "a method beats headers": (["- / h:x-a=1 h:x-b=1", "- GET /"], make_request(b"/", fields=(*X, (b"X-B", b"1"))), 1),
    "headers beat a query": (["- / q:x=1 q:y=1", "- / h:x-a=1"], make_request(b"/?x=1&y=1", fields=X), 1),
    "two headers beat one": (["- / h:x-a=1", "- / h:x-a=1 h:x-b=1"], make_request(b"/", fields=(*X, (b"X-B", b"1"))), 1),
    "two parameters beat one": (["- / q:x=1", "- / q:x=1 q:y=1"], make_request(b"/?x=1&y=1"), 1),
    "the oldest wins": (["- /a", "- /a", "- /a"], make_request(b"/a"), 0),
    "none": (["b.example /", "- /x"], make_request(b"/y"), None),
    "a prefix is whole segments": (["- /a", "- /"], make_request(b"/ab"), 1),
    "a prefix matches itself": (["- /a"], make_request(b"/a"), 0),
    "a prefix matches with a slash": (["- /a"], make_request(b"/a/"), 0),
    "P10 an empty segment counts": (["- /a/b", "- /"], make_request(b"/a//b"), 1),
    "P10 /// has / for a prefix": (["- /"], make_request(b"///a"), 0),
    "exact is exact": (["- =/a", "- /"], make_request(b"/a/"), 1),
    "an escape is decoded once": (["- =/a%b", "- /"], make_request(b"/%61%25b"), 0),
    "an escaped slash is none": (["- =/a%2Fb"], make_request(b"/a%2fb"), None),
    "a pattern matches all": (["- ~/a", "- /"], make_request(b"/ab"), 1),
    "a pattern sees the match path": (["- ~/[ab]+"], make_request(b"/%61%62"), 0),
    "a pattern sees UTF-8": (["- ~/.", "- /"], make_request("/ä".encode().replace(b"\xc3\xa4", b"%C3%A4")), 0),
    "HEAD is not GET": (["- GET /", "- /"], make_request(b"/", method=b"HEAD"), 1),
    "methods have a case": (["- get /", "- /"], make_request(b"/"), 1),
    "a header's name has no case": (["- / h:x-a=1"], make_request(b"/", fields=((b"x-A", b"1"),)), 0),
    "a header's value has": (["- / h:x-a=v", "- /"], make_request(b"/", fields=((b"X-A", b"V"),)), 1),
    "repeated headers are joined": (["- / h:x-a~1,.2"], make_request(b"/", fields=((b"X-A", b"1"), (b"x-a", b"2"))), 0),
    "a header's pattern matches all": (["- / h:x-a~1", "- /"], make_request(b"/", fields=((b"X-A", b"11"),)), 1),
    "a hidden header is seen": (["- / h:x-a=1", "- /"], make_request(b"/", fields=(*X, (b"Connection", b"x-a"))), 0),
    "P7 a host is no header of ours": (["- / h:host=a.example"], make_request(b"/"), 0),
    "an empty parameter": (["- / q:x~.*", "- /"], make_request(b"/?x"), 0),
    "an absent parameter": (["- / q:x~.*", "- /"], make_request(b"/?y"), 1),
    "the first parameter counts": (["- / q:x=1", "- /"], make_request(b"/?x=2&x=1"), 1),
    "a parameter is decoded": (["- / q:a-b=c", "- /"], make_request(b"/?%61-b=%63"), 0),
    "a parameter in UTF-8": (["- / q:x=ä"], make_request(b"/?x=%C3%A4"), 0),
    "a parameter that is no UTF-8": (["- / q:x=1", "- /"], make_request(b"/?x=%ff"), 1),
    "a port is no part of the host": (["a.example /"], make_request(b"/", b"A.example:81"), 0),
    "P6 the authority decides": (["a.example /", "b.example /"], make_request(b"http://b.example/", b"a.example"), 1),
}  # fmt: skip


@pytest.mark.parametrize(("rules", "head", "wins"), PRECEDENCE.values(), ids=PRECEDENCE)
def test_table_follows_the_documented_precedence(rules: list[str], head: RequestHead, wins: int | None) -> None:
    expected = None if wins is None else rules[wins]
    assert matched_rule(table(*rules), head) == expected


def test_first_rule_of_a_route_wins() -> None:
    claims = [RouteEntry("", match("/a"), 0, index, f"rule-{index}") for index in (2, 0, 1)]
    assert matched_rule(table_of(claims), make_request(b"/a")) == "rule-0"


def test_empty_table_matches_no_request() -> None:
    assert table_of([]).select(make_request(b"/")) is problems.NO_ROUTE


def test_host_cache_of_the_table_is_bounded() -> None:
    routes = table("*.example /")
    for number in range(10_000):
        assert matched_rule(routes, make_request(b"/", b"h%d.example" % number)) is not None
    assert len(routes._memo) <= 4096


def test_k3_pattern_cannot_hang_and_invalid_one_is_rejected() -> None:
    routes = table("- ~/(a+)+")
    assert routes.select(make_request(b"/" + b"a" * 5_000 + b"!")) is problems.NO_ROUTE
    with pytest.raises(re2.error):
        patterns.compiled("(")


# --- parameters -------------------------------------------------------------------------------------------------------------

PARAMETERS = {
    "none": (None, {}),
    "empty": (b"", {}),
    "one": (b"a=1", {b"a": b"1"}),
    "the first counts": (b"a=1&a=2", {b"a": b"1"}),
    "without a value": (b"a&b=", {b"a": b"", b"b": b""}),
    "plus and escapes": (b"a+b=c%20d+e", {b"a b": b"c d e"}),
    "an equals sign in the value": (b"a=b=c", {b"a": b"b=c"}),
    "empty members": (b"&&a=1&", {b"a": b"1"}),
    "an empty name": (b"=1", {b"": b"1"}),
    "not ASCII, escaped": (b"%C3%A4=%FF", {b"\xc3\xa4": b"\xff"}),
    "not ASCII, raw": ("ä=ö".encode(), {"ä".encode(): "ö".encode()}),
    "an invalid escape": (b"a=%zz", {b"a": b"%zz"}),
    "an escaped separator": (b"a=1%26b%3D2", {b"a": b"1&b=2"}),
    "a semicolon separates nothing": (b"a=1;b=2", {b"a": b"1;b=2"}),
}


@pytest.mark.parametrize(("query", "expected"), PARAMETERS.values(), ids=PARAMETERS)
def test_query_parameters_are_decoded(query: bytes | None, expected: dict[bytes, bytes]) -> None:
    assert parameters(query, spellings(expected)) == expected


@given(st.dictionaries(st.binary(min_size=1, max_size=5), st.binary(max_size=5), max_size=4))
def test_query_parameters_of_any_bytes_round_trip(pairs: dict[bytes, bytes]) -> None:
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs.items())
    assert parameters(query.encode(), spellings(pairs)) == pairs


# --- the oracle -----------------------------------------------------------------------------------------------------------------

HOSTS = ["", "*.e", "*.b.e", "*.a.b.e", "b.e", "a.b.e", "x.e"]
PATTERNS = ["/a.*", "/[ab]", "/(a|b)/.+", "/.*b"]
path_values = st.lists(st.sampled_from(["a", "b", "", "ab"]), max_size=3).map(lambda parts: "/" + "/".join(parts))
path_matches = st.one_of(
    path_values.map(lambda value: PathMatch(type="Exact", value=value)),
    path_values.map(lambda value: PathMatch(value=value.rstrip("/") or "/")),
    st.sampled_from(PATTERNS).map(lambda value: PathMatch(type="RegularExpression", value=value)),
)


def value_matches(*names: str) -> st.SearchStrategy[tuple[ValueMatch, ...]]:
    one = st.one_of(
        st.builds(ValueMatch, name=st.sampled_from(names), value=st.sampled_from(["1", "2"])),
        st.builds(
            ValueMatch, name=st.sampled_from(names), value=st.just("1|2.*"), type=st.just("RegularExpression")
        ),
    )  # fmt: skip
    return st.lists(one, max_size=2, unique_by=lambda match: match.name).map(tuple)


matches = st.builds(
    Match,
    path=path_matches,
    method=st.sampled_from([None, None, "GET", "PUT"]),
    headers=value_matches("x-a", "x-b"),
    query=value_matches("p", "q"),
)
claims = st.lists(st.tuples(st.sampled_from(HOSTS), matches, st.integers(0, 2)), max_size=12)
requests = st.builds(
    make_request,
    target=st.tuples(path_values, st.sampled_from(["", "?", "?p=1", "?p=2&q=1", "?q=22&p=3"])).map(
        lambda parts: "".join(parts).encode()
    ),
    host=st.sampled_from([b"e", b"x.e", b"b.e", b"a.b.e", b"c.b.e", b"c.a.b.e", b"other"]),
    method=st.sampled_from([b"GET", b"PUT", b"HEAD"]),
    fields=st.lists(
        st.tuples(st.sampled_from([b"X-A", b"x-b"]), st.sampled_from([b"1", b"2", b"22"])),
        max_size=2,
        unique_by=lambda f: f[0],
    ).map(tuple),
)


@settings(max_examples=examples(400))
@given(claims, st.lists(requests, min_size=1, max_size=6))
def test_table_agrees_with_the_oracle(routes: list[tuple[str, Match, int]], heads_: list[RequestHead]) -> None:
    every = [RouteEntry(host, one, age, index, index) for index, (host, one, age) in enumerate(routes)]
    built = table_of(every)
    for head in heads_:
        selected = built.select(head)
        assert (None if isinstance(selected, Problem) else selected.rule) == select(every, head, head.match_path)


@settings(max_examples=examples(60))
@given(claims, st.lists(requests, min_size=1, max_size=6), st.integers(0, 40), st.sampled_from(["/", "/a"]))
def test_table_with_many_entries_of_a_prefix_agrees(
    routes: list[tuple[str, Match, int]], heads_: list[RequestHead], number: int, prefix: str
) -> None:
    """Longer prefixes do not copy the entries of a shorter one that has many."""
    never = [("e", match(f"{prefix} h:x-never={index}"), index % 3) for index in range(number)]
    every = [RouteEntry(host, one, age, index, index) for index, (host, one, age) in enumerate([*never, *routes])]
    built = table_of(every)
    for head in heads_:
        selected = built.select(head)
        assert (None if isinstance(selected, Problem) else selected.rule) == select(every, head, head.match_path)


def test_order_of_thousands_of_entries_is_that_of_few() -> None:
    every = [
        RouteEntry(
            "", match(f"/a h:x-a={index % 7} h:x-b=1" if index % 2 else f"/a h:x-a={index % 5}"), index, 0, index
        )
        for index in range(2000)
    ]
    built = table_of(every)
    for value in range(8):
        for fields in (((b"X-A", b"%d" % value),), ((b"X-A", b"%d" % value), (b"X-B", b"1"))):
            head = make_request(b"/a", fields=fields)
            selected = built.select(head)
            assert (None if isinstance(selected, Problem) else selected.rule) == select(every, head, head.match_path)
