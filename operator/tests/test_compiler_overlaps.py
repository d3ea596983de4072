"""Which matches overlap, where it is reported, and what it costs."""

import time
from typing import Any

import pytest

from inferway_contract.conditions import ConditionType
from inferway_operator import compiler
from inferway_operator.compiler.messages import MESSAGE_CHARACTERS
from inferway_operator.world.world import from_manifests

Manifest = dict[str, Any]
A, WILD = ["a.example"], ["*.example"]


def route(name: str, namespace: str, hostnames: list[str], *matches: Any, day: int = 1) -> Manifest:
    """A route of one rule; a match is a path, or a whole match."""
    written = [match if isinstance(match, dict) else path(match) for match in matches]
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": f"2026-01-{day:02}T00:00:00Z"},
        "spec": {
            "hostnames": hostnames,
            "rules": [
                {"matches": written, "filters": [{"type": "DirectResponse", "directResponse": {"statusCode": 200}}]}
            ],
        },
    }


def path(value: str, kind: str = "", **more: Any) -> dict[str, Any]:
    """A match of a path; by default of a prefix, or exact where the value begins with `=`."""
    written = {"type": kind or ("Exact" if value.startswith("=") else "PathPrefix"), "value": value.removeprefix("=")}
    return {"path": written, **more}


def overlaps(*manifests: Manifest) -> dict[str, str]:
    """The messages of the condition, by route."""
    made = compiler.compile(from_manifests(manifests, standalone=False))
    return {
        verdict.meta.id: item.message
        for verdict in made.verdicts
        for item in verdict.conditions
        if item.type is ConditionType.OVERLAPS
    }


def pattern(value: str) -> dict[str, Any]:
    return path(value, "RegularExpression")


NONE = [
    pytest.param(route("a", "x", A, "/a"), route("b", "y", A, "/b"), id="other paths"),
    pytest.param(route("a", "x", A, "/a"), route("b", "y", A, "/ab"), id="a prefix is of whole segments"),
    pytest.param(route("a", "x", A, "=/a"), route("b", "y", A, "=/a/b"), id="an exact path has none below"),
    pytest.param(route("a", "x", A, "/"), route("b", "x", A, "=/login"), id="one namespace"),
    pytest.param(route("a", "x", A, "/"), route("b", "y", ["b.example"], "=/login"), id="other hosts"),
    pytest.param(route("a", "x", WILD, "/"), route("b", "y", ["example"], "/"), id="not below the wildcard"),
    pytest.param(route("a", "x", [], "/"), route("b", "y", A, "/"), id="no host of its own"),
    pytest.param(route("a", "x", A, "/a"), route("b", "y", A, "/a", day=2), id="the same match is shadowing"),
    pytest.param(route("a", "x", A, "/", "=/a"), route("b", "y", A, "=/a", day=2), id="what is shadowed takes nothing"),
    pytest.param(
        route("a", "x", A, path("/", method="GET")), route("b", "y", A, path("=/a", method="POST")), id="methods"
    ),
    pytest.param(
        route("a", "x", A, path("/", headers=[{"name": "K", "value": "1"}])),
        route("b", "y", A, path("/", headers=[{"name": "k", "value": "2"}])),
        id="headers",
    ),
    pytest.param(
        route("a", "x", A, path("/", queryParams=[{"name": "k", "value": "1"}])),
        route("b", "y", A, path("/", queryParams=[{"name": "k", "value": "2"}])),
        id="query parameters",
    ),
    pytest.param(route("a", "x", A, pattern("/a/.*")), route("b", "y", A, "/b"), id="a pattern that begins otherwise"),
    pytest.param(route("a", "x", A, pattern("/a/.*")), route("b", "y", A, pattern("/b/.*")), id="two patterns"),
]


@pytest.mark.parametrize(("one", "other"), NONE)
def test_routes_that_share_no_request_are_not_reported(one: Manifest, other: Manifest) -> None:
    assert overlaps(one, other) == {}
    assert overlaps(other, one) == {}


BOTH = [
    pytest.param(route("a", "x", A, "/"), route("b", "y", A, "=/login", day=2), "takes", id="a younger exact path"),
    pytest.param(route("a", "x", A, "/"), route("b", "y", A, "/login"), "takes", id="an older prefix"),
    pytest.param(route("a", "x", WILD, "/api"), route("b", "y", A, "/"), "takes", id="below a wildcard"),
    pytest.param(route("a", "x", A, "/"), route("b", "y", A, pattern("/l.*")), "may take", id="a pattern"),
    pytest.param(route("a", "x", A, "/"), route("b", "y", A, pattern("(?i)/L.*")), "may take", id="without case"),
    pytest.param(route("a", "x", A, "/"), route("b", "y", A, pattern("/l(")), "may take", id="a broken pattern"),
    pytest.param(route("a", "x", A, "/"), route("b", "y", A, path("/", method="GET")), "may take", id="a method"),
    pytest.param(
        route("a", "x", A, path("/", headers=[{"name": "k", "value": "1"}]), day=2),
        route("b", "y", A, path("/", headers=[{"name": "j", "value": "1"}])),
        "may take",
        id="the older of two with other headers",
    ),
    pytest.param(
        route("a", "x", A, "/" + "/".join("abcdefghijklmnopqrst")),
        route("b", "y", A, "=/" + "/".join("abcdefghijklmnopqrstu")),
        "takes",
        id="a long path",
    ),
]


