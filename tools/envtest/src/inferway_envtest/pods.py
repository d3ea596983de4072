"""Pods and their node as objects: no kubelet runs them, so tests set their status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NODE = "envtest"
"""The endpointslice controller ignores pods whose node does not exist."""


def node() -> dict[str, Any]:
    """Return the node."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}


def pod(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return a pod of the node. With a grace period of 0 s it is deleted at once, without a kubelet."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "nodeName": NODE,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": "none"}],
        },
    }


def status(address: str, *, is_ready: bool) -> dict[str, Any]:
    """Return the status that a kubelet would write for a running pod, as a merge patch."""
    return {
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}],
        }
    }
