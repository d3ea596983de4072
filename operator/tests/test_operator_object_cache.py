"""What is observed: which events wake the reconciler, which do not, and what an audit makes of lists."""

import asyncio
import copy
import time
from typing import Any

import pytest
from compiler_inputs import JSON
from hypothesis import example, given
from hypothesis import strategies as st

from inferway_contract.acknowledgement import LEASE_SECONDS, Acknowledgement, annotations
from inferway_operator.watch import object_cache as observed_module
from inferway_operator.watch.kinds import (
    GRANTS,
    KINDS,
    LEASES,
    NAMESPACES,
    PODS,
    POLICIES,
    ROUTES,
    SERVICES,
    SLICES,
    WatchedKind,
)
from inferway_operator.watch.object_cache import ObjectCache, Part
from inferway_operator.world.world import Settings


def manifest(name: str, version: int = 1, generation: int = 1, **more: Any) -> dict[str, Any]:
    """A GatewayRoute as kopf brings it."""
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {
            "name": name,
            "namespace": "demo",
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "generation": generation,
        },
        "spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}]}]},
        **more,
    }


def lease(renewed: str, config: str = "abc", version: int = 1) -> dict[str, Any]:
    """The Lease of a pod."""
    return {
        "metadata": {
            "name": "pod",
            "namespace": "gateway",
            "uid": "uid-lease",
            "resourceVersion": str(version),
            "annotations": annotations(Acknowledgement(config=config)),
        },
        "spec": {"holderIdentity": "uid-pod", "renewTime": renewed},
    }


def pod(is_ready: bool = True, version: int = 1) -> dict[str, Any]:
    """A pod of the data plane."""
    return {
        "metadata": {"name": "pod", "namespace": "gateway", "uid": "uid-pod", "resourceVersion": str(version)},
        "status": {"conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}]},
    }


def annotated(found: dict[str, Any]) -> dict[str, Any]:
    """The same with another annotation, as `kubectl annotate` leaves it."""
    made = copy.deepcopy(found)
    made["metadata"]["annotations"] = {"touched": "now"}
    made["metadata"]["resourceVersion"] = "2"
    return made


EARLY, RENEWED = "2026-11-24T10:00:00Z", "2026-11-24T10:00:05.000000Z"
QUIET, WORLD, ACKS = (False, False), (True, True), (True, False)
EVENTS = [
    pytest.param(ROUTES, manifest("a"), manifest("a", 2, status={"conditions": []}), QUIET, id="our own status"),
    pytest.param(ROUTES, manifest("a"), annotated(manifest("a")), QUIET, id="an annotation"),
    pytest.param(ROUTES, manifest("a"), manifest("a", 2, 2), WORLD, id="a new generation"),
    pytest.param(LEASES, lease(EARLY), lease(RENEWED, version=2), ACKS, id="a Lease is renewed for the first time"),
    pytest.param(LEASES, lease(EARLY), lease(EARLY, "def", 2), ACKS, id="a pod serves another config"),
    pytest.param(PODS, pod(), pod(version=2), QUIET, id="a pod is as it was"),
    pytest.param(PODS, pod(), pod(False, 2), WORLD, id="a pod is not Ready: there are fewer replicas"),
]


@pytest.mark.parametrize(("kind", "before", "after", "expected"), EVENTS)
def test_cache_wakes_the_reconciler_for_relevant_changes(
    kind: WatchedKind, before: dict[str, Any], after: dict[str, Any], expected: tuple[bool, bool]
) -> None:
    async def run() -> tuple[bool, bool]:
        observed = ObjectCache()
        observed.notice(kind, before)
        await observed.wait(0, 0, 1)
        observed.is_world_dirty = False
        observed.notice(kind, after)
        woken = asyncio.create_task(observed.wait(0, 0, 0.05))
        began = asyncio.get_running_loop().time()
        await woken
        return asyncio.get_running_loop().time() - began < 0.04, observed.is_world_dirty

    assert asyncio.run(run()) == expected


def deleted(found: dict[str, Any]) -> dict[str, Any]:
    """The same after a deletion that a finalizer holds up."""
    made = copy.deepcopy(found)
    made["metadata"] |= {"resourceVersion": "2", "deletionTimestamp": EARLY, "finalizers": ["example.com/hold"]}
    return made


def grant(name: str) -> dict[str, Any]:
    """A ReferenceGrant."""
    source = {"group": "inferway.dev", "kind": "GatewayRoute", "namespace": "other"}
    spec = {"from": [source], "to": [{"group": "", "kind": "Service"}]}
    return {"metadata": manifest(name)["metadata"], "spec": spec}


def endpoint_slice(name: str) -> dict[str, Any]:
    """An EndpointSlice."""
    metadata = manifest(name)["metadata"] | {"labels": {"kubernetes.io/service-name": "web"}}
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}]}


