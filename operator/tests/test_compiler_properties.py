"""What holds for the compiler whatever it is given."""

import random
from collections.abc import Sequence
from typing import Any

import compiler_inputs
from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_contract import format_1, policy_targets
from inferway_contract.canonical import canonical
from inferway_contract.conditions import ConditionType
from inferway_contract.document import ConfigDocument, EndpointsDocument
from inferway_operator import compiler
from inferway_operator.compiler import Compilation
from inferway_operator.world.world import from_manifests
from inferway_testing.examples import examples

Manifest = dict[str, Any]


def compiled(manifests: list[Manifest], standalone: bool = False) -> Compilation:
    return compiler.compile(from_manifests(manifests, standalone=standalone))


def content(made: Compilation) -> tuple[object, ...]:
    return canonical(made.config), canonical(made.endpoints), made.verdicts


def ids(of_rules: Sequence[policy_targets.PoliciesOfRules]) -> list[list[list[str]]]:
    return [[[policy.id for policy in policies] for policies in rules] for rules in of_rules]


@given(compiler_inputs.MANIFESTS, st.booleans())
@settings(max_examples=examples(400), deadline=None)
def test_any_manifests_compile_to_valid_documents(manifests: list[Manifest], standalone: bool) -> None:
    made = compiled(manifests, standalone)
    # What the data plane will do: parse strictly, and find everything that is named.
    assert ConfigDocument.model_validate_json(canonical(made.config)) == made.config
    assert EndpointsDocument.model_validate_json(canonical(made.endpoints)) == made.endpoints
    # Every published policy applies to a rule, in each format.
    of_rules = policy_targets.attached(made.config)
    assert {policy.id for rules in of_rules for policies in rules for policy in policies} == {
        policy.id for policy in made.config.policies
    }
    older = format_1.as_format_1(made.config)
    assert format_1.ConfigDocument.model_validate_json(canonical(older)) == older
    assert ids(policy_targets.attached(format_1.from_format_1(older))) == ids(of_rules)
    for rule in [rule for route in made.config.routes for rule in route.rules]:
        assert rule.matches
        assert {backend.service for backend in rule.backends if backend.service} <= made.endpoints.services.keys()
        actions = (bool(rule.backends), rule.redirect is not None, rule.respond is not None, rule.refusal is not None)
        assert sum(actions) == 1
    for condition in [condition for verdict in made.verdicts for condition in verdict.conditions]:
        assert 0 < len(condition.message) < 3000
        assert condition.message.isprintable()


@given(compiler_inputs.MANIFESTS, st.booleans())
@settings(max_examples=examples(100), deadline=None)
def test_every_object_has_a_verdict(manifests: list[Manifest], standalone: bool) -> None:
    world = from_manifests(manifests, standalone=standalone)
    made = compiler.compile(world)
    leaving = {namespace.name for namespace in world.namespaces if namespace.is_terminating}
    assert sorted(verdict.meta.id for verdict in made.verdicts) == sorted(
        item.meta.id for item in (*world.routes, *world.policies) if item.meta.namespace not in leaving
    )
    for verdict in made.verdicts:
        accepted = verdict.conditions[0]
        assert accepted.type is ConditionType.ACCEPTED
        assert (accepted.reason == "Accepted") == (not verdict.errors)


@given(st.lists(compiler_inputs.one_of(compiler_inputs.GOLDEN), max_size=12), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_documents_do_not_depend_on_the_order_of_manifests(manifests: list[Manifest], chance: random.Random) -> None:
    manifests = compiler_inputs.distinct(manifests)
    shuffled = list(manifests)
    chance.shuffle(shuffled)
    assert content(compiled(manifests)) == content(compiled(shuffled))


def test_golden_manifests_in_any_order_compile_the_same() -> None:
    manifests = compiler_inputs.distinct(compiler_inputs.GOLDEN)
    expected = content(compiled(manifests))
    for seed in range(5):
        random.Random(seed).shuffle(manifests)
        assert content(compiled(manifests)) == expected


@given(compiler_inputs.MANIFESTS)
@settings(deadline=None)
def test_second_compilation_gives_the_same_documents(manifests: list[Manifest]) -> None:
    world = from_manifests(manifests, standalone=True)
    assert content(compiler.compile(world)) == content(compiler.compile(world))


def _route(name: str, namespace: str = "demo") -> Manifest:
    answer = {"type": "DirectResponse", "directResponse": {"statusCode": 200, "body": name}}
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"rules": [{"matches": [{"path": {"value": f"/{name}"}}], "filters": [answer]}]},
    }


ROUTES = [item for item in compiler_inputs.GOLDEN if item["kind"] == "GatewayRoute"]


@given(compiler_inputs.one_of(ROUTES).flatmap(compiler_inputs.mutated))
@settings(max_examples=examples(200), deadline=None)
def test_bad_route_leaves_other_routes_unchanged(bad: Manifest) -> None:
    others = [_route("one"), _route("two"), _route("three", "other")]
    alone = {route.id: route for route in compiled(others).config.routes}
    beside = {route.id: route for route in compiled([*others, bad]).config.routes}
    assert {name: beside[name] for name in alone} == alone


@given(compiler_inputs.one_of(ROUTES).flatmap(lambda route: compiler_inputs.mutated(route, most=2)), st.integers(0, 2))
@settings(max_examples=examples(200), deadline=None)
def test_bad_rule_leaves_other_rules_unchanged(source: Manifest, place: int) -> None:
    spec = source.get("spec")
    bad = spec["rules"][0] if isinstance(spec, dict) and isinstance(spec.get("rules"), list) and spec["rules"] else None
    if isinstance(bad, dict):
        bad = {**bad, "name": "bad"}  # a name taken from a neighbour would be that neighbour's, or the other way round
    good = [{**_route(name)["spec"]["rules"][0], "name": name} for name in ("one", "two")]
    manifest = _route("route")
    manifest["spec"]["rules"] = [*good[:place], bad, *good[place:]]
    (route,) = compiled([manifest]).config.routes
    found = {rule.name: rule for rule in route.rules}
    (expected,) = compiled([{**manifest, "spec": {"rules": good}}]).config.routes
    assert {name: found[name] for name in ("one", "two")} == {rule.name: rule for rule in expected.rules}
