"""A pod of a dual-stack Service: one endpoint with an address of each family, of which one may not be reachable."""

from __future__ import annotations

import json
import socket

import pytest

from inferway_fakes.yaml_builders import route, rule

SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: model}
spec: {ports: [{port: 80}], ipFamilies: [%(preferred)s, %(other)s]}
"""
SLICE = """
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: model-%(name)s, labels: {kubernetes.io/service-name: model}}
addressType: %(family)s
ports: [{port: %(port)s}]
endpoints: [{addresses: ["%(address)s"], targetRef: {kind: Pod, name: a, uid: u-a}}]
"""


def manifests(port: int, preferred: str, ipv4: str = "127.0.0.1", ipv6: str = "::1") -> str:
    """A route to a Service with one pod."""
    other = "IPv4" if preferred == "IPv6" else "IPv6"
    text = route(rule("backendRefs: [{name: model, port: 80}]\ncircuitBreaker: {consecutiveFailures: 1}"))
    text += SERVICE % {"preferred": preferred, "other": other}
    text += SLICE % {"name": "4", "family": "IPv4", "port": port, "address": ipv4}
    return text + SLICE % {"name": "6", "family": "IPv6", "port": port, "address": ipv6}


def members(gateway) -> list[dict[str, object]]:
    """The members of the only rule."""
    [shown] = json.loads(gateway.request("/debug/backends", port=gateway.admin_port).body)
    return [member for backend in shown["backends"] for member in backend["endpoints"]]


@pytest.mark.parametrize("preferred", ["IPv4", "IPv6"])
def test_pod_is_reached_by_the_family_that_answers(serve, upstream, preferred):
    """The upstream listens on 127.0.0.1 only: [::1] refuses connections, and the other address is tried at once."""
    gateway = serve(manifests(upstream.port, preferred))
    for _ in range(20):
        assert gateway.request().status == 200
    assert len(upstream.seen) == 20
    [member] = members(gateway)
    assert member["state"] == "available", "a family that is not reachable is no failure of the pod"


def test_pod_that_no_family_reaches_is_one_failed_endpoint(serve, upstream):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        gateway = serve(manifests(reserved.getsockname()[1], "IPv6"))
        answer = gateway.request()
    assert (answer.status, json.loads(answer.body)["code"]) == (502, "connect_failed")
    assert len(members(gateway)) == 1
