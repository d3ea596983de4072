"""K4: a pod that starts without the API server, or receives an incomplete document."""

from __future__ import annotations

import json
import signal
from urllib.parse import quote

import pytest
from control_planes import direct_response_route, planes
from control_traffic import steady_traffic

from inferway_contract.canonical import digest
from inferway_fakes.faulty_tcp import Accepting, FaultyTcp
from inferway_testing.until import until

pytestmark = [pytest.mark.case("K4")]


@pytest.fixture
def one_pod(api_server, namespace, tmp_path):
    """Start an operator, and a pod that serves, behind a separate proxy."""
    with FaultyTcp(api_server.port) as tcp, planes(api_server, namespace, tmp_path) as running:
        running.apply(direct_response_route("first", "one"))
        running.operator()
        pod = running.pod("gateway-0", api_server.through(tcp))
        running.programmed("first")
        yield running, pod, tcp


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_pod_without_the_api_server_starts_from_last_good_copy(one_pod):
    running, pod, tcp = one_pod
    tcp.change(accepting=Accepting.REFUSE)
    tcp.cut_all()
    running.apply(direct_response_route("first", "two"))
    running.restart(pod, running.api.through(tcp))
    assert pod.get("/") == (200, b"one")
    tcp.heal()
    until(lambda: pod.serves("/", b"two"), "it follows again", 10.0)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_pod_without_a_last_good_copy_is_not_ready(one_pod):
    running, pod, tcp = one_pod
    tcp.change(accepting=Accepting.REFUSE)
    tcp.cut_all()
    for file in pod.state.rglob("*"):
        if file.is_file():
            file.unlink()
    pod.process.stop()
    pod.process = running._process(pod.name, pod.uid, pod.state, running.api.through(tcp), ())
    until(lambda: "API server" in pod.process.tail(), "it reports that it cannot reach the API server")
    assert pod.process.is_running
    tcp.heal()
    running.find_ports(pod)
    assert pod.get("/") == (200, b"one")
    # A waiting pod also ends at once on SIGTERM.
    tcp.change(accepting=Accepting.REFUSE)
    tcp.cut_all()
    for file in pod.state.rglob("*"):
        if file.is_file():
            file.unlink()
    pod.process.stop()
    pod.process = running._process(pod.name, pod.uid, pod.state, running.api.through(tcp), ())
    until(lambda: "API server" in pod.process.tail(), "it reports that it cannot reach the API server")
    assert pod.process.stop(signal.SIGTERM, 5.0) == 0


HARMS = ("truncated", "another hash", "missing", "no index")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_incomplete_document_is_rejected_and_reported(one_pod):
    """Inject the errors one after the other; the operator's repair ends each without a trace."""
    running, pod, _ = one_pod
    for number, harm in enumerate(HARMS):
        # The operator is away, so the broken document stays.
        running.operators[-1].stop()
        with steady_traffic([pod.port], is_wanted=lambda status, body: (status, body) == (200, b"one")) as traffic:
            break_documents(running, harm, f"inferway-{number}123456789")
            print(until(lambda: lease_error_of(running, pod), f"{harm}: the error in its Lease"))
            assert pod.config()["lastError"]
        assert traffic.failures == []
        assert pod.get("/readyz", admin=True)[0] == 200
        # The operator repairs it when it is back.
        running.operator()
        until(lambda: not lease_error_of(running, pod), f"{harm}: the error to be over")
        assert pod.get("/") == (200, b"one")


def break_documents(running, harm, name):
    """Publish a new shard of this name that does not match its index."""
    api, folder = running.api, f"/api/v1/namespaces/{running.namespace}/configmaps"
    index = json.loads(api.ask("GET", f"{folder}/inferway-config")["data"]["index"])
    [ref] = index["shards"]
    content = api.ask("GET", f"{folder}/{ref['name']}")["data"]["shard"].replace("one", "two")
    wanted = "0" * 64 if harm == "another hash" else digest(content.encode())
    if harm in ("truncated", "another hash"):
        body = {"metadata": {"name": name, "labels": {"inferway.dev/gateway": "inferway"}}}
        api.ask("POST", folder, {**body, "data": {"shard": content[:-7] if harm == "truncated" else content}})
    text = "{" if harm == "no index" else json.dumps({**index, "shards": [{"name": name, "digest": wanted}]})
    api.ask("PATCH", f"{folder}/inferway-config", {"data": {"index": text}}, "application/merge-patch+json")


def lease_error_of(running, pod):
    """Return the error in the pod's Lease; None = no error."""
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{running.namespace}/leases/{quote(pod.name)}"
    return running.api.ask("GET", lease)["metadata"]["annotations"].get("inferway.dev/error")
