"""Paths that an upstream may read in another way: refused where another reading selects another rule."""

import itertools
from typing import Any

import pytest
import routing_oracle
from hypothesis import example, given, settings
from hypothesis import strategies as st
from routing_oracle import RouteEntry, table_of

from inferway_contract import paths
from inferway_contract.document import Match, PathMatch, ValueMatch
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing import path_readings
from inferway_dataplane.core.routing.table import RoutingTable
from inferway_testing.examples import examples

ADMIN, PUBLIC, REST = PathMatch(value="/admin"), PathMatch(value="/public"), PathMatch()
CHAT = PathMatch(type="Exact", value="/v1/chat")
MODEL = PathMatch(type="RegularExpression", value="/m/[^/]+/run")


def table(*paths: PathMatch, **conditions: Any) -> RoutingTable[int]:
    """One rule for each path. `conditions`: of the first."""
    first, *others = [Match(path=path) for path in paths]
    matches = [first.model_copy(update=conditions), *others]
    return table_of([RouteEntry("", match, age, 0, age) for age, match in enumerate(matches)])


def answer(routes: RoutingTable[int], target: bytes, **request: Any) -> int | str:
    """The selected rule, or the code of the problem."""
    head = routing_oracle.attempt(target, **request)
    selected = head if isinstance(head, Problem) else routes.select(head)
    return selected.code if isinstance(selected, Problem) else selected.rule


ROUTES = (ADMIN, PUBLIC, CHAT, MODEL, REST)
AMBIGUOUS = [
    b"/admin%2Fkeys",
    b"/admin%2fkeys",
    b"/%2Fadmin",
    b"/x/..%2Fadmin",
    b"/x%2F..%2Fadmin",
    b"/x%2F%2e%2e%2Fadmin",
    b"/admin%5Ckeys",
    b"/admin%5ckeys",
    b"/x%5C..%5Cadmin",
    b"/v1%2Fchat",
    b"/v1/chat;x=1",
    b"/v1/chat;",
    b"/v1;a/chat;b",
    b"/admin;x=1/keys",
    b"/admin;/keys",
    b"/admin%3Bx/keys",
    b"/public/..;/admin",
    b"/public/..;x=1/admin",
    b"/public/%2e%2e;/admin",
    b"/public/.%2E;/admin",
    b"/public/.;/..;/admin",
    b"/public;/..;a/admin;b",
    b"/;/admin",
    b"/.;/admin",
    b"/x;a%2F..%2F..%2Fadmin",
    b"/public/x%3B/../admin%2F",
    b"/public%2Fx",
    b"/admin%2Fa%252Fb",
    b"/m%2Fllama/run",
    b"/m/a%2Fb/run",  # the pattern's rule as it stands, another one with a slash
    b"/m/%FF/run",  # a pattern matches characters, and an upstream may make one of what is none
    b"/m/%C3/run",
    b"/m/a%5Cb%2Frun",  # the pattern's rule where a backslash separates nothing
]
UNAMBIGUOUS = {
    b"/v1/models/meta-llama%2FLlama-3": 4,
    b"/v1/models/meta-llama%2fLlama-3%2f8b": 4,
    b"/admin/a%2Fb": 0,
    b"/admin/a;b=1": 0,
    b"/admin/x/..;/y": 0,
    b"/admin/a%5Cb": 0,
    b"/x;y=1/z": 4,
    b"/x%3By": 4,
    b"/https:%2F%2Fa.example%2Fb": 4,
    b"/m/a;v=1/run": 3,
    b"/m/a%5Cb": 4,
    b"/public/..;/public/x": 1,
    b"/%61dmin/keys": 0,
    b"/m/%C3%A9/run": 3,
    b"/admin/%FF": 0,
    b"/m/%FF": 4,
    b"//admin": 4,  # empty segments are significant, and nothing is escaped
    b"/admin%252Fkeys": 4,  # a percent sign to an upstream that decodes once
    b"/admin%255Ckeys": 4,
    b"/x%252F..%252Fadmin": 4,
}


