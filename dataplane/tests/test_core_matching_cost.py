"""What patterns cost one request: bounded whatever a tenant writes and sends, and never noticed with usual patterns."""

from collections.abc import Iterable
from itertools import count
from time import thread_time

import pytest
from routing_oracle import make_request

from inferway_contract import patterns
from inferway_contract.document import Match, PathMatch, ValueMatch
from inferway_contract.pattern_bounds import DEFAULT
from inferway_dataplane.core.messages import problems
from inferway_dataplane.core.messages.problems import Problem
from inferway_dataplane.core.messages.request_head import RequestHead
from inferway_dataplane.core.routing import evaluation, table
from inferway_dataplane.core.routing.compiled_match import CompiledMatch
from inferway_dataplane.core.routing.evaluation import Evaluation, Program, TooCostly
from inferway_dataplane.core.routing.pattern_programs import LiteralBeginning, PatternPrograms
from inferway_dataplane.core.routing.table import RoutingTable
from inferway_dataplane.core.steps import completed

LONGEST = 0.050
"""Seconds of CPU time of a lookup: twice the expected ones."""
BROADER = Match()
"""A match of all requests, which has the rule 0."""


PROGRAMS = PatternPrograms({})


def table_of(matches: Iterable[Match]) -> RoutingTable[int]:
    """Rules from 1 on, and the broader rule."""
    entries = [CompiledMatch(match, rule, compiled=PROGRAMS.compiled) for rule, match in enumerate(matches, 1)]
    return completed(table.building([(("a.example",), (*entries, CompiledMatch(BROADER, 0)))]))


def by_path(pattern: str) -> Match:
    return Match(path=PathMatch(type="RegularExpression", value=pattern))


def by_header(pattern: str) -> Match:
    return Match(headers=(ValueMatch(name="x", type="RegularExpression", value=pattern),))


def by_query(pattern: str) -> Match:
    return Match(query=(ValueMatch(name="q", type="RegularExpression", value=pattern),))


def as_many_as_allowed(shape: str) -> list[str]:
    """Patterns of this shape, all different, up to the bound of a namespace. `#`: its number."""
    written, total = [], 0
    for number in count():
        pattern = shape.replace("#", str(number))
        total += patterns.size(pattern)
        if total > DEFAULT.namespace:
            return written
        assert patterns.is_readable(pattern)
        written.append(pattern)
    raise AssertionError


def selected(routing: RoutingTable[int], head: RequestHead) -> tuple[int | str, float]:
    """The rule or the problem's code, and the CPU time."""
    began = thread_time()
    result = routing.select(head)
    took = thread_time() - began
    return (result.code if isinstance(result, Problem) else result.rule), took


