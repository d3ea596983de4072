"""K4: a pod that starts without the API server, or meets a document that is not whole."""

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
    """An operator and a pod behind a proxy of its own, that serves."""
    with FaultyTcp(api_server.port) as tcp, planes(api_server, namespace, tmp_path) as made:
        made.apply(direct_response_route("first", "one"))
        made.operator()
        pod = made.pod("gateway-0", api_server.through(tcp))
        made.programmed("first")
        yield made, pod, tcp


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_pod_without_the_api_server_starts_from_last_good_copy(one_pod):
    made, pod, tcp = one_pod
    tcp.change(accepting=Accepting.REFUSE)
    tcp.cut_all()
    made.apply(direct_response_route("first", "two"))
    made.restart(pod, made.api.through(tcp))
    assert pod.get("/") == (200, b"one")
    tcp.heal()
    until(lambda: pod.serves("/", b"two"), "it follows again", 10.0)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_pod_without_a_last_good_copy_is_not_ready(one_pod):
    made, pod, tcp = one_pod
    tcp.change(accepting=Accepting.REFUSE)
    tcp.cut_all()
    for file in pod.state.rglob("*"):
        if file.is_file():
            file.unlink()
    pod.process.stop()
    pod.process = made._process(pod.name, pod.uid, pod.state, made.api.through(tcp), ())
    until(lambda: "API server" in pod.process.tail(), "it says that it cannot reach the API server")
    assert pod.process.is_running
    tcp.heal()
    made.find_ports(pod)
    assert pod.get("/") == (200, b"one")
    # And one that waits ends at once when it is asked to.
    tcp.change(accepting=Accepting.REFUSE)
    tcp.cut_all()
    for file in pod.state.rglob("*"):
        if file.is_file():
            file.unlink()
    pod.process.stop()
    pod.process = made._process(pod.name, pod.uid, pod.state, made.api.through(tcp), ())
    until(lambda: "API server" in pod.process.tail(), "it says that it cannot reach the API server")
    assert pod.process.stop(signal.SIGTERM, 5.0) == 0


HARMS = ("truncated", "another hash", "missing", "no index")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_incomplete_document_is_rejected_and_reported(one_pod):
    """One after the other: each is over, and leaves nothing behind, when the operator has put it right."""
    made, pod, _ = one_pod
    for number, harm in enumerate(HARMS):
        # The operator is away: nobody mends what is broken here.
        made.operators[-1].stop()
        with steady_traffic([pod.port], is_wanted=lambda status, body: (status, body) == (200, b"one")) as traffic:
            break_documents(made, harm, f"inferway-{number}123456789")
            print(until(lambda: lease_error_of(made, pod), f"{harm}: the error to be told"))
            assert pod.config()["lastError"]
        assert traffic.failures == []
        assert pod.get("/readyz", admin=True)[0] == 200
        # An operator that comes back puts it right.
        made.operator()
        until(lambda: not lease_error_of(made, pod), f"{harm}: the error to be over")
        assert pod.get("/") == (200, b"one")


def break_documents(made, harm, name):
    """Publish a shard of this name, which the pod does not know yet, that is not what its index says of it."""
    api, folder = made.api, f"/api/v1/namespaces/{made.namespace}/configmaps"
    index = json.loads(api.ask("GET", f"{folder}/inferway-config")["data"]["index"])
    [ref] = index["shards"]
    content = api.ask("GET", f"{folder}/{ref['name']}")["data"]["shard"].replace("one", "two")
    wanted = "0" * 64 if harm == "another hash" else digest(content.encode())
    if harm in ("truncated", "another hash"):
        body = {"metadata": {"name": name, "labels": {"inferway.dev/gateway": "inferway"}}}
        api.ask("POST", folder, {**body, "data": {"shard": content[:-7] if harm == "truncated" else content}})
    text = "{" if harm == "no index" else json.dumps({**index, "shards": [{"name": name, "digest": wanted}]})
    api.ask("PATCH", f"{folder}/inferway-config", {"data": {"index": text}}, "application/merge-patch+json")


def lease_error_of(made, pod):
    """The error that the pod tells in its Lease; None = there is none."""
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{made.namespace}/leases/{quote(pod.name)}"
    return made.api.ask("GET", lease)["metadata"]["annotations"].get("inferway.dev/error")