@pytest.mark.parametrize("target", AMBIGUOUS)
def test_path_with_readings_of_several_rules_is_refused(target: bytes) -> None:
    assert answer(table(*ROUTES), target) == "ambiguous_path"


@pytest.mark.parametrize(("target", "rule"), UNAMBIGUOUS.items())
def test_path_with_readings_of_one_rule_passes(target: bytes, rule: int) -> None:
    assert answer(table(*ROUTES), target) == rule


def test_no_rule_counts_as_another_rule() -> None:
    assert answer(table(ADMIN), b"/admin%2Fkeys") == "ambiguous_path"  # none as it stands
    assert answer(table(PathMatch(type="Exact", value="/a%2Fb")), b"/a%2Fb") == "ambiguous_path"  # none when decoded
    assert answer(table(ADMIN), b"/x%2Fkeys") == "no_route"


def test_two_matches_of_one_rule_are_not_two_rules() -> None:
    both = [Match(path=PathMatch(type="Exact", value=value)) for value in ("/a%2Fb", "/a/b")]
    routes = table_of([RouteEntry("", match, 0, 0, 7) for match in both])
    assert answer(routes, b"/a%2Fb") == 7


def test_only_a_rule_that_takes_the_request_is_another() -> None:
    target = b"/admin%2Fkeys"
    assert answer(table(ADMIN, REST, method="PUT"), target) == 1
    assert answer(table(ADMIN, REST, method="PUT"), target, method=b"PUT") == "ambiguous_path"
    header = (ValueMatch(name="x-a", value="1"),)
    assert answer(table(ADMIN, REST, headers=header), target) == 1
    assert answer(table(ADMIN, REST, headers=header), target, fields=((b"X-A", b"1"),)) == "ambiguous_path"
    query = (ValueMatch(name="q", value="1"),)
    assert answer(table(ADMIN, REST, query=query), target) == 1
    assert answer(table(ADMIN, REST, query=query), target + b"?q=1") == "ambiguous_path"
    assert answer(table(REST), target) == 0


def test_only_the_rules_of_a_host_count() -> None:
    routes = table_of([RouteEntry("a.example", Match(path=ADMIN), 0, 0, 0), RouteEntry("", Match(path=REST), 1, 0, 1)])
    assert answer(routes, b"/admin%2Fkeys", host=b"a.example") == "ambiguous_path"
    assert answer(routes, b"/admin%2Fkeys", host=b"b.example") == 1


@pytest.mark.parametrize("target", [b"/x" + b"/..;" * 17, b"/x;%2F%5C..%2Fy;%2F%5C.;//%2F.", b"/..;" * 2000])
def test_path_with_too_many_readings_is_refused(target: bytes) -> None:
    assert answer(table(ADMIN, REST), target) == "ambiguous_path"
    assert answer(table(REST), target) == 0  # all readings select the only rule


# --- the property -----------------------------------------------------------------------------------------------------------

PIECES = (
    b"/", b"/", b"/", b"a", b"b", b"%2F", b"%2f", b"%5C", b";", b"%3B", b";a", b"..", b".", b"/..;", b"%2e", b"%252F",
    b"%FF",
)  # fmt: skip
targets = st.lists(st.sampled_from(PIECES), max_size=9).map(lambda pieces: b"/" + b"".join(pieces))
segments = st.lists(st.sampled_from(["a", "b", "", "ab", "a%2Fb", "a;a"]), max_size=3)
path_matches = st.one_of(
    segments.map(lambda parts: PathMatch(type="Exact", value="/" + "/".join(parts))),
    segments.map(lambda parts: PathMatch(value=("/" + "/".join(parts)).rstrip("/") or "/")),
    st.sampled_from(["/a.*", "/[^/]+", "/[^/]+/b", ".*;.*"]).map(
        lambda value: PathMatch(type="RegularExpression", value=value)
    ),
)
matches = st.builds(Match, path=path_matches, method=st.sampled_from([None, None, None, "PUT"]))
# Rules have one or several matches.
rules = st.lists(st.tuples(st.sampled_from(["", "a.example", "*.example"]), matches, st.integers(0, 3)), max_size=6)


