"""RBAC objects with the rights of one ServiceAccount."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

RBAC = "rbac.authorization.k8s.io"
Rule = dict[str, list[str]]
"""Such as `{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}`."""


def objects(
    namespace: str, name: str, rules: Sequence[Rule], cluster_rules: Sequence[Rule]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return Role and binding, ClusterRole and binding: the path for creating each, and the object."""
    if rules:
        folder = f"/apis/{RBAC}/v1/namespaces/{namespace}"
        yield f"{folder}/roles", role("Role", name, rules)
        yield f"{folder}/rolebindings", binding("Role", name, namespace, name)
    if cluster_rules:
        folder, unique = f"/apis/{RBAC}/v1", f"{namespace}-{name}"
        yield f"{folder}/clusterroles", role("ClusterRole", unique, cluster_rules)
        yield f"{folder}/clusterrolebindings", binding("ClusterRole", unique, namespace, name)


def role(kind: str, name: str, rules: Sequence[Rule]) -> dict[str, Any]:
    """Return a Role or ClusterRole."""
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name}, "rules": list(rules)}


def binding(kind: str, name: str, namespace: str, account: str) -> dict[str, Any]:
    """Return the binding of a role to a ServiceAccount."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": account}],
    }
