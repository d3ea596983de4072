"""Namespaces that share one gateway: what one of them writes costs a bounded amount, and nothing of the others."""

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inferway_contract import patterns, policy_targets
from inferway_contract.canonical import canonical
from inferway_contract.conditions import Reason
from inferway_contract.fairness import fair_level
from inferway_operator import compiler
from inferway_operator.admission import findings
from inferway_operator.compiler import Compilation, Verdict, bounds
from inferway_operator.world.bounds import Bounds, Usage
from inferway_operator.world.resources import parse
from inferway_operator.world.world import Settings, World, from_manifests
from inferway_testing.examples import examples

Manifest = dict[str, Any]
ANSWER = [{"type": "DirectResponse", "directResponse": {"statusCode": 200}}]
LARGE = Usage(*[1 << 30] * len(Usage._fields))


def route(name: str, namespace: str, rules: int = 1, hostnames: int = 0, *patterns_: str, month: int = 1) -> Manifest:
    matches = [{"path": {"type": "RegularExpression", "value": pattern}} for pattern in patterns_]
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": f"2026-{month:02}-01T00:00:00Z"},
        "spec": {
            "hostnames": [f"h{number}.example" for number in range(hostnames)],
            "rules": [
                {"matches": matches or [{"path": {"value": f"/{name}/{number}"}}], "filters": ANSWER}
                for number in range(rules)
            ],
        },
    }


def policy(name: str, namespace: str, targets: list[str], limits: int = 1, month: int = 1) -> Manifest:
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "RateLimitPolicy",
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": f"2026-{month:02}-01T00:00:00Z"},
        "spec": {
            **({"targetRefs": [{"name": target} for target in targets]} if targets else {}),
            "limits": [
                {"name": f"l{number}", "rate": {"requests": 1}, "burst": 1, "scope": "Pod"} for number in range(limits)
            ],
        },
    }


def world(manifests: list[Manifest], of_namespace: Usage = LARGE, total: Usage = LARGE) -> World:
    found = from_manifests(manifests, standalone=False)
    return World(Settings(bounds=Bounds(1 << 30, of_namespace, total)), found.routes, found.policies)


def is_over(verdict: Verdict) -> bool:
    return verdict.conditions[0].reason is Reason.TOO_LARGE


def too_large(made: Compilation) -> set[str]:
    return {verdict.meta.id for verdict in made.verdicts if is_over(verdict)}


NAMES = st.sampled_from(["r0", "r1", "r2", "r3", "r4", "r5"])
WORLDS = st.lists(
    st.one_of(
        st.builds(
            route,
            NAMES,
            st.sampled_from(["x", "y", "z"]),
            st.integers(1, 5),
            st.integers(0, 4),
            month=st.integers(1, 9),
        ),
        st.builds(
            policy,
            NAMES,
            st.sampled_from(["x", "y", "z"]),
            st.lists(NAMES, max_size=2, unique=True),
            st.integers(1, 4),
            month=st.integers(1, 9),
        ),
    ),
    max_size=14,
    unique_by=lambda item: (item["kind"], item["metadata"]["name"], item["metadata"]["namespace"]),
)
USAGES = st.builds(LARGE._replace, matches=st.integers(1, 40), limits=st.integers(1, 40))


def measured(made: Compilation) -> dict[str, Usage]:
    """What is in the document, counted pair by pair."""
    found: dict[str, Usage] = {}
    for item, of_rules in zip(made.config.routes, policy_targets.attached(made.config), strict=True):
        namespace = item.id.partition("/")[0]
        served = [rule for rule in item.rules if rule.refusal is None]
        used = found.get(namespace, Usage())
        found[namespace] = used._replace(
            matches=used.matches + max(1, len(item.hostnames)) * sum(len(rule.matches) for rule in served),
            limits=used.limits + sum(len(one.limits) for policies in of_rules for one in policies),
        )
    return found


@given(WORLDS, USAGES, USAGES)
@example(  # what is refused for the total of matches leaves room for the policy, which is too much for the total of limits
    [
        route("r0", "x", 2, 2),
        route("r0", "y", 2, 2, month=2),
        route("r1", "x", 2, 1, month=2),
        policy("r0", "x", [], 2, month=3),
    ],
    LARGE._replace(limits=5),
    LARGE._replace(matches=5, limits=1),
)
@settings(max_examples=examples(200), deadline=None)
def test_document_stays_within_the_bounds(manifests: list[Manifest], of_namespace: Usage, total: Usage) -> None:
    made = compiler.compile(world(manifests, of_namespace, total))
    found = measured(made)
    for used in found.values():
        assert all(one <= most for one, most in zip(used, of_namespace, strict=True))
    assert all(sum(column) <= most for column, most in zip(zip(*found.values(), strict=True), total, strict=False))
    # Every object over a bound fails closed: a route by one rule that refuses, a policy by its targets.
    refused = {item.id for item in made.config.routes if any(rule.refusal is not None for rule in item.rules)}
    over = {verdict.meta.id for verdict in made.verdicts if verdict.meta.kind == "GatewayRoute" and is_over(verdict)}
    assert over <= refused


