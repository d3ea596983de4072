"""Reviews and manifests for tests of the webhook."""

from typing import Any

Manifest = dict[str, Any]

CREATED = "2026-06-01T00:00:00Z"
ANSWER = {"type": "DirectResponse", "directResponse": {"statusCode": 200}}


def route(name: str = "shop", *rules: Manifest, created: str = CREATED, **spec: Any) -> Manifest:
    """A GatewayRoute of namespace demo; without rules it answers everything."""
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "GatewayRoute",
        "metadata": {"name": name, "namespace": "demo", "creationTimestamp": created},
        "spec": {"rules": list(rules) or [{"filters": [ANSWER]}], **spec},
    }


def answering(path: str, **match: Any) -> Manifest:
    """A rule that answers this path itself."""
    return {"matches": [{"path": {"value": path}, **match}], "filters": [ANSWER]}


def policy(name: str = "fair", **spec: Any) -> Manifest:
    """A RateLimitPolicy of namespace demo."""
    limit = {"name": "all", "rate": {"requests": 1, "per": "1s"}, "burst": 1, "scope": "Pod"}
    return {
        "apiVersion": "inferway.dev/v1alpha1",
        "kind": "RateLimitPolicy",
        "metadata": {"name": name, "namespace": "demo", "creationTimestamp": CREATED},
        "spec": {"limits": [limit], **spec},
    }


def service(name: str, port: int = 80) -> list[Manifest]:
    """A Service of namespace demo with one ready endpoint."""
    meta = {"name": name, "namespace": "demo"}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": port}]}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**meta, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"port": 8000}],
            "endpoints": [{"addresses": ["10.0.0.1"]}],
        },
    ]


def review(manifest: Any, operation: str = "CREATE", **request: Any) -> Manifest:
    """What the API server sends."""
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "inferway.dev", "version": "v1alpha1", "kind": kind},
            "operation": operation,
            "namespace": "demo",
            "object": manifest,
            **request,
        },
    }