def test_shapes_of_steps_cost_what_the_constant_states() -> None:
    program = Program(patterns.compiled("(?:[ab]?[ab]*){100}x"))
    text = b"ab" * (evaluation.MOST_STEPS // program.size // 2)
    began = thread_time()
    assert program.fullmatch(text) is None
    assert thread_time() - began < LONGEST


LONG = b"/" + b"ab" * 4000
SHAPES = {
    "nullable": "(?:[ab]?[ab]*){100}x#",
    "groups": "(?:(a|b)*?){100}x#",
    "alternatives": "(?:(?:a|b|ab|ba|aa|bb)*){100}x#",
    "counted": ".*a.{100}#",
    "large": ".*a.{400}#",
    "classes": r".*[ab](?:\pL?){2}#",
    "short": "#",
    "usual": "/v1/#/[a-z]+",
}
REQUESTS = {
    "path": (by_path, make_request(LONG)),
    "readings of a path": (by_path, make_request(b"/" + b"%2Fab;x" * 500)),
    "header": (by_header, make_request(b"/", fields=((b"X", b"ab" * 16_000),))),
    "short header": (by_header, make_request(b"/", fields=((b"X", b"ab" * 30),))),
    "query": (by_query, make_request(b"/?q=" + b"ab" * 4000)),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_costliest_namespace_keeps_a_lookup_short(shape: str) -> None:
    allowed = as_many_as_allowed(shape)
    for place, (matching, head) in REQUESTS.items():
        answer, took = selected(table_of(map(matching, allowed)), head)
        assert took < LONGEST, place
        assert answer in ("matching_too_costly", "ambiguous_path") or place == "short header", place


def test_same_pattern_in_many_matches_keeps_a_lookup_short() -> None:
    pattern = ValueMatch(name="x", type="RegularExpression", value="[a-z]+")
    never = CompiledMatch(Match(headers=(pattern, ValueMatch(name="y", value="1"))), 1)
    routing = completed(
        table.building([(("a.example",), (never,) * 200_000), (("a.example",), (CompiledMatch(BROADER, 0),))])
    )
    head = make_request(b"/", fields=((b"X", b"ab"), (b"Y", b"no")))
    answer, took = selected(routing, head)
    assert answer == "matching_too_costly"
    assert took < LONGEST


@pytest.mark.parametrize("place", ["path", "header", "query"])
def test_costly_request_never_gets_the_broader_rule(place: str) -> None:
    matching, head = REQUESTS[place]
    routing = table_of(matching(f"(?:[ab]?[ab]*){{100}}x{number}") for number in range(10))
    assert routing.select(head) is problems.MATCHING_TOO_COSTLY
    short = make_request(b"/ab?q=ab", fields=((b"X", b"ab"),))
    assert selected(routing, short)[0] == 0


def test_costly_preflight_never_gets_the_broader_rule() -> None:
    routing = table_of(by_query(f"(?:[ab]?[ab]*){{100}}x{number}") for number in range(10))
    fields = ((b"Origin", b"https://a.example"), (b"Access-Control-Request-Method", b"GET"))
    head = make_request(b"/?q=" + b"ab" * 4000, method=b"OPTIONS", fields=fields)
    assert routing.select(head) is problems.MATCHING_TOO_COSTLY


USUAL = [
    "/v[0-9]+/[a-z]+/.*",
    "/(?:api|rest)/v[0-9]+/(?:users|orders|items)(?:/.*)?",
    r"/[^/]+/models/[A-Za-z0-9._-]+:(?:generate|predict)/?.*",
    r"/.*\.(?:png|jpe?g|gif|svg|css|js|woff2?)",
    "/[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}/.*",
]


@pytest.mark.parametrize("pattern", USUAL)
def test_usual_pattern_is_tried_with_a_path_of_8_kib(pattern: str) -> None:
    path = b"/" + b"x" * 8100
    assert selected(table_of([by_path(pattern)]), make_request(path))[0] == 0
    assert selected(table_of([by_path(pattern), by_path("/x+")]), make_request(path))[0] == 2


def test_usual_patterns_together_are_tried_with_a_path_of_8_kib() -> None:
    assert selected(table_of(map(by_path, USUAL)), make_request(b"/" + b"x" * 8100))[0] == 0


def test_thousand_usual_patterns_are_tried_with_short_paths() -> None:
    routing = table_of(by_path(f"/v1/team-{number}/[a-z]+") for number in range(1000))
    assert selected(routing, make_request(b"/v1/team-999/" + b"x" * 87))[0] == 1000


@pytest.mark.parametrize(("many", "length", "too_many"), [(48, 8192, 49), (2001, 100, 3000)])
def test_documented_numbers_of_patterns_are_tried(many: int, length: int, too_many: int) -> None:
    program = PROGRAMS.compiled("/v1/[0-9]+")
    assert program.size == 10
    values = [b"/v1/" + str(number).zfill(length - 4).encode() for number in range(too_many)]
    of_request = Evaluation()
    assert all(of_request.is_match(program, value) for value in values[:many])
    with pytest.raises(TooCostly):
        list(map(of_request.is_match, [program] * too_many, values[many:]))


def test_patterns_behind_the_match_cost_nothing() -> None:
    costly = (f"/.*(?:[ab]?[ab]*){{100}}x{number}" for number in range(10))
    routing = table_of([Match(path=PathMatch(type="Exact", value=LONG.decode())), *map(by_path, costly)])
    assert selected(routing, make_request(LONG))[0] == 1


def test_pattern_is_tried_once_with_each_value_of_a_request() -> None:
    program = Program(patterns.compiled("a+"))
    tried: list[bytes] = []
    match = program.fullmatch

    def count_tried(value: bytes) -> object:
        tried.append(value)
        return match(value)

    program.fullmatch = count_tried
    of_request = Evaluation()
    answers = [of_request.is_match(program, value) for value in (b"a", b"b", b"a", b"b", b"a")]
    assert answers == [True, False, True, False, True]
    assert tried == [b"a", b"b"]


def test_literal_beginnings_cost_less_than_patterns() -> None:
    literal = Program(LiteralBeginning(b"/a"))
    values = [str(number).encode() for number in range(evaluation.MOST_STEPS // evaluation.KNOWN_STEPS + 1)]
    of_request = Evaluation()
    assert of_request.is_match(literal, b"/ab")
    assert not any(of_request.is_match(literal, value) for value in values[:-2])
    with pytest.raises(TooCostly):
        list(map(of_request.is_match, [literal] * 2, values[-2:]))


def test_budget_is_of_one_request() -> None:
    program = Program(patterns.compiled("[ab]{200}.*"))
    values = [b"a" * length for length in range(8000, 8010)]
    of_request = Evaluation()
    with pytest.raises(TooCostly):
        list(map(of_request.is_match, [program] * len(values), values))
    assert Evaluation().is_match(program, values[0])
