"""The manifests' ServiceAccounts, with the tokens of pods."""

from __future__ import annotations

from typing import Any

from inferway_envtest import ApiServer, User
from inferway_envtest.client import Asker


def token(api: ApiServer, namespace: str, account: str, pod: dict[str, Any] | None = None) -> User:
    """Return a token for an existing ServiceAccount; bound to a pod, as requested by the kubelet, if there is one."""
    spec: dict[str, Any] = {"expirationSeconds": 3600}
    if pod is not None:
        bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        spec["boundObjectRef"] = bound
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    granted = api.ask("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", wanted)
    return User(f"system:serviceaccount:{namespace}:{account}", token=granted["status"]["token"])


def api_client(api: ApiServer, user: User) -> Asker:
    """Return a client with the user's token; the caller closes it."""
    return Asker(api.url, api.ca_file, user.token)


def pod(api: ApiServer, template: dict[str, Any], namespace: str, name: str) -> dict[str, Any]:
    """Create a Pod of a Deployment's template, as its controller would, on the tests' node."""
    spec = {**template["spec"], "nodeName": "envtest"}
    created = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": template["metadata"]["labels"]},
        "spec": spec,
    }
    return dict(api.ask("POST", f"/api/v1/namespaces/{namespace}/pods", created))


def delete_pod(api: ApiServer, namespace: str, name: str) -> None:
    """Delete a pod at once, because no kubelet would report its end."""
    api.ask("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0")