@pytest.mark.parametrize(("other", "taker", "verb"), BOTH)
def test_route_that_takes_requests_is_reported_to_both(other: Manifest, taker: Manifest, verb: str) -> None:
    for manifests in ((other, taker), (taker, other)):
        messages = overlaps(*manifests)
        assert set(messages) == {"x/a", "y/b"}
        assert f" {verb} requests of x/a rule rule-0: " in messages["y/b"]
        assert (
            f" {verb.replace('takes', 'loses').replace('take', 'lose')} requests to y/b rule rule-0: "
            in messages["x/a"]
        )


def test_each_direction_has_its_own_place() -> None:
    """A harmless overlap must not hide another one."""
    messages = overlaps(route("a", "x", A, "/", "=/b/c"), route("b", "y", A, "/b", day=2))
    assert messages["x/a"].count("y/b") == 2
    assert "loses requests to y/b" in messages["x/a"]
    assert "takes requests of y/b" in messages["x/a"]


def test_routes_in_a_chain_of_hostnames_meet_their_neighbours() -> None:
    hosts = [f"h{number}.example" for number in range(9)]
    links = [0, 4, 2, 6, 1, 5, 7, 3]  # by age: parts of the chain are joined later
    chain = [
        route(f"r{n}", "xy"[n % 2], [hosts[n], hosts[n + 1]], ("/", "/y")[n % 2], day=1 + day)
        for day, n in enumerate(links)
    ]
    messages = overlaps(*chain)
    assert set(messages) == {f"{'xy'[n % 2]}/r{n}" for n in range(8)}
    for number in range(8):
        neighbours = {n for n in range(8) if f"/r{n} rule" in messages[f"{'xy'[number % 2]}/r{number}"]}
        assert neighbours == {number - 1, number + 1} & set(range(8))


def test_list_of_overlaps_is_bounded_and_begins_with_the_oldest() -> None:
    takers = [route(f"t{number:03}", "y", A, f"=/{number}", day=2 + number // 10) for number in range(200)]
    messages = overlaps(route("a", "x", A, "/"), *takers)
    assert len(messages) == 201
    assert len(messages["x/a"]) <= MESSAGE_CHARACTERS + 50
    assert "y/t000" in messages["x/a"]
    assert "more" in messages["x/a"]
    assert overlaps(*reversed(takers), route("a", "x", A, "/")) == messages


def _hosts(number: int) -> list[str]:
    return [f"h{number}.a.example"]


DEEP = "/" + "/".join("d" * 100)
MANY = [
    pytest.param(
        lambda number: route(f"r{number}", f"n{number}", A, *(path(f"/{number}/{match}") for match in range(8))),
        id="one host, many namespaces",
    ),
    pytest.param(
        lambda number: route(
            f"r{number}",
            f"n{number % 2}",
            A,
            *(path("/", headers=[{"name": "k", "value": f"{number}-{match}"}]) for match in range(8)),
        ),
        id="one path, headers that exclude each other",
    ),
    pytest.param(
        lambda number: route(f"r{number}", f"n{number % 2}", A, *(path(f"{DEEP}/{number}/{match}") for match in range(8))),
        id="deep paths",
    ),
    pytest.param(
        lambda number: route(
            f"r{number}", f"n{number % 3}", _hosts(number) if number % 2 else ["*.a.example"],
            *(path(f"/{match}") for match in range(8)),
        ),
        id="wildcards and hosts below",
    ),
]  # fmt: skip


@pytest.mark.parametrize("make", MANY)
def test_cost_of_overlaps_grows_with_the_number_of_matches(make: Any) -> None:
    """Four times the routes take about four times as long: quadratic would be sixteen."""
    from inferway_operator.compiler import hostnames, matches, overlaps, rules
    from inferway_operator.compiler.draft import Draft

    def seconds(routes: int) -> float:
        world = from_manifests([make(number) for number in range(routes)], standalone=False)
        best = float("inf")
        for _ in range(3):
            draft = Draft.of(world)
            for compile_part in (hostnames.check, rules.check_names, matches.normalise):
                compile_part(draft)
            began = time.thread_time()
            overlaps.find(draft)
            best = min(best, time.thread_time() - began)
        return best

    assert seconds(400) < 9 * seconds(100) + 0.02


def test_certain_overlap_is_named_before_one_that_may_be() -> None:
    """A pattern that hardly takes anything must not hide an exact path."""
    messages = overlaps(route("a", "x", A, "/"), route("b", "y", A, pattern("/.*z"), "=/login", day=2))
    assert "Exact '/login' on a.example takes requests of x/a" in messages["y/b"]
    assert "loses requests to y/b rule rule-0: Exact '/login'" in messages["x/a"]


def test_comparisons_of_a_large_namespace_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an own bound each match would meet 32 others in its host and below each wildcard; a small one keeps all."""
    from inferway_operator.compiler import overlaps as unit

    compared: list[str] = []

    def count(one: Any, other: Any) -> bool:
        compared.append(one.namespace)
        return meet(one, other)

    meet = unit.meet
    monkeypatch.setattr(unit, "meet", count)
    monkeypatch.setattr(unit, "_MOST_TOGETHER", 3_000)
    wild = [path("/", headers=[{"name": "k", "value": str(number)}]) for number in range(16)]
    above = [route(f"w{n}", "y", ["*.example", "*.a.example", "*.b.a.example"], *wild[n::2]) for n in range(2)]
    large = [route(f"r{n}", "x", ["c.b.a.example"], *(path(f"=/{n}/{m}") for m in range(16))) for n in range(40)]
    messages = overlaps(*above, *large, route("small", "z", ["c.b.a.example"], "/"))
    assert compared.count("x") <= 4 * 640
    assert len(compared) < 3_000 + 4 * 640
    assert "x/r0" in messages
    assert "requests of y/w0" in messages["z/small"]