DELETED = [
    pytest.param(ROUTES, "routes", manifest("a"), id="GatewayRoute"),
    pytest.param(POLICIES, "policies", manifest("a") | {"kind": "RateLimitPolicy", "spec": {}}, id="RateLimitPolicy"),
    pytest.param(SERVICES, "services", {**manifest("a"), "kind": "Service"}, id="Service"),
    pytest.param(SLICES, "slices", endpoint_slice("a"), id="EndpointSlice"),
    pytest.param(GRANTS, "grants", grant("a"), id="ReferenceGrant"),
]


@pytest.mark.parametrize(("kind", "field", "found"), DELETED)
def test_deleted_object_leaves_the_world_at_once(kind: WatchedKind, field: str, found: dict[str, Any]) -> None:
    cache = ObjectCache()
    cache.notice(kind, found)
    assert len(getattr(cache.world(Settings(), {}, 1), field)) == 1
    cache.is_world_dirty = cache.has_lost_ours = False
    cache.notice(kind, deleted(found))
    assert getattr(cache.world(Settings(), {}, 1), field) == ()
    assert cache.is_world_dirty
    assert cache.has_lost_ours is kind.is_ours, "it may go with its definition"
    cache.has_lost_ours = False
    later = deleted(found)
    later["metadata"] |= {"resourceVersion": "3", "finalizers": []}
    cache.notice(kind, later)
    assert not cache.has_lost_ours


def test_deleted_namespace_stays_in_the_world() -> None:
    """Its objects leave the config by it."""
    cache = ObjectCache()
    cache.notice(NAMESPACES, deleted({"metadata": manifest("a")["metadata"]}))
    assert [namespace.is_terminating for namespace in cache.world(Settings(), {}, 1).namespaces] == [True]


