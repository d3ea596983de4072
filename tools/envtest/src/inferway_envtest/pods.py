"""Pods and the node that they run on, as objects: no kubelet runs them, so tests say what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NODE = "envtest"
"""The endpointslice controller leaves out pods whose node does not exist."""


def node() -> dict[str, Any]:
    """The node."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}


def pod(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """A pod of the node. With a grace of 0 s it goes away when it is deleted: there is no kubelet to wait for."""
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
    """What a kubelet would say of a running pod, as a merge patch."""
    return {
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}],
        }
    }
