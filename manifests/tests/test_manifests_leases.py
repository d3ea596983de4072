"""A pod of the data plane may write only its own Lease with its own report, although RBAC permits its account more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from identities import api_client, delete_pod, pod, token
from kustomizations import overlay, templates

from inferway_contract.acknowledgement import MAX_ERROR, Acknowledgement
from inferway_dataplane.__main__ import FIELD_MANAGER
from inferway_dataplane.sources.lease import Pod, lease_of
from inferway_envtest import ApiServer, User
from inferway_envtest.client import Asker, Refused
from inferway_testing.until import until

NAMESPACE = "inferway-system"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
REFUSAL = "a pod of the data plane writes the Lease of its own name"


def lease(name: str, uid: str = "it", **metadata: Any) -> dict[str, Any]:
    """Return the Lease that a pod's process writes, with other metadata."""
    report = Acknowledgement(config="0123456789", endpoints="0123456789")
    written = lease_of(Pod(name, uid, "inferway"), report, datetime.now(UTC))
    for field, value in metadata.items():
        if isinstance(value, dict):
            value = {**written["metadata"][field], **value}
        written["metadata"][field] = value
    return written


def bare_lease(name: str, holder: str = "it") -> dict[str, Any]:
    """Return a Lease of a client that is not a pod of the data plane."""
    written = lease(name, holder)
    return {**written, "metadata": {"name": name}}


def put(client: Asker, written: dict[str, Any], manager: str = FIELD_MANAGER) -> Any:
    name = written["metadata"]["name"]
    return client.ask("PATCH", f"{LEASES}/{name}?fieldManager={manager}&force=true", written, APPLY)


def is_in_force(client: Asker) -> bool:
    """Return whether the policy applies, which is a moment after it is stored."""
    try:
        client.ask("PATCH", f"{LEASES}/probe?fieldManager=test&dryRun=All", lease("probe"), APPLY)
    except Refused as refused:
        return REFUSAL in str(refused)
    return False


@pytest.fixture(scope="module")
def pods(installed: ApiServer) -> Iterator[dict[str, str]]:
    """Create two pods of the Deployment; their uids by name."""
    template = templates(overlay("dev"))["inferway-gateway"]
    names = {name: pod(installed, template, NAMESPACE, name)["metadata"]["uid"] for name in ("lease-a", "lease-b")}
    with client_of(installed, token(installed, NAMESPACE, "inferway-gateway")) as client:
        until(lambda: is_in_force(client), "the policy is in force")
    yield names
    for name in names:
        delete_pod(installed, NAMESPACE, name)


@contextmanager
def client_of(api: ApiServer, user: User) -> Iterator[Asker]:
    client = api_client(api, user)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def first(installed: ApiServer, pods: dict[str, str]) -> Iterator[Asker]:
    """Return a client with the token of the first pod."""
    pod_object = installed.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/lease-a")
    with client_of(installed, token(installed, NAMESPACE, "inferway-gateway", pod_object)) as client:
        yield client


@pytest.fixture
def uid(pods: dict[str, str]) -> str:
    """Return the uid of the first pod."""
    return pods["lease-a"]


@pytest.fixture
def held(installed: ApiServer, first: Asker, uid: str) -> dict[str, Any]:
    """Let the first pod write its Lease, and return that."""
    return dict(put(first, lease("lease-a", uid)))


def test_pod_creates_and_renews_its_own_lease(first: Asker, uid: str) -> None:
    report = Acknowledgement(config="0123456789", refused="ffffffffff", error="\N{GRINNING FACE}" * MAX_ERROR)
    for acknowledged in (Acknowledgement(), report):
        written = lease_of(Pod("lease-a", uid, "inferway"), acknowledged, datetime.now(UTC))
        assert put(first, written)["metadata"]["annotations"] == written["metadata"]["annotations"]


