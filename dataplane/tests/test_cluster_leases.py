"""The acknowledgement in the Lease of a pod, on a real API server."""

from __future__ import annotations

from datetime import datetime

import pytest
from cluster_gateway import cluster_gateway
from publishing import Publisher, endpoints, saying
from test_cluster_source import MAY

from inferway_contract.acknowledgement import GATEWAY_LABEL, Acknowledgement, from_annotations
from inferway_dataplane.sources.lease import Pod
from inferway_envtest import ApiServer, Fault
from inferway_testing.until import until

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}"


class Leases:
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
def leases(api_server: ApiServer, namespace: str) -> Leases:
    """Of `gateway-7`."""
    return Leases(api_server, namespace, "gateway-7")


def test_it_is_the_pods_own_and_says_what_is_served(api_server, namespace, leases):
    with cluster_gateway(api_server.kubeconfig(leases.user), namespace, pod=leases.pod) as gateway:
        until(lambda: leases.said() == Acknowledgement(), "a Lease that says nothing is served")
        found = leases.get()
        assert found["metadata"]["labels"] == {GATEWAY_LABEL: "inferway"}
        [owner] = found["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Pod", "gateway-7", leases.pod.uid)
        assert found["spec"]["holderIdentity"] == leases.pod.uid
        assert found["spec"]["leaseDurationSeconds"] == 15
        revision = leases.publisher.publish(saying("one"), endpoints(a=[]))
        until(lambda: leases.said().config == revision, "the revision to be said")
        gateway.serves("one")
        before = leases.said().endpoints
        leases.publisher.endpoints(endpoints(a=[1]))
        until(lambda: leases.said().endpoints not in ("", before), "the endpoints' revision to be said")
        leases.publisher.index("config", "{")
        until(lambda: "cannot be read" in leases.said().error, "the refusal to be said")
        said = leases.said()
        assert (said.config, bool(said.refused), said.refused != revision) == (revision, True, True)
        leases.publisher.config(saying("one"))
        until(lambda: (leases.said().error, leases.said().refused) == ("", ""), "the refusal to be over")


def test_it_is_renewed_all_the_time_and_a_change_is_said_at_once(api_server, namespace, leases):
    slow = leases.pod
    with cluster_gateway(api_server.kubeconfig(leases.user), namespace, pod=slow) as gateway:
        until(leases.get, "a Lease")
        first = leases.renewed()
        until(lambda: leases.renewed() > first, "a renewal")
        leases.publisher.publish(saying("one"))
        gateway.serves("one")
        until(lambda: leases.said().config == gateway.revision, "the revision to be said")


def test_one_that_somebody_changed_or_deleted_is_put_right(api_server, namespace, leases):
    with cluster_gateway(api_server.kubeconfig(leases.user), namespace, pod=leases.pod) as gateway:
        revision = leases.publisher.publish(saying("one"))
        until(lambda: leases.said().config == revision, "the revision to be said")
        stolen = {"metadata": {"annotations": {"inferway.dev/config-revision": "x"}}, "spec": {"holderIdentity": "x"}}
        api_server.ask("PATCH", leases.path, stolen, "application/merge-patch+json")
        until(lambda: leases.said().config == revision, "the revision to be said again")
        assert leases.get()["spec"]["holderIdentity"] == leases.pod.uid
        api_server.ask("DELETE", leases.path)
        until(lambda: leases.said().config == revision, "a new Lease")
        gateway.serves("one")


@pytest.mark.slow
def test_an_older_pod_of_the_same_name_leaves_no_owner(api_server, namespace, leases):
    older = Pod(leases.pod.name, "00000000-0000-0000-0000-000000000000", "inferway")
    with cluster_gateway(api_server.kubeconfig(leases.user), namespace, pod=older):
        until(leases.get, "its Lease")
    with cluster_gateway(api_server.kubeconfig(leases.user), namespace, pod=leases.pod):
        until(
            lambda: (found := leases.get()) is not None and found["spec"]["holderIdentity"] == leases.pod.uid,
            "the Lease to be the new pod's",
        )
        assert [owner["uid"] for owner in leases.get()["metadata"]["ownerReferences"]] == [leases.pod.uid]


@pytest.mark.slow
@pytest.mark.case("K1")
@pytest.mark.parametrize("code", [409, 429, 500])
def test_refused_renewals_are_told_once_and_touch_no_traffic(api_server, namespace, leases, code, caplog):
    caplog.set_level("INFO", "inferway.cluster")
    with api_server.http_faults() as faults:
        kubeconfig = api_server.through(faults, leases.user)
        with cluster_gateway(kubeconfig, namespace, pod=leases.pod) as gateway:
            leases.publisher.publish(saying("one"))
            gateway.serves("one")
            headers = {"Retry-After": "1"} if code == 429 else {}
            fault = faults.add(Fault("PATCH", "/leases/", code=code, times=3, headers=headers))
            revision = leases.publisher.publish(saying("two"))
            gateway.serves("two")
            until(lambda: leases.said().config == revision, "the revision to be said")
            assert fault.hits == 3
            told = ["the Lease cannot be renewed, traffic continues", "the Lease is renewed again"]
            # The API server has it a moment before the pod hears that it has.
            until(
                lambda: [one.getMessage() for one in caplog.records if "Lease" in one.getMessage()] == told, str(told)
            )


def test_it_is_left_when_the_process_ends(api_server, namespace, leases):
    with cluster_gateway(api_server.kubeconfig(leases.user), namespace, pod=leases.pod):
        until(leases.get, "its Lease")
    assert leases.get() is not None
    api_server.ask("DELETE", f"/api/v1/namespaces/{namespace}/pods/{leases.pod.name}")
    until(lambda: leases.get() is None, "the Lease to go with its pod", 30.0)