@given(WORLDS, WORLDS, USAGES)
@settings(max_examples=examples(200), deadline=None)
def test_namespace_over_its_bound_changes_no_other(
    manifests: list[Manifest], hostile: list[Manifest], of_namespace: Usage
) -> None:
    others = [item for item in manifests if item["metadata"]["namespace"] != "x"]
    alone = compiler.compile(world(others, of_namespace))
    together = compiler.compile(
        world([*others, *(item for item in hostile if item["metadata"]["namespace"] == "x")], of_namespace)
    )
    assert [item for item in together.config.routes if not item.id.startswith("x/")] == list(alone.config.routes)
    assert [item for item in together.config.policies if not item.id.startswith("x/")] == list(alone.config.policies)


@given(WORLDS, USAGES)
@settings(max_examples=examples(200), deadline=None)
def test_namespace_within_an_equal_share_is_complete(manifests: list[Manifest], total: Usage) -> None:
    made = compiler.compile(world(manifests, total=total))
    everything = measured(compiler.compile(world(manifests)))
    for namespace, used in everything.items():
        if all(
            one <= most // len({item["metadata"]["namespace"] for item in manifests})
            for one, most in zip(used, total, strict=True)
        ):
            assert not any(name.startswith(f"{namespace}/") for name in too_large(made))


@given(WORLDS, USAGES, st.data())
@settings(max_examples=examples(100), deadline=None)
def test_review_finds_the_bound_of_its_namespace(
    manifests: list[Manifest], of_namespace: Usage, data: st.DataObject
) -> None:
    if not manifests:
        return
    made_of = world(manifests, of_namespace)
    candidate = parse(data.draw(st.sampled_from(manifests)))
    found = findings.find(candidate, made_of)
    over = candidate.meta.id in {
        verdict.meta.id
        for verdict in compiler.compile(made_of).verdicts
        if verdict.meta.kind == candidate.meta.kind and is_over(verdict)
    }
    assert any("too large" in error.message for error in found.errors) == over


@given(st.lists(st.integers(0, 100), max_size=8), st.integers(0, 200))
def test_fair_level_is_the_highest_that_fits(demands: list[int], total: int) -> None:
    level = fair_level(demands, total)
    assert sum(min(demand, level) for demand in demands) <= total
    if any(demand > level for demand in demands):
        assert sum(min(demand, level + 1) for demand in demands) > total


@given(
    routes=st.integers(1, 12),
    rules=st.integers(1, 16),
    policies=st.integers(0, 30),
    length=st.integers(1, 200),
    targets=st.integers(0, 12),
)
@settings(max_examples=examples(30), deadline=None)
def test_document_grows_with_what_was_written(
    routes: int, rules: int, policies: int, length: int, targets: int
) -> None:
    """Each rule of 40 routes listed the ids of 100 policies: 150 KB of objects were 17 MB of ConfigMaps."""
    names = [f"r{number}" + "n" * length for number in range(routes)]
    manifests = [
        *(route(name, "demo", rules, 4) for name in names),
        *(policy(f"p{number}" + "n" * length, "demo", names[:targets]) for number in range(policies)),
    ]
    written = sum(len(canonical_json(item)) for item in manifests)
    assert len(canonical(compiler.compile(world(manifests)).config)) <= 2 * written


def canonical_json(manifest: Manifest) -> str:
    return json.dumps(manifest, separators=(",", ":"))


def test_patterns_over_the_bound_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    compile_one = patterns._compile

    def compile_counted(pattern: str) -> Any:
        compiled.append(pattern)
        return compile_one(pattern)

    monkeypatch.setattr(patterns, "_compile", compile_counted)
    evil = [f"/{number}/[a-z]{{60}}" for number in range(1000)]
    manifests = [route(f"evil-{number}", "demo", 1, 0, *evil[number * 16 : number * 16 + 16]) for number in range(60)]
    made = compiler.compile(world(manifests, LARGE._replace(patterns=2_000)))
    assert len(too_large(made)) > 50
    assert 0 < len(compiled) < 100


def test_worst_specs_of_a_namespace_compile_in_bounded_time() -> None:
    """16,384 patterns of one namespace, new at each turn, cost what the bound admits, not what was written."""
    spent = []
    for turn in range(2):
        manifests = [
            route(f"evil-{number}", "demo", 1, 0, *[f"/{turn}/{number}/{one}/[a-z]{{60}}" for one in range(16)])
            for number in range(1024)
        ]
        of_manifests = world(manifests, LARGE._replace(patterns=20_000))
        began = time.process_time()
        bounds.find([*of_manifests.routes], of_manifests.settings.bounds, {})
        spent.append(time.process_time() - began)
    assert min(spent) < 0.5