def test_pod_may_not_write_the_lease_of_another_pod(
    installed: ApiServer, first: Asker, pods: dict[str, str], uid: str
) -> None:
    for other in (pods["lease-b"], uid):
        with pytest.raises(Refused, match=REFUSAL) as rejection:
            put(first, lease("lease-b", other))
        assert rejection.value.code == 403
        assert 'the token is for the pod "lease-a", the Lease is "lease-b"' in str(rejection.value)
    with pytest.raises(Refused, match=REFUSAL):
        first.ask("POST", f"{LEASES}?fieldManager={FIELD_MANAGER}", lease("lease-b"))
    installed.ask("POST", LEASES, bare_lease("lease-b", "the pod itself"))
    with pytest.raises(Refused, match=REFUSAL):
        put(first, lease("lease-b", uid))
    assert installed.ask("GET", f"{LEASES}/lease-b")["spec"]["holderIdentity"] == "the pod itself"


OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "lease-a"}
REFUSED = {
    "another holder": ({"spec": {"holderIdentity": "another"}}, "by its own uid"),
    "no holder": ({"spec": {"holderIdentity": None}}, "by its own uid"),
    "gateway label of another gateway": (
        {"metadata": {"labels": {"inferway.dev/gateway": "b"}}},
        "gateway=inferway only",
    ),
    "no gateway label": ({"metadata": {"labels": {"inferway.dev/gateway": None}}}, "gateway=inferway only"),
    "another label": ({"metadata": {"labels": {"app": "x"}}}, "gateway=inferway only"),
    "label of an administrator changed": ({"metadata": {"labels": {"team": "x"}}}, "gateway=inferway only"),
    "label of an administrator removed": ({"metadata": {"labels": {"team": None}}}, "gateway=inferway only"),
    "foreign annotation": (
        {"metadata": {"annotations": {"kubectl.kubernetes.io/x": "y"}}},
        "annotations inferway.dev/",
    ),
    "prefix as a part": ({"metadata": {"annotations": {"x.inferway.dev/error": "y"}}}, "annotations inferway.dev/"),
    "foreign annotation removed": ({"metadata": {"annotations": {"team/note": None}}}, "annotations inferway.dev/"),
    "large annotation": ({"metadata": {"annotations": {"inferway.dev/error": "x" * 8_200}}}, "8192 bytes"),
    "wide characters": (
        {"metadata": {"annotations": {"inferway.dev/error": "\N{GRINNING FACE}" * 2_100}}},
        "8192 bytes",
    ),
    "many annotations": (
        {"metadata": {"annotations": {f"inferway.dev/{number}": "x" * 100 for number in range(90)}}},
        "8192 bytes",
    ),
    "finalizer": ({"metadata": {"finalizers": ["inferway.dev/forever"]}}, "metadata.finalizers"),
    "no owner": ({"metadata": {"ownerReferences": None}}, "metadata.ownerReferences"),
    "owner of another uid": (
        {"metadata": {"ownerReferences": [{**OWNER, "uid": "another"}]}},
        "metadata.ownerReferences",
    ),
    "owner of another kind": (
        {"metadata": {"ownerReferences": [{**OWNER, "kind": "Node", "uid": "UID"}]}},
        "metadata.ownerReferences",
    ),
    "controlling owner": (
        {"metadata": {"ownerReferences": [{**OWNER, "uid": "UID", "controller": True}]}},
        "metadata.ownerReferences",
    ),
    "blocking owner": (
        {"metadata": {"ownerReferences": [{**OWNER, "uid": "UID", "blockOwnerDeletion": True}]}},
        "metadata.ownerReferences",
    ),
    "second owner": (
        {"metadata": {"ownerReferences": [{**OWNER, "uid": "UID"}, {**OWNER, "uid": "another", "name": "lease-b"}]}},
        "metadata.ownerReferences",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_pod_may_not_change_its_lease_otherwise(
    installed: ApiServer, first: Asker, held: dict[str, Any], uid: str, case: str
) -> None:
    change, message = REFUSED[case]
    change = json.loads(json.dumps(change).replace('"UID"', f'"{uid}"'))
    own = {"metadata": {"labels": {"team": "search"}, "annotations": {"team/note": "kept"}}}
    installed.ask("PATCH", f"{LEASES}/lease-a", own, MERGE)
    before = installed.ask("GET", f"{LEASES}/lease-a")
    with pytest.raises(Refused, match=message) as rejection:
        first.ask("PATCH", f"{LEASES}/lease-a?fieldManager={FIELD_MANAGER}", change, MERGE)
    assert rejection.value.code == 403
    assert installed.ask("GET", f"{LEASES}/lease-a") == before
    # The process renews it as before, with the administrator's label.
    assert put(first, lease("lease-a", uid))["metadata"]["labels"]["team"] == "search"


@pytest.mark.parametrize("case", ["finalizer", "foreign annotation", "another label", "owner of another uid"])
def test_pod_may_not_create_its_lease_otherwise(installed: ApiServer, first: Asker, uid: str, case: str) -> None:
    change, message = REFUSED[case]
    installed.ask("DELETE", LEASES + "/lease-a")
    with pytest.raises(Refused, match=message):
        put(first, lease("lease-a", uid, **change["metadata"]))
    with pytest.raises(Refused, match=message):
        first.ask("POST", f"{LEASES}?fieldManager={FIELD_MANAGER}", lease("lease-a", uid, **change["metadata"]))
    put(first, lease("lease-a", uid))


def test_pod_may_not_run_elections_by_its_lease(installed: ApiServer, first: Asker, held: dict[str, Any]) -> None:
    """Where coordinated elections are off, the API server drops the fields by itself."""
    change = {"spec": {"strategy": "OldestEmulationVersion", "preferredHolder": "x"}}
    with suppress(Refused):
        first.ask("PATCH", f"{LEASES}/lease-a?fieldManager={FIELD_MANAGER}", change, MERGE)
    assert not change["spec"].keys() & installed.ask("GET", f"{LEASES}/lease-a")["spec"].keys()


def test_pod_may_not_grow_managed_fields(first: Asker, held: dict[str, Any], uid: str) -> None:
    for manager in ("another", "inferway-dataplane2"):
        with pytest.raises(Refused, match="as field manager inferway-dataplane only"):
            put(first, lease("lease-a", uid), manager)
    with pytest.raises(Refused, match="as field manager inferway-dataplane only"):
        first.ask("PATCH", f"{LEASES}/lease-a", {"spec": {"leaseTransitions": 1}}, MERGE)
    forged = {
        "manager": "admin",
        "operation": "Update",
        "apiVersion": "coordination.k8s.io/v1",
        "fieldsType": "FieldsV1",
    }
    change = {"metadata": {"managedFields": [{**forged, "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {}}}]}}
    with pytest.raises(Refused, match="as field manager inferway-dataplane only"):
        first.ask("PATCH", f"{LEASES}/lease-a?fieldManager={FIELD_MANAGER}", change, MERGE)


def test_pod_may_not_delete_or_read_leases(first: Asker, held: dict[str, Any]) -> None:
    for method, path in (("DELETE", "/lease-a"), ("DELETE", ""), ("GET", "/lease-a"), ("PUT", "/lease-a")):
        with pytest.raises(Refused, match=r"cannot (delete|deletecollection|get|update) resource") as rejection:
            first.ask(method, LEASES + path, held if method == "PUT" else None)
        assert rejection.value.code == 403


def test_token_without_a_pod_may_not_write_a_lease(installed: ApiServer, pods: dict[str, str], uid: str) -> None:
    with (
        client_of(installed, token(installed, NAMESPACE, "inferway-gateway")) as client,
        pytest.raises(Refused, match=REFUSAL),
    ):
        put(client, lease("lease-a", uid))


def test_lease_policy_leaves_other_clients_alone(installed: ApiServer, pods: dict[str, str]) -> None:
    assert installed.ask("POST", LEASES, bare_lease("an-admins"))
    path = "/apis/coordination.k8s.io/v1/namespaces/inferway-operator/leases"
    with client_of(installed, token(installed, "inferway-operator", "inferway-operator")) as client:
        assert client.ask("POST", path, bare_lease("inferway-operator"))
    installed.ask("DELETE", f"{path}/inferway-operator")
