"""Checks whether the server serves a definition (a CRD) and lists it in discovery, which happens a little later."""

from __future__ import annotations

from inferway_envtest.client import Asker

# Kubernetes' aggregated discovery, which kubectl reads
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def is_served(asker: Asker, name: str) -> bool:
    """Return whether requests for a kind are served and discovery lists it. `name`: PLURAL.GROUP."""
    crd = asker.ask("GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    conditions = crd.get("status", {}).get("conditions") or []
    if not any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
        return False
    discovery = asker.ask("GET", "/apis", accept=DISCOVERY)
    return name in {
        f"{resource['resource']}.{group['metadata']['name']}"
        for group in discovery["items"]
        for version in group["versions"]
        for resource in version.get("resources", ())
    }
