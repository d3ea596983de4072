"""The acknowledgement in the Lease of a pod, on a real API server."""

from __future__ import annotations

from datetime import datetime

import pytest
from cluster_gateway import cluster_gateway
from config_publisher import Publisher, config_with_bodies, endpoints
from test_source_cluster import MAY

from inferway_contract.acknowledgement import GATEWAY_LABEL, Acknowledgement, from_annotations
from inferway_dataplane.sources.lease import Pod
from inferway_envtest import ApiServer, Fault
from inferway_testing.until import until

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}"


class PodLease:
    """Of one pod."""

    def __init__(self, api: ApiServer, namespace: str, name: str) -> None:
        self.api = api
        self.path = LEASES.format(namespace, name)
        self.publisher = Publisher(api, namespace)
        self.user = api.service_account(namespace, "gateway", MAY)
        made = api.pod(namespace, name, {GATEWAY_LABEL: "inferway"})
        self.pod = Pod(name, made["metadata"]["uid"], "inferway")

    def get(self):
        """The Lease, or None."""
        found = self.api.ask("GET", f"{self.path.rpartition('/')[0]}?fieldSelector=metadata.name={self.pod.name}")
        return found["items"][0] if found["items"] else None

    def said(self) -> Acknowledgement:
        """The present acknowledgement."""
        found = self.get()
        return from_annotations(found["metadata"]["annotations"]) if found else Acknowledgement(error="no Lease")

    def renewed(self) -> datetime:
        """When it was renewed last."""
        return datetime.fromisoformat(self.get()["spec"]["renewTime"])


@pytest.fixture
def pod_lease(api_server: ApiServer, namespace: str) -> PodLease:
    """Of `gateway-7`."""
    return PodLease(api_server, namespace, "gateway-7")


def test_lease_is_owned_by_the_pod_and_reports_its_revision(api_server, namespace, pod_lease):
    with cluster_gateway(api_server.kubeconfig(pod_lease.user), namespace, pod=pod_lease.pod) as gateway:
        until(lambda: pod_lease.said() == Acknowledgement(formats=(1, 2)), "a Lease that says nothing is served")
        found = pod_lease.get()
        assert found["metadata"]["labels"] == {GATEWAY_LABEL: "inferway"}
        [owner] = found["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", "gateway-7", pod_lease.pod.uid)
        assert found["spec"]["holderIdentity"] == pod_lease.pod.uid
        assert found["spec"]["leaseDurationSeconds"] == 15
        revision = pod_lease.publisher.publish(config_with_bodies("one"), endpoints(a=[]))
        until(lambda: pod_lease.said().config == revision, "the revision to be said")
        gateway.serves("one")
        before = pod_lease.said().endpoints
        pod_lease.publisher.endpoints(endpoints(a=[1]))
        until(lambda: pod_lease.said().endpoints not in ("", before), "the endpoints' revision to be said")
        pod_lease.publisher.index("config", "{")
        until(lambda: "cannot be read" in pod_lease.said().error, "the refusal to be said")
        said = pod_lease.said()
        assert (said.config, bool(said.refused), said.refused != revision) == (revision, True, True)
        pod_lease.publisher.config(config_with_bodies("one"))
        until(lambda: (pod_lease.said().error, pod_lease.said().refused) == ("", ""), "the refusal to be over")


def test_lease_is_renewed_regularly_and_on_a_new_revision(api_server, namespace, pod_lease):
    slow = pod_lease.pod
    with cluster_gateway(api_server.kubeconfig(pod_lease.user), namespace, pod=slow) as gateway:
        until(pod_lease.get, "a Lease")
        first = pod_lease.renewed()
        until(lambda: pod_lease.renewed() > first, "a renewal")
        pod_lease.publisher.publish(config_with_bodies("one"))
        gateway.serves("one")
        until(lambda: pod_lease.said().config == gateway.revision, "the revision to be said")


def test_lease_changed_or_deleted_by_others_is_restored(api_server, namespace, pod_lease):
    with cluster_gateway(api_server.kubeconfig(pod_lease.user), namespace, pod=pod_lease.pod) as gateway:
        revision = pod_lease.publisher.publish(config_with_bodies("one"))
        until(lambda: pod_lease.said().config == revision, "the revision to be said")
        stolen = {"metadata": {"annotations": {"inferway.dev/config-revision": "x"}}, "spec": {"holderIdentity": "x"}}
        api_server.ask("PATCH", pod_lease.path, stolen, "application/merge-patch+json")
        until(lambda: pod_lease.said().config == revision, "the revision to be said again")
        assert pod_lease.get()["spec"]["holderIdentity"] == pod_lease.pod.uid
        api_server.ask("DELETE", pod_lease.path)
        until(lambda: pod_lease.said().config == revision, "a new Lease")
        gateway.serves("one")


@pytest.mark.slow
def test_lease_of_an_older_pod_of_the_same_name_is_taken_over(api_server, namespace, pod_lease):
    older = Pod(pod_lease.pod.name, "00000000-0000-0000-0000-000000000000", "inferway")
    with cluster_gateway(api_server.kubeconfig(pod_lease.user), namespace, pod=older):
        until(pod_lease.get, "its Lease")
    with cluster_gateway(api_server.kubeconfig(pod_lease.user), namespace, pod=pod_lease.pod):
        until(
            lambda: (found := pod_lease.get()) is not None and found["spec"]["holderIdentity"] == pod_lease.pod.uid,
            "the Lease to be the new pod's",
        )
        assert [owner["uid"] for owner in pod_lease.get()["metadata"]["ownerReferences"]] == [pod_lease.pod.uid]


@pytest.mark.slow
@pytest.mark.case("K1")
@pytest.mark.parametrize("code", [409, 429, 500])
def test_rejected_lease_renewals_are_logged_once(api_server, namespace, pod_lease, code, caplog):
    caplog.set_level("INFO", "inferway.cluster")
    with api_server.http_faults() as faults:
        kubeconfig = api_server.through(faults, pod_lease.user)
        with cluster_gateway(kubeconfig, namespace, pod=pod_lease.pod) as gateway:
            pod_lease.publisher.publish(config_with_bodies("one"))
            gateway.serves("one")
            headers = {"Retry-After": "1"} if code == 429 else {}
            fault = faults.add(Fault("PATCH", "/leases/", code=code, times=3, headers=headers))
            revision = pod_lease.publisher.publish(config_with_bodies("two"))
            gateway.serves("two")
            until(lambda: pod_lease.said().config == revision, "the revision to be said")
            assert fault.hits == 3
            told = ["the Lease cannot be renewed, traffic continues", "the Lease is renewed again"]
            # The API server has it a moment before the pod hears that it has.
            until(
                lambda: [one.getMessage() for one in caplog.records if "Lease" in one.getMessage()] == told, str(told)
            )


def test_lease_outlives_the_process_but_not_its_pod(api_server, namespace, pod_lease):
    with cluster_gateway(api_server.kubeconfig(pod_lease.user), namespace, pod=pod_lease.pod):
        until(pod_lease.get, "its Lease")
    assert pod_lease.get() is not None
    api_server.ask("DELETE", f"/api/v1/namespaces/{namespace}/pods/{pod_lease.pod.name}")
    until(lambda: pod_lease.get() is None, "the Lease to go with its pod", 30.0)
