"""A tenant whose EndpointSlices change all the time delays no change of another, and writes a bounded number of bytes."""

from __future__ import annotations

import itertools
import json
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

import pytest
from control_planes import direct_response_route, planes

from inferway_testing.until import until

HOSTS = [f"fd00:1111:2222:3333:4444:{one // 250 + 1:x}:{one % 250 + 1:x}:1" for one in range(1000)]


def serve(api, place, service, hosts, port=8080):
    """Give a Service of a namespace these endpoints, in one slice."""
    labels = {"kubernetes.io/service-name": service}
    objects = {
        f"/api/v1/namespaces/{place}/services/{service}": {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": service}, "spec": {"ports": [{"port": 80}]},
        },
        f"/apis/discovery.k8s.io/v1/namespaces/{place}/endpointslices/{service}": {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv6",
            "metadata": {"name": service, "labels": labels}, "ports": [{"name": "", "port": port}],
            "endpoints": [{"addresses": [one], "conditions": {"ready": True}} for one in hosts],
        },
    }  # fmt: skip
    for path, manifest in objects.items():
        api.ask("PATCH", f"{path}?fieldManager=test&force=true", manifest, "application/apply-patch+yaml")


def to_services(name, *services):
    """Return a route to these Services."""
    route = direct_response_route(name, "")
    route["spec"]["rules"] = [
        {"matches": [{"path": {"value": f"/{name}/{service}"}}], "backendRefs": [{"name": service, "port": 80}]}
        for service in services
    ]
    return route


def change_port(api, place, service, port):
    """Change the port of a slice: all its endpoints are other ones then."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{place}/endpointslices/{service}"
    api.ask("PATCH", path, {"ports": [{"name": "", "port": port}]}, "application/merge-patch+json")


@contextmanager
def flapping(api, place, services):
    """Change the port of the slices of these Services, one after the other without a pause."""
    stopped = Event()

    def flap():
        for turn in itertools.count():
            for service in services:
                if stopped.is_set():
                    return
                change_port(api, place, service, 8081 + turn % 1000)

    thread = Thread(target=flap)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


@pytest.fixture
def tenant(api_server, namespace):
    """Return the namespace of a tenant."""
    name = f"{namespace}-flapping"
    api_server.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


@pytest.mark.timeout(120)
def test_changing_slices_cost_little_and_delay_no_other(api_server, namespace, tenant, tmp_path):
    """Each event of 1,000 endpoints took 15 ms of the event loop, also those of a Service that no route names."""
    services = [f"s{number}" for number in range(6)]
    for service in services:
        serve(api_server, tenant, service, HOSTS)
    with planes(api_server, namespace, tmp_path) as running:
        running.apply(to_services("named", services[0]), namespace=tenant)
        running.apply(direct_response_route("first", "before"))
        operator = running.operator(also=[tenant])
        pod = running.pod("gw-0")
        until(lambda: pod.serves("/", b"before"), "the first config is served", 30)
        before, events = operator.cpu_seconds(), 100
        for number in range(events):
            change_port(api_server, tenant, services[1 + number % 5], 9000 + number)
        assert operator.cpu_seconds() - before < events * 0.008
        with flapping(api_server, tenant, services):
            for number in range(3):
                changed, body = monotonic(), f"change {number}"
                running.apply(direct_response_route("first", body))
                until(lambda body=body: pod.serves("/", body.encode()), "the change is served", 30)
                assert monotonic() - changed < 5.0


@pytest.mark.timeout(180)
def test_flapping_endpoints_write_their_budget(api_server, namespace, tenant, tmp_path):
    """Changes of a route, and of the endpoints of another tenant, do not wait meanwhile."""
    with planes(api_server, namespace, tmp_path) as running:
        for place, hosts in ((tenant, HOSTS), (namespace, HOSTS[:1])):
            serve(api_server, place, "web", hosts)
            running.apply(to_services("web", "web"), namespace=place)
        running.operator(also=[tenant], namespace_write_bytes=str(1 << 20))
        until(lambda: f"{tenant}/web" in json.dumps(running.documents()), "all is published", 60)
        with flapping(api_server, tenant, ["web"]):
            until(lambda: "endpoints wait, too many bytes" in running.operator_logs(), "the tenant is held back", 60)
            before = written(running)
            for number in range(3):
                changed, address = monotonic(), f"fd00:2222::{number + 1}"
                serve(api_server, namespace, "web", [address])
                until(lambda address=address: address in json.dumps(running.documents()), "it is published")
                running.apply(direct_response_route("own", f"own {number}", "/own"), namespace=tenant)
                until(lambda number=number: f"own {number}" in json.dumps(running.documents()), "the route is too")
                assert monotonic() - changed < 4.0
            # What 15 seconds allow, one publication that exceeds it, and the other changes.
            assert written(running) - before < (1 << 18) + (256 << 10) + (128 << 10)
        serve(api_server, tenant, "web", ["fd00:3333::1"])
        until(lambda: "fd00:3333::1" in json.dumps(running.documents()), "endpoints that are gone leave", 60)


def written(running):
    """Return the bytes of all ConfigMaps of the gateway, those that nothing needs any more included."""
    return sum(len(text) for data in running.documents().values() for text in data.values())
