"""From `kubectl apply` to every pod; the status reports Programmed only after every pod acknowledged."""

from __future__ import annotations

import signal
import sys
from time import monotonic, sleep

import pytest
from control_planes import direct_response_route, limits, planes, quantile
from control_traffic import steady_traffic

from inferway_contract.acknowledgement import LEASE_SECONDS
from inferway_testing.until import until

# A data plane older than `DirectResponse.body`: it parses documents strictly, and rejects those with this field.
OLDER = """
import inferway_contract.document as document
from pydantic import field_validator

def refuse(text):
    if "news" in text:
        raise ValueError("this version does not know news")
    return text

class Older(document.DirectResponse):
    _body = field_validator("body")(refuse)

document.DirectResponse = Older
document.Rule.__annotations__["respond"] = Older | None
document.Rule.model_fields["respond"].annotation = Older | None
for model in (document.Rule, document.Route, document.ConfigDocument):
    model.model_rebuild(force=True)
import runpy
runpy.run_module("inferway_dataplane", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def three_pods(api_server, namespace, tmp_path):
    """Start an operator and three pods that serve a first route."""
    with planes(api_server, namespace, tmp_path) as running:
        running.apply(direct_response_route("first", "one"))
        running.operator()
        for number in range(3):
            running.pod(f"gateway-{number}")
        running.programmed("first")
        yield running


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_200_changes_are_programmed_within_two_seconds(three_pods, record_testsuite_property):
    """The p99 from the write to `Programmed=True` 3/3 is at most 2 s, and no request is lost."""
    served, confirmed = [], []
    with steady_traffic([pod.port for pod in three_pods.pods]) as traffic:
        for number in range(200):
            began = monotonic()
            body = f"number {number}"
            three_pods.apply(direct_response_route("first", body))
            for pod in three_pods.pods:
                until(lambda pod=pod, body=body: pod.serves("/", body.encode()), f"{pod.name} serves {body}")
            served.append(monotonic() - began)
            condition = three_pods.programmed("first")
            confirmed.append(monotonic() - began)
            assert condition["message"].startswith("3/3")
    figures = {
        "served by 3, p50": quantile(served, 0.5),
        "served by 3, p99": quantile(served, 0.99),
        "Programmed, p50": quantile(confirmed, 0.5),
        "Programmed, p99": quantile(confirmed, 0.99),
        "requests": traffic.requests,
    }
    for name, value in figures.items():
        record_testsuite_property(name, round(value, 3))
    print(figures)
    assert traffic.failures == []
    assert quantile(confirmed, 0.99) <= 2.0


def test_route_on_three_pods_is_programmed_3_of_3(three_pods):
    three_pods.apply(direct_response_route("second", "two", "/two"), limits("all"))
    three_pods.programmed("second")
    three_pods.programmed("all", kind="RateLimitPolicy")
    assert [pod.get("/two") for pod in three_pods.pods] == [(200, b"two")] * 3
    status = three_pods.get("GatewayRoute", "second")["status"]
    assert (status["dataPlane"]["applied"], status["dataPlane"]["total"]) == (3, 3)
    assert {pod.config()["revision"] for pod in three_pods.pods} == {
        three_pods.get("RateLimitPolicy", "all")["status"]["dataPlane"]["revision"]
    }
    assert three_pods.condition("RateLimitPolicy", "all", "Enforced")["status"] == "True"
    shown = three_pods.api.kubectl("get", "gwr,rlp", "-n", three_pods.namespace).stdout
    assert "3/3" in shown


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_frozen_pod_is_named_as_a_laggard(three_pods):
    frozen = three_pods.pods[1]
    frozen.process.signal(signal.SIGSTOP)
    three_pods.apply(direct_response_route("first", "changed"))
    pending = three_pods.programmed("first", "False")
    assert pending["reason"] == "Pending"
    for pod in (three_pods.pods[0], three_pods.pods[2]):
        until(lambda pod=pod: pod.serves("/", b"changed"), f"{pod.name} serves the change")
    until(
        lambda: three_pods.condition("GatewayRoute", "first").get("message", "").startswith("2/3"),
        "two of three have it",
    )
    assert frozen.name in three_pods.condition("GatewayRoute", "first")["message"]
    [laggard] = three_pods.get("GatewayRoute", "first")["status"]["dataPlane"]["laggards"]
    assert laggard["pod"] == frozen.name
    frozen.process.signal(signal.SIGCONT)
    three_pods.programmed("first", within=30)
    assert frozen.serves("/", b"changed")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_restarted_operator_does_not_count_a_frozen_pod(three_pods):
    """The operator finds the Lease of a hanging pod with the present revision, and must not count it."""
    frozen = three_pods.pods[1]
    frozen.process.signal(signal.SIGSTOP)
    three_pods.programmed("first", "False", within=LEASE_SECONDS + 10)
    before = three_pods.get("GatewayRoute", "first")["status"]
    three_pods.operators[0].stop()
    three_pods.operator()
    three_pods.apply(direct_response_route("second", "two", "/two"))  # it works
    three_pods.programmed("second", "False")
    deadline = monotonic() + LEASE_SECONDS + 5
    while monotonic() < deadline:
        assert three_pods.get("GatewayRoute", "first")["status"] == before
        sleep(0.2)
    frozen.process.signal(signal.SIGCONT)
    three_pods.programmed("first", within=30)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_rejecting_pod_is_reported_while_all_pods_serve(api_server, namespace, tmp_path):
    with planes(api_server, namespace, tmp_path) as running:
        running.apply(direct_response_route("first", "one"))
        running.operator()
        older = running.pod("gateway-older", command=[sys.executable, "-c", OLDER])
        newer = running.pod("gateway-newer")
        running.programmed("first")
        running.apply(direct_response_route("other", "same", "/other"))
        running.programmed("other")
        other = running.get("GatewayRoute", "other")
        running.apply(direct_response_route("first", "news"))
        until(
            lambda: running.condition("GatewayRoute", "first").get("reason") == "Rejected",
            "the rejection to be reported",
        )
        condition = running.condition("GatewayRoute", "first")
        assert "gateway-older" in condition["message"]
        assert "this version does not know news" in condition["message"]
        assert newer.get("/") == (200, b"news")
        assert older.get("/") == (200, b"one")  # its last good config
        assert [pod.get("/other") for pod in running.pods] == [(200, b"same")] * 2
        # Objects not affected by the change were not written again.
        assert running.get("GatewayRoute", "other") == other
        # A pod of that version that starts now, for the autoscaler or a drained node, has no config to keep.
        fresh = running.pod("gateway-fresh", command=[sys.executable, "-c", OLDER])
        assert (fresh.get("/"), fresh.get("/other")) == ((200, b"one"), (200, b"same"))
        until(
            lambda: "gateway-fresh" in running.condition("GatewayRoute", "first")["message"],
            "its rejection is reported too",
        )
        assert running.condition("GatewayRoute", "first")["reason"] == "Rejected"
        running.apply(direct_response_route("first", "repaired"))
        running.programmed("first")
        assert (older.get("/"), fresh.get("/")) == ((200, b"repaired"), (200, b"repaired"))
