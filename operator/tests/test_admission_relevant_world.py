"""What a review is judged in is a small part of the world, and the verdict is the one that the whole world gives."""

from dataclasses import replace
from typing import Any

import compiler_inputs
import golden_cases
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_operator import compiler
from inferway_operator.admission import relevant_world
from inferway_operator.compiler import Verdict
from inferway_operator.world.bounds import DEFAULT
from inferway_operator.world.hostname_policy import HostnameRule
from inferway_operator.world.objects import PolicyObject, RouteObject
from inferway_operator.world.world import World, from_manifests
from inferway_testing.examples import examples

Manifest = dict[str, Any]


def verdicts_on(candidate: RouteObject | PolicyObject, world: World) -> list[Verdict]:
    """One; none when its namespace is being deleted."""
    return [
        verdict
        for verdict in compiler.compile(world).verdicts
        if (verdict.meta.kind, verdict.meta.id) == (candidate.meta.kind, candidate.meta.id)
    ]


def assert_same_verdicts(world: World) -> None:
    # A review judges the bounds of the namespace apart (test_compiler_tenants).
    world = replace(world, settings=replace(world.settings, bounds=DEFAULT))
    for candidate in (*world.routes, *world.policies):
        narrowed = relevant_world.relevant_world(candidate, world).world
        assert verdicts_on(candidate, narrowed) == verdicts_on(candidate, world)


@pytest.mark.parametrize("file", golden_cases.case_files(), ids=lambda file: file.stem)
def test_golden_case_gets_the_verdicts_of_the_whole_world(file: Any) -> None:
    assert_same_verdicts(golden_cases.world_of(file.read_text()))


def test_golden_manifests_combined_get_the_same_verdicts() -> None:
    assert_same_verdicts(from_manifests(compiler_inputs.GOLDEN, standalone=False))


@given(compiler_inputs.MANIFESTS, st.booleans())
@settings(max_examples=examples(150), deadline=None)
def test_any_manifests_get_the_verdicts_of_the_whole_world(manifests: list[Manifest], standalone: bool) -> None:
    assert_same_verdicts(from_manifests(manifests, standalone=standalone))


# Few values, so that routes meet: spellings of one path and one header, and such as are not the same.
HOSTS = st.lists(st.sampled_from(["a.example", "b.a.example", "*.example", "*.a.example", "A.example"]), max_size=2)
PATHS = st.fixed_dictionaries(
    {
        "value": st.sampled_from(
            [
                "/",
                "/a",
                "/a/",
                "/a/b",
                "/%61",
                "/a//",
                "//",
                "/b",
                "/a%2fb",
                "/a%2Fb",
                "/.",
                "/%2e",
                "/%ff",
                "/a/(",
                "/a/.*",
            ]
        )
    },
    optional={"type": st.sampled_from(["PathPrefix", "Exact", "RegularExpression"])},
)
VALUES = st.fixed_dictionaries(
    {"name": st.sampled_from(["x", "X", "y"]), "value": st.sampled_from(["1", "("])},
    optional={"type": st.sampled_from(["Exact", "RegularExpression"])},
)
MATCHES = st.fixed_dictionaries(
    {"path": PATHS},
    optional={
        "method": st.sampled_from(["GET", "POST"]),
        "headers": st.lists(VALUES, max_size=2),
        "queryParams": st.lists(VALUES, max_size=2),
    },
)


@st.composite
def related_routes(draw: st.DrawFn) -> list[Manifest]:
    made = []
    for number in range(draw(st.integers(2, 4))):
        rules = draw(
            st.lists(
                st.fixed_dictionaries({}, optional={"matches": st.lists(MATCHES, max_size=2), "typo": st.just(1)}),
                max_size=2,
            )
        )
        created = draw(st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]))
        made.append(
            {
                "apiVersion": "inferway.dev/v1alpha1",
                "kind": "GatewayRoute",
                "metadata": {
                    "name": f"route-{number}",
                    "namespace": draw(st.sampled_from(["demo", "shop"])),
                    "creationTimestamp": created,
                },
                "spec": {"hostnames": draw(HOSTS), "rules": rules},
            }
        )
    return made


@given(related_routes(), st.booleans())
@settings(max_examples=examples(400), deadline=None)
def test_relevant_world_includes_all_related_routes(manifests: list[Manifest], has_policy: bool) -> None:
    world = from_manifests(manifests, standalone=False)
    if has_policy:
        allowed = HostnameRule(namespaces=("demo",), hostnames=("*.example",))
        world = replace(world, settings=replace(world.settings, hostname_policy=(allowed,)))
    assert_same_verdicts(world)


def test_relevant_world_leaves_out_unrelated_objects() -> None:
    def route(name: str, path: str) -> Manifest:
        rules = [{"matches": [{"path": {"value": path}}], "backendRefs": [{"name": name, "port": 80}]}]
        return {
            "apiVersion": "inferway.dev/v1alpha1",
            "kind": "GatewayRoute",
            "metadata": {"name": name, "namespace": "demo"},
            "spec": {"rules": rules},
        }

    services = [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "demo"}} for name in "abc"
    ]
    world = from_manifests([route("a", "/a"), route("b", "/b"), route("c", "/a/"), *services], standalone=False)
    narrowed = relevant_world.relevant_world(world.routes[0], world)
    assert [found.meta.name for found in narrowed.world.routes] == ["a", "c"]
    assert narrowed.rivals == ("demo/c",)
    assert [found.id for found in narrowed.world.services] == ["demo/a"]