def service(name: str, port: int, version: int = 1) -> dict[str, Any]:
    """A Service."""
    metadata = {"name": name, "namespace": "demo", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": port}]}}


@pytest.mark.parametrize(("name", "is_woken"), [("web", True), ("other", False)])
def test_cache_wakes_for_services_named_by_routes(name: str, is_woken: bool) -> None:
    observed = ObjectCache()
    observed.notice(ROUTES, manifest("a"))
    observed.notice(SERVICES, service(name, 80))
    routes = observed.world(Settings(), {}, 1).routes
    observed.named_services = frozenset(service for route in routes for service in route.named_services())
    for change in (
        lambda: observed.notice(SERVICES, service(name, 81, 2)),
        lambda: observed.forget(SERVICES, f"uid-{name}"),
    ):
        observed.is_world_dirty = False
        change()
        assert observed.is_world_dirty is is_woken
    assert list(observed.entries(SERVICES)) == []


def test_cache_parses_a_generation_once() -> None:
    observed = ObjectCache()
    observed.notice(ROUTES, manifest("a"))
    (before,) = observed.entries(ROUTES)
    observed.notice(ROUTES, manifest("a", 2, status={"conditions": []}))
    (after,) = observed.entries(ROUTES)
    assert after.value is before.value
    assert (after.version, after.status) == ("2", {"conditions": []})


@pytest.mark.case("K1", "X2")
def test_cache_forgets_what_a_list_does_not_have() -> None:
    async def run() -> None:
        cache = ObjectCache()
        part, other = Part(cache, GRANTS), Part(cache, GRANTS)
        await part.replace([manifest("a") | {"spec": {}}, manifest("b") | {"spec": {}}])
        await other.replace([manifest("c") | {"spec": {}}])
        cache.is_world_dirty = False
        await part.replace([manifest("b") | {"spec": {}}])
        assert sorted(entry.name for entry in cache.entries(GRANTS)) == ["b", "c"], "each list is of its own part"
        assert cache.is_world_dirty
        part.upsert(manifest("d") | {"spec": {}})
        part.remove(manifest("b"))
        await part.replace([])
        assert [entry.name for entry in cache.entries(GRANTS)] == ["c"]

    asyncio.run(run())


ODD_PARTS = {
    "status": JSON | st.fixed_dictionaries({"conditions": JSON}),
    "spec": JSON | st.fixed_dictionaries({}, optional={"holderIdentity": JSON, "renewTime": JSON, "from": JSON}),
    "endpoints": JSON,
    "ports": JSON,
}
ODD_METADATA = dict.fromkeys(("generation", "namespace", "annotations", "labels", "deletionTimestamp"), JSON)
LABEL = {"labels": {"kubernetes.io/service-name": "web"}}


@given(st.fixed_dictionaries({}, optional=ODD_PARTS), st.fixed_dictionaries({}, optional=ODD_METADATA))
@example({"status": "odd"}, {"generation": "odd"})
@example({"status": {"conditions": ["odd"]}}, {"annotations": "odd"})
@example({"status": {"conditions": [{"type": ["Ready"], "status": {}}]}}, {"annotations": {"inferway.dev/error": []}})
@example({"spec": "odd"}, {"annotations": {"inferway.dev/error": "\ud800"}})
@example({"spec": {"holderIdentity": {}, "renewTime": 1}}, {"labels": "odd"})
@example({"endpoints": ["odd"], "ports": "odd"}, LABEL)
def test_cache_takes_odd_objects_of_every_kind(parts: dict[str, Any], metadata: dict[str, Any]) -> None:
    """One that raises would block the list of its kind."""
    odd = {"metadata": {**metadata, "name": "pod", "uid": "uid-odd", "resourceVersion": "1"}, **parts}

    async def run() -> None:
        cache = ObjectCache()
        for kind in KINDS:
            name = {"kind": "RateLimitPolicy" if kind is POLICIES else "GatewayRoute"}
            await Part(cache, kind).replace([odd | name, manifest("a") | name])
            assert len(cache.entries(kind)) == 2
        assert not any(pod.is_ready for pod in cache.pods())
        assert all(isinstance(lease.holder, str) for lease in cache.leases())
        cache.world(Settings(), {}, 1)

    asyncio.run(run())


@pytest.mark.case("K1")
def test_cache_replaces_an_object_that_was_created_again() -> None:
    async def run() -> None:
        cache = ObjectCache()
        part = Part(cache, ROUTES)
        await part.replace([manifest("a")])
        again = manifest("a", 9)
        again["metadata"]["uid"] = "another"
        await part.replace([again])
        assert [entry.uid for entry in cache.entries(ROUTES)] == ["another"]
        assert cache.has_lost_ours, "its definition may be on its way out"

    asyncio.run(run())


def test_cache_is_not_woken_by_a_list_of_what_it_holds() -> None:
    async def run() -> None:
        cache = ObjectCache()
        part = Part(cache, ROUTES)
        await part.replace([manifest(f"r{number}") for number in range(200)])
        cache.is_world_dirty = False
        await part.replace([manifest(f"r{number}") for number in range(200)])
        assert not cache.is_world_dirty
        assert len(cache.entries(ROUTES)) == 200

    asyncio.run(run())


VERSIONS = [
    pytest.param("uid-a", "5", True, id="held"),
    pytest.param("uid-a", "4", True, id="older"),
    pytest.param("uid-a", "10", False, id="newer"),
    pytest.param("uid-a", "x5", False, id="not a number"),
    pytest.param("uid-a", "", False, id="expected to be gone"),
    pytest.param("uid-b", "1", False, id="unknown"),
    pytest.param("uid-b", "", True, id="gone"),
]


@pytest.mark.parametrize(("uid", "version", "expected"), VERSIONS)
def test_cache_knows_which_version_it_holds(uid: str, version: str, expected: bool) -> None:
    cache = ObjectCache()
    cache.notice(ROUTES, manifest("a", 5))
    assert cache.is_current(ROUTES, uid, version) is expected


def test_cache_debounces_changes_up_to_a_maximum() -> None:
    async def run() -> float:
        observed = ObjectCache()
        loop = asyncio.get_running_loop()

        async def keep_changing() -> None:
            while True:
                observed.mark(is_world=True)
                await asyncio.sleep(0.01)

        changing = asyncio.create_task(keep_changing())
        began = loop.time()
        await observed.wait(0.05, 0.3, 10)
        changing.cancel()
        return loop.time() - began

    assert 0.25 <= asyncio.run(run()) < 5


LEASE_AGES = [
    pytest.param(5.0, False, id="renewed in time"),
    pytest.param(LEASE_SECONDS + 1.0, True, id="renewed after it had expired"),
]


@pytest.mark.parametrize(("seconds", "is_woken"), LEASE_AGES)
def test_cache_wakes_for_a_lease_renewed_after_expiry(
    monkeypatch: pytest.MonkeyPatch, seconds: float, is_woken: bool
) -> None:
    clock = [100.0]
    monkeypatch.setattr(observed_module.time, "monotonic", lambda: clock[0])
    observed = ObjectCache()
    observed.notice(LEASES, lease(EARLY))
    observed.notice(LEASES, lease(RENEWED, version=2))
    marks: list[bool] = []
    monkeypatch.setattr(observed, "mark", lambda *, is_world: marks.append(is_world))
    clock[0] += seconds
    observed.notice(LEASES, lease("2026-11-24T10:00:10Z", version=3))
    assert marks == ([False] if is_woken else [])


@pytest.mark.parametrize("written", ["1999-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "nonsense"])
def test_lease_age_counts_from_its_arrival_not_the_pods_clock(written: str) -> None:
    observed = ObjectCache()
    before = time.monotonic()
    observed.notice(LEASES, lease(written))
    [seen] = observed.leases()
    assert seen.renewed == float("-inf"), "it may have been written at any time"
    assert before <= seen.awaited_since <= time.monotonic()
    observed.notice(LEASES, lease(written, "other", 2))  # touched, and not renewed
    assert observed.leases()[0].renewed == float("-inf")
    observed.notice(LEASES, lease(RENEWED, "other", 3))
    assert before <= observed.leases()[0].renewed <= time.monotonic()
    observed.forget(LEASES, "uid-lease")
    assert observed.leases() == []
    observed.notice(LEASES, lease(RENEWED, "other", 3))
    assert observed.leases()[0].renewed == float("-inf"), "it is seen for the first time again"


@pytest.mark.parametrize("is_listed", [False, True])
def test_lease_created_after_a_list_counts_as_renewed(is_listed: bool) -> None:
    async def run() -> float:
        cache = ObjectCache()
        part = Part(cache, LEASES)
        if is_listed:
            await part.replace([])
        await part.replace([lease(EARLY)])
        return cache.leases()[0].renewed

    assert (asyncio.run(run()) > 0) is is_listed


def test_outage_restarts_the_grace_period_of_every_lease() -> None:
    observed = ObjectCache()
    observed.notice(LEASES, lease(EARLY))
    observed.notice(LEASES, lease(RENEWED, version=2))
    [before] = observed.leases()
    observed.excuse_silence()
    [after] = observed.leases()
    assert after.awaited_since > before.awaited_since
    assert after.renewed == before.renewed, "that is no proof of anything"


def test_grace_period_of_a_pod_starts_when_it_is_ready() -> None:
    observed = ObjectCache()
    observed.notice(PODS, pod(False))
    before = time.monotonic()
    observed.notice(PODS, pod(True, 2))
    [since] = [found.ready_since for found in observed.pods()]
    assert before <= since <= time.monotonic()
    observed.notice(PODS, pod(True, 3))
    assert [found.ready_since for found in observed.pods()] == [since]
    observed.excuse_silence()
    assert observed.pods()[0].ready_since > since
