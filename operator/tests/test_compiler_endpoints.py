"""Properties and bounds of a Service's endpoints; single cases are golden files."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from inferway_contract.canonical import canonical
from inferway_contract.document import EndpointsDocument
from inferway_contract.sharding import lay_out_endpoints
from inferway_operator import compiler
from inferway_operator.compiler.endpoints import MAX_ENDPOINTS
from inferway_operator.world.world import from_manifests
from inferway_testing.examples import examples

Manifest = dict[str, Any]
KEY = "demo/web:80"
ROUTE: Manifest = {
    "apiVersion": "inferway.dev/v1alpha1",
    "kind": "GatewayRoute",
    "metadata": {"name": "shop", "namespace": "demo"},
    "spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}]}]},
}


def service(**spec: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "demo"},
        "spec": {"ports": [{"port": 80}], **spec},
    }


def slice_of(number: int, family: str, endpoints: list[Manifest], **more: Any) -> Manifest:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"web-{number}",
            "namespace": "demo",
            "labels": {"kubernetes.io/service-name": "web"},
            **more,
        },
        "addressType": family,
        "ports": [{"port": 8080}],
        "endpoints": endpoints,
    }


def published(*manifests: Manifest) -> EndpointsDocument:
    return compiler.compile(from_manifests([ROUTE, *manifests], standalone=False)).endpoints


ENDPOINTS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.fixed_dictionaries(
            {},
            optional={
                "conditions": st.fixed_dictionaries(
                    {}, optional=dict.fromkeys(("ready", "serving", "terminating"), st.none() | st.booleans())
                ),
                "targetRef": st.fixed_dictionaries(
                    {}, optional={"uid": st.sampled_from("abc"), "name": st.sampled_from("pq")}
                ),
                "hostname": st.sampled_from("hi"),
            },
        ),
    ),
    max_size=4,
)


@given(ENDPOINTS, ENDPOINTS, st.booleans(), st.booleans())
@settings(max_examples=examples(300), deadline=None)
def test_every_usable_address_is_published_exactly_once(
    four: list[tuple[int, Manifest]], six: list[tuple[int, Manifest]], publishes_unready: bool, prefers_six: bool
) -> None:
    listed = [
        *({"addresses": [f"10.1.0.{number}"], **more} for number, more in four),
        *({"addresses": [f"2001:db8::{number}"], **more} for number, more in six),
    ]
    web = service(
        publishNotReadyAddresses=publishes_unready, ipFamilies=["IPv6", "IPv4"] if prefers_six else ["IPv4", "IPv6"]
    )
    slices = [slice_of(4, "IPv4", listed[: len(four)]), slice_of(6, "IPv6", listed[len(four) :])]
    document = published(web, *slices)
    endpoints = document.services[KEY]
    assert document == published(*reversed(slices), web)

    def addresses(is_wanted: Any) -> set[str]:
        return {item["addresses"][0] for item in listed if is_wanted(item.get("conditions", {}))}

    ready = addresses(lambda found: publishes_unready or found.get("ready") is not False)
    last_resort = addresses(lambda found: found.get("serving") is True and found.get("terminating") is True)
    shown = [address for endpoint in endpoints for address in (endpoint.address, *endpoint.further)]
    assert sorted(shown) == sorted(ready or last_resort)
    for endpoint in endpoints:
        if endpoint.further:
            assert [":" in address for address in (endpoint.address, *endpoint.further)] == [
                prefers_six,
                not prefers_six,
            ]


def test_endpoints_above_the_bound_are_left_out_and_reported() -> None:
    def pod(number: int, address: str) -> Manifest:
        return {"addresses": [address], "targetRef": {"kind": "Pod", "uid": f"u-{number}"}}

    number = MAX_ENDPOINTS + 3
    four = [
        pod(index, f"100.{100 + index // 10_000}.{100 + index // 100 % 100}.{100 + index % 100}")
        for index in range(number)
    ]
    six = [
        pod(index, f"2001:db8:1111:2222:3333:4444:{5_000 + index // 5_000}:{1_000 + index % 5_000}")
        for index in range(number)
    ]
    made = compiler.compile(
        from_manifests(
            [ROUTE, service(ipFamilies=["IPv6", "IPv4"]), slice_of(4, "IPv4", four), slice_of(6, "IPv6", six)],
            standalone=False,
        )
    )
    endpoints = made.endpoints.services[KEY]
    assert len(endpoints) == MAX_ENDPOINTS
    assert all(endpoint.further for endpoint in endpoints)
    assert lay_out_endpoints(made.endpoints).shards, "they fit into a shard"
    assert made.left_out[KEY].excess == 3
    (resolved,) = (item for item in made.verdicts[0].conditions if item.type == "ResolvedRefs")
    assert resolved.status
    assert f"has more endpoints than {MAX_ENDPOINTS}" in resolved.message


def test_topology_has_no_effect_on_endpoints() -> None:
    def entry(number: int, **more: Any) -> Manifest:
        return {"addresses": [f"10.1.0.{number}"], **more}

    plain = published(service(), slice_of(4, "IPv4", [entry(1), entry(2)]))
    hints = [entry(1, zone="a", hints={"forZones": [{"name": "a"}]}), entry(2, zone="b", nodeName="n")]
    annotations = {"service.kubernetes.io/topology-mode": "Auto"}
    zoned = published(
        service(trafficDistribution="PreferClose", internalTrafficPolicy="Local"),
        slice_of(4, "IPv4", hints, annotations=annotations),
    )
    assert canonical(zoned) == canonical(plain)
    assert len(plain.services[KEY]) == 2
