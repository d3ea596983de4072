"""A pod of the data plane may write only the Lease of its own name, although RBAC permits its account more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from identities import api_client, delete_pod, pod, token
from kustomizations import overlay, templates

from inferway_envtest import ApiServer, User
from inferway_envtest.client import Asker, Refused
from inferway_testing.until import until

NAMESPACE = "inferway-system"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
APPLY = "application/apply-patch+yaml"
REFUSAL = "a pod of the data plane writes the Lease of its own name"


def lease(name: str, holder: str = "it") -> dict[str, Any]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": {"holderIdentity": holder},
    }


def put(client: Asker, name: str) -> Any:
    return client.ask("PATCH", f"{LEASES}/{name}?fieldManager=test&force=true", lease(name), APPLY)


def is_in_force(client: Asker) -> bool:
    """Return whether the policy applies, which is a moment after it is stored."""
    try:
        client.ask("PATCH", f"{LEASES}/probe?fieldManager=test&dryRun=All", lease("probe"), APPLY)
    except Refused as refused:
        return REFUSAL in str(refused)
    return False


@pytest.fixture(scope="module")
def pods(installed: ApiServer) -> Iterator[tuple[str, str]]:
    """Create two pods of the Deployment."""
    template = templates(overlay("dev"))["inferway-gateway"]
    names = ("lease-a", "lease-b")
    for name in names:
        pod(installed, template, NAMESPACE, name)
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
def first(installed: ApiServer, pods: tuple[str, str]) -> Iterator[Asker]:
    """Return a client with the token of the first pod."""
    pod_object = installed.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/pods/{pods[0]}")
    with client_of(installed, token(installed, NAMESPACE, "inferway-gateway", pod_object)) as client:
        yield client


def test_pod_creates_and_renews_its_own_lease(first: Asker) -> None:
    assert put(first, "lease-a")["metadata"]["name"] == "lease-a"
    assert put(first, "lease-a")["metadata"]["name"] == "lease-a"


def test_pod_may_not_write_the_lease_of_another_pod(installed: ApiServer, first: Asker) -> None:
    with pytest.raises(Refused, match=REFUSAL) as rejection:
        put(first, "lease-b")
    assert rejection.value.code == 403
    assert 'the token is for the pod "lease-a", the Lease is "lease-b"' in str(rejection.value)
    with pytest.raises(Refused, match=REFUSAL):
        first.ask("POST", LEASES, lease("lease-b"))
    installed.ask("POST", LEASES, lease("lease-b", "the pod itself"))
    with pytest.raises(Refused, match=REFUSAL):
        put(first, "lease-b")
    assert installed.ask("GET", f"{LEASES}/lease-b")["spec"]["holderIdentity"] == "the pod itself"


def test_token_without_a_pod_may_not_write_a_lease(installed: ApiServer, pods: tuple[str, str]) -> None:
    with (
        client_of(installed, token(installed, NAMESPACE, "inferway-gateway")) as client,
        pytest.raises(Refused, match=REFUSAL),
    ):
        put(client, "lease-a")


def test_lease_policy_leaves_other_clients_alone(installed: ApiServer, pods: tuple[str, str]) -> None:
    assert installed.ask("POST", LEASES, lease("an-admins"))
    path = "/apis/coordination.k8s.io/v1/namespaces/inferway-operator/leases"
    with client_of(installed, token(installed, "inferway-operator", "inferway-operator")) as client:
        assert client.ask("POST", path, lease("inferway-operator"))
    installed.ask("DELETE", f"{path}/inferway-operator")
