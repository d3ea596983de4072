"""A namespace with an upstream and a route, without a policy: the target of traffic at 200 a second."""

from __future__ import annotations

from typing import Final

from e2e.cluster.access import ROOT, Cluster
from inferway_testing.until import until

NAMESPACE: Final = "inferway-e2e"
HOST: Final = "load.example"
IMAGE: Final = "ghcr.io/inferway/service-python"
PATH: Final = "/infer?prompt=steady"

RESOURCES: Final = f"""
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
    inferway.dev/upstreams: allowed
---
apiVersion: inferway.dev/v1alpha1
kind: GatewayRoute
metadata: {{name: load, namespace: {NAMESPACE}}}
spec:
  hostnames: [{HOST}]
  rules:
  - backendRefs: [{{name: service-python, port: 8000}}]
    timeouts: {{connect: 1s, request: 10s}}
"""
"""Without retries, so that each failed try is visible."""


def service() -> str:
    """Return the manifests of the samples' service, with the locally built image."""
    text = (ROOT / "manifests/samples/service-python.yaml").read_text()
    assert f"image: {IMAGE}\n" in text
    return text.replace(f"image: {IMAGE}\n", f"image: {IMAGE}:dev\n")


def install(cluster: Cluster) -> None:
    """Install the workload and wait until it is ready and programmed by every pod."""
    cluster.apply(RESOURCES)
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", "-", given=service())
    cluster.await_rollout(NAMESPACE)
    until(lambda: cluster.is_programmed("gwr", NAMESPACE, "load"), "the route is programmed", 60)
    until(lambda: cluster.ask(PATH, HOST).status == 200, "it is served", 20)
