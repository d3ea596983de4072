"""EndpointSlices as a watch brings them: kept as text, and read when a compilation needs their endpoints.

To read a slice of 1,000 endpoints takes 15 ms, and anyone who may write slices can change them 40 times a second. So of a slice
that changes often only the versions that are compiled are read, outside of the event loop; of a Service that no route names, none.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from inferway_operator.world import kubernetes_kinds
from inferway_operator.world.kubernetes_kinds import SERVICE_LABEL, mapping
from inferway_operator.world.objects import SliceObject


@dataclass(frozen=True)
class StoredSlice:
    """The relevant part of a slice. Those with equal parts are equal."""

    service: str
    """The Service's id."""
    text: str
    """A manifest, as JSON."""

    @cached_property
    def content(self) -> SliceObject | None:
        """The slice, read once. None: it has no IP addresses."""
        return kubernetes_kinds.read_slice(json.loads(self.text))


def store(manifest: Mapping[str, Any]) -> StoredSlice | None:
    """Keep what is read of a slice: of each endpoint the first address only. None without a Service.

    Kubernetes defines no meaning for further addresses ("Endpoint v1 discovery.k8s.io"), and its controllers write none;
    1,000 endpoints may have 100 each.
    """
    meta = mapping(manifest.get("metadata"))
    name, namespace = meta.get("name"), meta.get("namespace")
    service = mapping(meta.get("labels")).get(SERVICE_LABEL)
    if not isinstance(service, str):
        return None
    if namespace is None or namespace == "":
        namespace = "default"
    endpoints = manifest.get("endpoints")
    kept = {
        "metadata": {"name": name, "namespace": namespace, "labels": {SERVICE_LABEL: service}},
        "addressType": manifest.get("addressType"),
        "ports": manifest.get("ports"),
        "endpoints": [_relevant(item) for item in endpoints] if isinstance(endpoints, list) else None,
    }
    return StoredSlice(f"{namespace}/{service}", json.dumps(kept, separators=(",", ":")))


def _relevant(endpoint: object) -> dict[str, Any] | None:
    """Return the fields of an endpoint that count; None for what cannot be read."""
    if not isinstance(endpoint, dict):
        return None
    addresses = endpoint.get("addresses")
    kept = {"addresses": addresses[:1] if isinstance(addresses, list) else None}
    for field in ("conditions", "hostname", "targetRef"):
        if field in endpoint:
            kept[field] = endpoint[field]
    return kept
