"""A memo changes no result: in any sequence of worlds documents and verdicts are equal to those without it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import compiler_inputs
import golden_cases
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_contract.canonical import canonical
from inferway_contract.document import ConfigDocument, Format
from inferway_operator import compiler
from inferway_operator.compiler import Compilation, Memo, overlaps
from inferway_operator.compiler.claims import Claim
from inferway_operator.publish.size_limits import desired_state
from inferway_operator.world.bounds import Bounds, Usage
from inferway_operator.world.hostname_policy import HostnameRule
from inferway_operator.world.objects import NamespaceObject
from inferway_operator.world.world import Settings, World, from_manifests
from inferway_testing.examples import examples

Manifest = dict[str, Any]

KINDS = ("routes", "policies", "services", "slices", "grants", "namespaces")
SETTINGS = (
    Settings(),
    Settings(bounds=Bounds(namespace=Usage(1000, matches=3, limits=100, backends=2, bytes=600))),
    Settings(hostname_policy=()),
    Settings(standalone=True),
)


def _case(text: str) -> list[Manifest]:
    manifests = [item for item in yaml.safe_load_all(text.partition(golden_cases.DIVIDER)[0]) if item is not None]
    return [item for item in manifests if "settings" not in item]


CASES = [_case(file.read_text()) for file in golden_cases.case_files()]


def content(made: Compilation) -> tuple[object, ...]:
    documents = canonical(made.config), canonical(made.endpoints)
    return documents, made.config, made.endpoints, made.verdicts, made.left_out, made.usage


@st.composite
def worlds(draw: st.DrawFn) -> list[World]:
    """A sequence of worlds in which most objects stay, and are the same objects; some come, go, or get another version."""
    cases = draw(st.lists(st.sampled_from(range(len(CASES))), min_size=1, max_size=3, unique=True))
    manifests = compiler_inputs.distinct([item for case in cases for item in CASES[case]])
    versions: list[list[World]] = []
    for manifest in manifests:
        other = draw(st.just(manifest) | compiler_inputs.mutated(manifest, most=2))
        other = {**other, "metadata": manifest.get("metadata")}
        versions.append([from_manifests([item], standalone=False) for item in (manifest, other)])
    chosen = [0] * len(versions)
    made: list[World] = []
    for _ in range(draw(st.integers(2, 4))):
        for place in draw(st.lists(st.integers(0, len(versions) - 1), max_size=3)):
            chosen[place] = draw(st.integers(0, 2))
        parts = [both[number] for both, number in zip(versions, chosen, strict=True) if number < len(both)]
        objects = {kind: tuple(item for part in parts for item in getattr(part, kind)) for kind in KINDS}
        made.append(World(settings=draw(st.sampled_from(SETTINGS)), replicas=draw(st.integers(1, 2)), **objects))
    return made


@given(worlds(), st.sampled_from(get_args(Format)))
@settings(max_examples=examples(150), deadline=None)
def test_documents_with_a_memo_equal_those_without(sequence: list[World], version: Format) -> None:
    memo, wanted = Memo(), None
    for world in sequence:
        made, fresh = compiler.compile(world, memo), compiler.compile(world)
        assert content(made) == content(fresh)
        assert set(memo.routes) <= {route.meta.id for route in world.routes}
        wanted = desired_state(made, "gateway", None, version, wanted)
        assert wanted == replace(desired_state(fresh, "gateway", None, version), compilation=made)
        assert len(wanted.layout.texts) == len((*made.config.routes, *made.config.policies))


def _route(name: str, body: str = "") -> Manifest:
    rule = {
        "matches": [{"path": {"value": f"/{name}{body}*"}}],
        "backendRefs": [{"name": "web", "port": 80}, {"name": "api", "namespace": "other", "port": 80}],
    }
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"rules": [rule, rule]},
    }


def _service(namespace: str, name: str, port: int = 80) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": [{"port": port}]},
    }


def _slice(namespace: str, name: str, address: str = "192.0.2.10") -> Manifest:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 80}],
        "endpoints": [{"addresses": [address]}],
    }


GRANT = {
    "apiVersion": "gateway.networking.k8s.io/v1beta1",
    "kind": "ReferenceGrant",
    "metadata": {"name": "grant", "namespace": "other"},
    "spec": {
        "from": [{"group": "inferway.dev", "kind": "GatewayRoute", "namespace": "demo"}],
        "to": [{"group": "", "kind": "Service"}],
    },
}
BASE = [_route("one"), _route("two"), _service("demo", "web"), _service("other", "api"), _slice("demo", "web"), GRANT]
API_SERVER = [_service("default", "kubernetes"), _slice("default", "kubernetes", "198.51.100.1")]


def _world(*manifests: Manifest, standalone: bool = False) -> World:
    return from_manifests(manifests, standalone=standalone)


def _ids(config: ConfigDocument, texts: Mapping[int, object]) -> list[str]:
    return [route.id for route in config.routes if id(route) in texts]


def test_route_that_did_not_change_is_compiled_once() -> None:
    world, memo = _world(*BASE), Memo()
    first = desired_state(compiler.compile(world, memo), "gateway", None)
    changed = replace(world, routes=(world.routes[0], _world(_route("two", "/more")).routes[0]))
    second = desired_state(compiler.compile(changed, memo), "gateway", None, before=first)
    assert _ids(second.config, first.layout.texts) == ["demo/one"]
    (same,) = set(first.layout.texts) & set(second.layout.texts)
    assert first.layout.texts[same] is second.layout.texts[same]


def test_route_follows_a_policy_that_breaks_and_is_fixed() -> None:
    limit = {"name": "a", "rate": {"requests": 1, "per": "1s"}, "key": [{"clientIP": {}}]}
    target = {"kind": "GatewayRoute", "name": "one"}

    def policy(limits: list[Manifest]) -> Manifest:
        return {
            "apiVersion": "inferway.dev/v1alpha1",
            "kind": "RateLimitPolicy",
            "metadata": {"name": "policy", "namespace": "demo"},
            "spec": {"targetRefs": [target], "limits": limits},
        }

    world, memo = _world(*BASE), Memo()
    for policies in ((), (policy([]),), (policy([limit]),), (policy([]),), ()):
        changed = replace(world, policies=_world(*policies).policies)
        assert content(compiler.compile(changed, memo)) == content(compiler.compile(changed))


OTHERS = {
    "Service": [*BASE[:2], _service("demo", "web", 81), *BASE[3:]],
    "Service of another namespace": [*BASE[:3], _service("other", "api", 81), *BASE[4:]],
    "EndpointSlice": [*BASE[:4], _slice("demo", "web", "192.0.2.11"), GRANT],
    "no EndpointSlice": [*BASE[:4], GRANT],
    "no grant": BASE[:5],
    "API server": [*BASE, *API_SERVER],
}


@pytest.mark.parametrize("manifests", OTHERS.values(), ids=OTHERS)
def test_change_of_what_a_route_names_is_compiled(manifests: list[Manifest]) -> None:
    first, memo = _world(*BASE), Memo()
    compiler.compile(first, memo)
    before = dict(memo.routes)
    second = replace(_world(*manifests), routes=first.routes)
    assert content(compiler.compile(second, memo)) == content(compiler.compile(second))
    assert all(memo.routes[name] is not before[name] for name in before)


def test_route_follows_the_labels_of_its_namespace() -> None:
    allowed = HostnameRule(namespace_labels={"team": "a"}, hostnames=("a.example",))
    always = HostnameRule(namespaces=("demo",), hostnames=("b.example",))
    route = _route("one")
    route["spec"]["hostnames"] = ["a.example", "b.example"]
    world, memo = replace(_world(route), settings=Settings(hostname_policy=(allowed, always))), Memo()
    for labels in ((), (("team", "a"),), ()):
        changed = replace(world, namespaces=(NamespaceObject("demo", labels),))
        assert content(compiler.compile(changed, memo)) == content(compiler.compile(changed))


def test_advice_of_a_recalled_route_is_given_once() -> None:
    world, memo = _world(*BASE), Memo()
    advice = [[len(verdict.advice) for verdict in compiler.compile(world, memo).verdicts] for _ in range(3)]
    assert advice == [[3, 3]] * 3  # a wildcard in each rule, and the second has the match of the first


@st.composite
def _overlapping(draw: st.DrawFn) -> list[World]:
    """A sequence of worlds with a few routes whose hostnames and paths often meet."""
    hostnames = st.lists(
        st.sampled_from(["a.example", "*.example", "b.a.example", "*.a.example", "c.test"]), max_size=2
    )
    paths = st.lists(st.sampled_from(["/", "/x", "/x/y", "/z"]), min_size=1, max_size=3)
    places = st.tuples(st.sampled_from("xyz"), st.sampled_from("123"))
    versions = draw(st.dictionaries(places, st.tuples(hostnames, paths), min_size=2, max_size=7))
    known: dict[tuple[object, ...], World] = {}
    made: list[World] = []
    for _ in range(draw(st.integers(2, 5))):
        place = draw(places)
        versions = {key: value for key, value in versions.items() if key != place}
        if draw(st.booleans()):
            versions[place] = draw(hostnames), draw(paths)
        parts = [_once(known, *place, *version) for place, version in versions.items()]
        made.append(World(routes=tuple(route for part in parts for route in part.routes)))
    return made


def _once(
    known: dict[tuple[object, ...], World], namespace: str, name: str, hosts: list[str], paths: list[str]
) -> World:
    manifest = _route(name)
    manifest["metadata"] = {"name": name, "namespace": namespace, "creationTimestamp": f"2026-01-0{name}T00:00:00Z"}
    matches = [{"path": {"value": path}} for path in paths]
    manifest["spec"] = {"hostnames": hosts, "rules": [{**manifest["spec"]["rules"][0], "matches": matches}]}
    return known.setdefault((namespace, name, *hosts, "", *paths), _world(manifest))


@given(_overlapping(), st.sampled_from([100_000, 1_000, 300]))
@settings(max_examples=examples(200), deadline=None)
def test_overlaps_with_a_memo_equal_those_without(sequence: list[World], together: int) -> None:
    memo = Memo()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlaps, "_MOST_TOGETHER", together)
        for world in sequence:
            assert compiler.compile(world, memo).verdicts == compiler.compile(world).verdicts
            assert {id(source) for area in memo.areas.values() for source in area.sources} <= set(map(id, world.routes))


def test_routes_that_cannot_meet_a_changed_one_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def count(one: Claim, other: Claim) -> bool:
        compared.append(one.hostname)
        return meet(one, other)

    meet = overlaps.meet
    monkeypatch.setattr(overlaps, "meet", count)
    known: dict[tuple[object, ...], World] = {}

    def compile_with(path: str) -> set[str]:
        compared.clear()
        parts = [("x", "1", ["a.test"], ["/"]), ("y", "1", ["a.test"], ["/a"]), ("z", "1", ["b.test"], ["/"])]
        worlds = [_once(known, *part) for part in (*parts, ("x", "2", ["b.test"], [path]))]
        compiler.compile(World(routes=tuple(route for world in worlds for route in world.routes)), memo)
        return set(compared)

    memo = Memo()
    assert compile_with("/a") == {"a.test", "b.test"}
    assert compile_with("/a") == set()
    assert compile_with("/b") == {"b.test"}


def test_memo_of_a_standalone_gateway_stays_empty() -> None:
    memo = Memo()
    compiler.compile(_world(*BASE, standalone=True), memo)
    assert memo.routes == {}
