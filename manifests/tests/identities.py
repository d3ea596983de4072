"""The manifests' ServiceAccounts, with tokens as pods get them."""

from __future__ import annotations

from typing import Any

from inferway_envtest import ApiServer, User
from inferway_envtest.client import Asker


def token(api: ApiServer, namespace: str, account: str, pod: dict[str, Any] | None = None) -> User:
    """A token for a ServiceAccount that is there; bound to a pod, as the kubelet asks for it, when there is one."""
    spec: dict[str, Any] = {"expirationSeconds": 3600}
    if pod is not None:
        bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        spec["boundObjectRef"] = bound
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    granted = api.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", wanted)
    return User(f"system:serviceaccount:{namespace}:{account}", token=granted["status"]["token"])


def api_client(api: ApiServer, user: User) -> Asker:
    """A client with the user's token, to be closed."""
    return Asker(api.url, api.ca_file, user.token)


def pod(api: ApiServer, template: dict[str, Any], namespace: str, name: str) -> dict[str, Any]:
    """A Pod of a Deployment's template, as its controller would make it, on the node that tests have."""
    spec = {**template["spec"], "nodeName": "envtest"}
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": template["metadata"]["labels"]},
        "spec": spec,
    }
    return dict(api.ask("POST", f"/api/v1/namespaces/{namespace}/pods", made))


def delete_pod(api: ApiServer, namespace: str, name: str) -> None:
    """Delete a pod; at once, for no kubelet would say that it has ended."""
    api.ask("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0")
