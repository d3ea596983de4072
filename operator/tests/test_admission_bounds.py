"""The costliest candidates are answered soon, with the bound as the reason, without being read or compiled as a whole."""

from collections.abc import Callable
from dataclasses import replace
from time import process_time
from typing import Any

import pytest
from admission_reviews import ANSWER, answering, policy, review, route

from inferway_contract import patterns
from inferway_operator.admission import bounds
from inferway_operator.admission import review as admission_review
from inferway_operator.world.objects import RouteObject
from inferway_operator.world.world import World

Manifest = dict[str, Any]

RULES, MATCHES, HOSTS = 64, 16, 16
"""The most that the schema allows."""
MOST_SECONDS = 1.0
"""Of CPU time."""


def of_matches(match: Callable[[int], Manifest], rules: int = RULES, matches: int = MATCHES, **spec: Any) -> Manifest:
    return route(
        "costly",
        *(
            {"matches": [match(rule * matches + n) for n in range(matches)], "filters": [ANSWER]}
            for rule in range(rules)
        ),
        **spec,
    )


def pattern(text: str) -> Callable[[int], Manifest]:
    return lambda number: {"path": {"type": "RegularExpression", "value": text.replace("#", str(number))}}


HOSTNAMES = [f"h{number}.example" for number in range(HOSTS)]
LARGE_PATTERN = r"/#(?:\pL[a-z0-9]{1,50}){1,2}"
DENIED = {
    "too many rules": (route("a", *[answering("/a")] * (RULES + 1)), "spec.rules: may have at most 64, not 65"),
    "empty rules": (route("a", *[{}] * 50_000), "spec.rules: may have at most 64, not 50000"),
    "too many matches": (
        of_matches(lambda n: {"path": {"value": f"/{n}"}}, 1, 2_000),
        "spec.rules[0].matches: may have at most 16, not 2000",
    ),
    "too many hosts": (
        route("a", hostnames=[f"h{n}.example" for n in range(9_000)]),
        "spec.hostnames: may have at most 16, not 9000",
    ),
    "too many conditions": (
        route("a", answering("/a", headers=[{"name": f"x{n}", "value": "1"} for n in range(5_000)])),
        "spec.rules[0].matches[0].headers: may have at most 16, not 5000",
    ),
    "unknown fields": (
        route("a", {f"x{n}": 1 for n in range(15_000)}),
        "spec.rules[0]: may have at most 27 fields, not 15000",
    ),
    "too large": (
        of_matches(lambda n: {"path": {"value": f"/{n}"}}, 2_000, 16),
        "spec: too large: ",
    ),
    "large patterns": (
        of_matches(pattern(LARGE_PATTERN), hostnames=HOSTNAMES),
        "spec.rules: too large: the sizes of patterns of a route are ",
    ),
    "refused patterns": (
        of_matches(pattern(r"/#(" + "x" * 150), hostnames=HOSTNAMES),
        "spec.rules: too large: the sizes of patterns of a route are ",
    ),
    "targets": (
        policy(targetRefs=[{"kind": "GatewayRoute", "name": f"r{n}"} for n in range(5_000)]),
        "spec.targetRefs: may have at most 32, not 5000",
    ),
}
ALLOWED = {
    "hosts, rules and matches": of_matches(lambda n: {"path": {"value": f"/{n}"}}, hostnames=HOSTNAMES),
    "one match": of_matches(lambda n: {"path": {"value": "/"}}, hostnames=HOSTNAMES),
    "references": route(
        "a",
        *({"backendRefs": [{"name": f"s{rule * 32 + n}", "port": 80} for n in range(32)]} for rule in range(RULES)),
    ),
}


@pytest.mark.parametrize(("manifest", "message"), DENIED.values(), ids=DENIED)
def test_candidate_over_a_bound_is_denied_soon_with_the_reason(manifest: Manifest, message: str) -> None:
    began = process_time()
    answer = admission_review.answer(review(manifest), World())
    assert process_time() - began < MOST_SECONDS
    assert answer.decision == "denied"
    assert answer.body["response"]["status"]["message"].startswith(message)


@pytest.mark.parametrize("manifest", ALLOWED.values(), ids=ALLOWED)
def test_costliest_candidate_within_bounds_takes_below_1_s(manifest: Manifest) -> None:
    began = process_time()
    answer = admission_review.answer(review(manifest), World())
    assert process_time() - began < MOST_SECONDS
    assert answer.body["response"]["allowed"] is True


def test_patterns_beyond_the_sum_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_ = patterns._compile

    def count(text: str) -> Any:
        compiled.append(text)
        return compile_(text)

    monkeypatch.setattr(patterns, "_compile", count)
    admission_review.answer(review(of_matches(pattern(LARGE_PATTERN + "y"))), World())
    assert 0 < len(compiled) < 100


def test_metadata_of_an_oversized_object_may_change() -> None:
    manifest = DENIED["too many rules"][0]
    answer = admission_review.answer(review(manifest, "UPDATE", oldObject=manifest), World())
    assert answer.decision == "warned"
    assert answer.body["response"]["warnings"] == ["spec.rules: may have at most 64, not 65"]


@pytest.mark.parametrize("spec", [None, [], "", {"rules": {}}, {"rules": [None, 1]}, {"hostnames": {"a": []}}])
def test_bounds_leave_other_errors_to_the_models(spec: Any) -> None:
    assert bounds.exceeded("GatewayRoute", spec) == ()


def test_review_among_thousands_with_its_match_stays_short() -> None:
    common = of_matches(lambda n: {"path": {"value": f"/{n % 700}"}}, 44, 16)
    one = admission_review._candidate(common, {})
    assert isinstance(one, RouteObject)
    many = tuple(
        _renamed(one, f"route-{number}", f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z")
        for number in range(3_000)
    )
    world = World(routes=many)
    admission_review.answer(review(common), world)  # each route's keys are computed once
    began = process_time()
    response = admission_review.answer(review(common), world).body["response"]
    assert process_time() - began < MOST_SECONDS  # about a tenth of it
    assert response["allowed"] is True
    assert "belongs to the older route-0/route-0 rule rule-0" in response["warnings"][0]


def _renamed(one: RouteObject, name: str, created: str) -> RouteObject:
    return replace(one, meta=replace(one.meta, namespace=name, name=name, created=created))
