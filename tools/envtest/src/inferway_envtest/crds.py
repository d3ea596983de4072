"""Whether the server serves a definition (a CRD), and says so to clients, which comes a little later."""

from __future__ import annotations

from inferway_envtest.client import Asker

# Kubernetes' aggregated discovery, which kubectl reads
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def is_there(asker: Asker, name: str) -> bool:
    """Whether requests for it are served, and clients that ask what there is find it. `name`: PLURAL.GROUP."""
    found = asker.ask("GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    conditions = found.get("status", {}).get("conditions") or []
    if not any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
        return False
    told = asker.ask("GET", "/apis", accept=DISCOVERY)
    return name in {
        f"{resource['resource']}.{group['metadata']['name']}"
        for group in told["items"]
        for version in group["versions"]
        for resource in version.get("resources", ())
    }
