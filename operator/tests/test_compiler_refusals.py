"""Refused routes: what they take of the document is bounded, and others lose nothing by them."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_contract import protection
from inferway_contract.canonical import canonical
from inferway_contract.document import Match, PathMatch, Route
from inferway_operator import compiler
from inferway_operator.compiler import Compilation
from inferway_operator.world.bounds import Bounds, Usage
from inferway_operator.world.world import Settings, from_manifests
from inferway_testing.examples import examples

Manifest = dict[str, Any]
ANSWER = [{"type": "DirectResponse", "directResponse": {"statusCode": 200}}]
LARGE = Usage(*[1 << 30] * len(Usage._fields))


def route(name: str, namespace: str, matches: list[Any], hostnames: list[str]) -> Manifest:
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"hostnames": hostnames, "rules": [{"matches": matches, "filters": ANSWER}]},
    }


def compiled(manifests: list[Manifest], bounds: Bounds) -> Compilation:
    found = from_manifests(manifests, standalone=False)
    return compiler.compile(type(found)(Settings(bounds=bounds), found.routes, found.policies))


def path(value: str, kind: str = "PathPrefix") -> Manifest:
    return {"path": {"type": kind, "value": value}}


def of(made: Compilation, namespace: str) -> list[Route]:
    return [item for item in made.config.routes if item.id.startswith(f"{namespace}/")]


def bytes_of(routes: list[Route]) -> int:
    return sum(len(canonical(item)) for item in routes)


def long_conditions(number: int) -> list[Any]:
    headers = [{"name": f"x-{name}", "value": "v" * 4000} for name in range(4)]
    return [{**path(f"/{number}/{one}"), "headers": headers} for one in range(16)]


def test_refused_routes_with_long_conditions_are_small() -> None:
    """64 routes of 258 KB were 16.5 MB of the document, of which 4 MiB are the bound."""
    manifests = [route(f"r{number}", "evil", long_conditions(number), ["evil.example"]) for number in range(20)]
    made = compiled(manifests, Bounds(namespace=LARGE._replace(bytes=1 << 20)))
    refused = [item for item in of(made, "evil") if item.rules[0].refusal]
    assert len(refused) == 16
    assert bytes_of(refused) < 16 * 4096


def test_refused_patterns_need_no_program() -> None:
    """6,400 patterns of refused routes took 3.9 million instructions in each pod."""
    matches = [path(f"/{one}/" + "x" * 240 + "[a-z]{1,60}", "RegularExpression") for one in range(16)]
    cased = [path("(?i)/Api/[a-z]{60}", "RegularExpression")]
    manifests = [route("r0", "evil", matches, []), route("r1", "evil", cased, [])]
    made = compiled(manifests, Bounds(route_patterns=10))
    found = [match.path.value for item in made.config.routes for match in item.rules[0].matches]
    assert found
    assert all(protection.literal_of(value) is not None for value in found)


MATCHES = st.lists(
    st.builds(path, st.sampled_from(["/", "/a", "/a/b", "/a/" + "x" * 900, "/b/%2e", "/é"]), st.just("PathPrefix"))
    | st.builds(path, st.sampled_from(["/a/[0-9]+", "(?i)/k", "/(", "/" + "y" * 900]), st.just("RegularExpression"))
    | st.builds(
        lambda value, size: {**path(value), "headers": [{"name": "x-a", "value": "v" * size}]},
        st.sampled_from(["/", "/c"]),
        st.sampled_from([1, 900, 4000]),
    ),
    min_size=1,
    max_size=24,
)
HOSTNAMES = st.lists(st.sampled_from([f"h{number}.example" for number in range(40)]), max_size=16, unique=True)


@given(st.lists(st.tuples(st.sampled_from("xyz"), MATCHES, HOSTNAMES), max_size=40), st.sampled_from([4, 16]))
@settings(max_examples=examples(60), deadline=None)
def test_refusals_take_no_more_than_their_bounds(written: list[Any], kib: int) -> None:
    manifests = [route(f"r{number}", *item) for number, item in enumerate(written)]
    bounds = Bounds(namespace=LARGE._replace(bytes=1), namespace_refusals=kib << 10, total_refusals=24 << 10)
    made = compiled(manifests, bounds)
    assert all(item.rules[0].refusal for item in made.config.routes)
    for namespace in "xyz":
        assert bytes_of(of(made, namespace)) <= kib << 10
    assert bytes_of(list(made.config.routes)) <= 24 << 10


@given(
    st.lists(st.tuples(st.just("x"), MATCHES, HOSTNAMES), max_size=30),
    st.lists(st.tuples(st.sampled_from("yz"), MATCHES, st.just(["other.example"])), max_size=3),
)
@settings(max_examples=examples(60), deadline=None)
def test_excess_changes_no_part_of_other_namespaces(hostile: list[Any], others: list[Any]) -> None:
    bounds = Bounds(namespace=LARGE._replace(matches=60), namespace_refusals=8 << 10)
    own = [route(f"o{number}", *item) for number, item in enumerate(others)]
    evil = [route(f"e{number}", *item) for number, item in enumerate(hostile)]
    alone, together = compiled(own, bounds), compiled([*evil, *own], bounds)
    assert [item for item in together.config.routes if not item.id.startswith("x/")] == list(alone.config.routes)


def test_merged_refusals_cover_each_hostname_once() -> None:
    manifests = [
        route(f"r{number:03}", "x", [path(f"/a/{number}")], [f"h{number % 5}.example"]) for number in range(90)
    ]
    made = compiled(manifests, Bounds(namespace=LARGE._replace(bytes=1), namespace_refusals=24 << 10))
    merged = [item for item in made.config.routes if item.rules[0].matches[0].path.value == r"\/a\/\C*"]
    assert sorted(name for item in merged for name in item.hostnames) == [f"h{number}.example" for number in range(5)]


@pytest.mark.parametrize(("other", "place"), [("b.example", None), ("a.example", "PathPrefix")])
def test_common_path_spares_others_of_a_shared_hostname(other: str, place: str | None) -> None:
    many = route("many", "x", [path(f"/{number}") for number in range(20)], ["a.example"])
    made = compiled([many, route("own", "y", [path("/shop")], [other])], Bounds(namespace=LARGE._replace(matches=10)))
    (match,) = of(made, "x")[0].rules[0].matches
    assert match == Match(path=PathMatch(type="RegularExpression", value=r"\/\C*"), precedence=match.precedence)
    assert (match.precedence and match.precedence.path_type) == place