def cut(path: bytes) -> bytes:
    return b"/".join(segment.split(b";")[0] for segment in path.split(b"/"))


def slashed(path: bytes) -> bytes:
    return path.replace(b"%2F", b"/")


def all_slashed(path: bytes) -> bytes:
    return slashed(path).replace(b"%5C", b"/")


def without_dots(path: bytes) -> bytes:
    """The algorithm of RFC 3986 5.2.4, by its steps."""
    rest, out = path, b""
    while rest:
        if rest.startswith(b"/./"):
            rest = rest[2:]
        elif rest == b"/.":
            rest = b"/"
        elif rest.startswith(b"/../"):
            rest, out = rest[3:], out[: max(out.rfind(b"/"), 0)]
        elif rest == b"/..":
            rest, out = b"/", out[: max(out.rfind(b"/"), 0)]
        else:
            end = rest.find(b"/", 1)
            end = len(rest) if end < 0 else end
            out, rest = out + rest[:end], rest[end:]
    return out


def without_empty_segments(path: bytes) -> bytes:
    parts = path.split(b"/")[1:]
    kept = [part for part in parts[:-1] if part]
    return b"/" + b"/".join([*kept, parts[-1]])


def readings(raw: bytes) -> set[bytes]:
    """All readings of a path, by their definition. What is escaped twice is text."""
    literal = paths.decoded(raw.replace(b"%25", b"\x00"))
    path = literal.decode(errors="replace").encode()
    steps = [(slashed,), (all_slashed,), (cut,), (slashed, cut), (all_slashed, cut), (cut, slashed), (cut, all_slashed)]
    found = {path}
    for functions, merges in itertools.product(steps, (False, True)):
        form = path
        for function in functions:
            form = function(form)
        if form == path:
            continue  # nothing in it has another reading: empty segments alone are significant
        if not merges:
            found.add(form)
        found.add(without_dots(without_empty_segments(form) if merges else form))
    return {form.replace(b"\x00", b"%") for form in found - {literal}}


@settings(max_examples=examples(1000))
@given(rules, targets, st.sampled_from([b"GET", b"PUT"]))
@example([("", Match(path=ADMIN), 0), ("", Match(), 1)], b"/a%2F../admin%2F", b"GET")
def test_other_reading_with_another_rule_is_refused(
    rows: list[tuple[str, Match, int]], target: bytes, method: bytes
) -> None:
    entries = [RouteEntry(host, match, age, rule, rule) for age, (host, match, rule) in enumerate(rows)]
    head = routing_oracle.attempt(target, method=method)
    if not isinstance(head, RequestHead):
        assert head is problems.AMBIGUOUS_PATH
        return
    path = head.match_path
    literal = routing_oracle.select(entries, head, path)
    others = readings(head.path)
    is_ambiguous = any(routing_oracle.select(entries, head, other) != literal for other in others)
    if len(others) > path_readings.MOST_READINGS and any(match.path != PathMatch() for _, match, _ in rows):
        is_ambiguous = True
    selected = table_of(entries).select(head)
    if is_ambiguous:
        assert selected is problems.AMBIGUOUS_PATH
    else:
        assert (None if isinstance(selected, Problem) else selected.rule) == literal
        assert not isinstance(selected, Problem) or selected is problems.NO_ROUTE


@given(targets)
def test_readings_are_those_of_the_definition(raw: bytes) -> None:
    head = routing_oracle.attempt(raw)
    if isinstance(head, Problem):
        return
    found, expected = path_readings.readings(head.match_path, raw), readings(raw)
    if len(expected) > path_readings.MOST_READINGS:
        assert found is None
    else:
        assert found is not None
        assert set(found) == expected
        assert len(found) == len(expected)


@pytest.mark.parametrize("target", [b"/", b"/v1/chat", b"/a%20b", b"/%41", b"//", b"/a,b=c"])
def test_ordinary_path_has_one_reading(target: bytes) -> None:
    assert not path_readings.may_differ(routing_oracle.make_request(target).match_path)
