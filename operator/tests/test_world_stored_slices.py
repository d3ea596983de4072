"""EndpointSlices are kept as text: read in a compilation only, once, and as if they had been read at once."""

from typing import Any

import pytest
from compiler_inputs import JSON
from hypothesis import given
from hypothesis import strategies as st

from inferway_operator.compiler.services import Services
from inferway_operator.watch.kinds import SERVICES, SLICES
from inferway_operator.watch.object_cache import ObjectCache
from inferway_operator.world import kubernetes_kinds, stored_slices
from inferway_operator.world.kubernetes_kinds import read_slice
from inferway_operator.world.objects import SliceObject
from inferway_operator.world.world import Settings


def endpoint_slice(version: int, service: str, port: int) -> dict[str, Any]:
    """A slice of one endpoint."""
    labels = {"kubernetes.io/service-name": service}
    return {
        "metadata": {
            "name": "a", "namespace": "demo", "uid": "uid-a", "resourceVersion": str(version), "labels": labels,
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "port": port}],
        "endpoints": [{"addresses": ["10.0.0.1"]}],
    }  # fmt: skip


def test_endpoint_has_its_first_address_only() -> None:
    """A slice of 1 MiB may list 100 addresses for each of 1,000 endpoints: seconds of a compilation."""
    many = endpoint_slice(1, "web", 80)
    endpoints = [{"addresses": [f"10.{number % 250}.{more}.1" for more in range(100)]} for number in range(1000)]
    many["endpoints"] = [*endpoints, {"addresses": "odd"}, "odd", {"addresses": []}]
    stored = stored_slices.store(many)
    assert stored is not None
    assert len(stored.text) < 40 * 1000
    assert stored.content is not None
    assert {endpoint.address for endpoint in stored.content.endpoints} == {f"10.{number}.0.1" for number in range(250)}


@pytest.mark.parametrize(("service", "reads"), [("web", 1), ("unnamed", 0)])
def test_changing_slice_is_read_once_a_compilation(service: str, reads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read 1,000 endpoints takes 15 ms: 40 events a second took most of the event loop."""
    read: list[Any] = []

    def counted(manifest: dict[str, Any]) -> SliceObject | None:
        read.append(manifest)
        return read_slice(manifest)

    monkeypatch.setattr(kubernetes_kinds, "read_slice", counted)
    cache = ObjectCache()
    metadata = {"name": "web", "namespace": "demo", "uid": "uid-web", "resourceVersion": "1"}
    cache.notice(SERVICES, {"metadata": metadata, "spec": {"ports": [{"port": 80}]}})

    def compiled() -> list[tuple[str, int]]:
        known = Services(cache.world(Settings(), {}, 1))
        return [(one.address, one.port) for one in known.endpoints("demo/web:80")]

    for number in range(40):
        cache.notice(SLICES, endpoint_slice(number, service, 80 + number))
    assert not read, "the event loop reads none"
    for _ in range(2):
        assert compiled() == [("10.0.0.1", 119)] * reads
        assert len(read) == reads
    cache.notice(SLICES, endpoint_slice(40, service, 119))
    assert compiled() == [("10.0.0.1", 119)] * reads
    assert len(read) == reads, "nothing relevant has changed"


ODD = st.one_of(JSON, st.sampled_from(["", "a", "web", "10.0.0.1", "fd00::1"]))
ENDPOINT = st.fixed_dictionaries(
    {},
    optional={
        "addresses": st.one_of(st.lists(ODD, max_size=1), ODD.filter(lambda value: not isinstance(value, list))),
        "conditions": st.one_of(ODD, st.fixed_dictionaries({"ready": st.booleans(), "serving": st.booleans()})),
        "hostname": ODD,
        "targetRef": st.one_of(ODD, st.fixed_dictionaries({"kind": st.just("Pod"), "name": ODD, "uid": ODD})),
        "zone": ODD,
    },
)
LABELS = st.fixed_dictionaries({"kubernetes.io/service-name": ODD}, optional={"more": ODD})
METADATA = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "a", "a", "/", 1])}, optional={"namespace": ODD, "labels": st.one_of(ODD, LABELS)}
)
PORTS = st.lists(st.fixed_dictionaries({"port": st.sampled_from([80, None, "80"])}, optional={"name": ODD}), max_size=2)
MANIFEST = st.fixed_dictionaries(
    {"metadata": METADATA, "addressType": st.sampled_from(["IPv4", "IPv6", "FQDN", 4])},
    optional={
        "endpoints": st.one_of(ODD, st.lists(st.one_of(ENDPOINT, ODD), max_size=3)),
        "ports": st.one_of(PORTS, ODD),
    },
)


@given(MANIFEST)
def test_stored_slice_reads_as_its_manifest(found: dict[str, Any]) -> None:
    stored = stored_slices.store(found)
    assert (stored.content if stored is not None else None) == read_slice(found)
