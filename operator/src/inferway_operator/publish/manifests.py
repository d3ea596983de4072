"""ConfigMaps of the documents as manifests: how the operator writes them, and what others may have changed. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from inferway_contract.acknowledgement import GATEWAY_LABEL
from inferway_operator.publish.plan import Write

PART_LABEL: Final = "inferway.dev/part"
"""`shard` or `index`."""

Manifest = Mapping[str, Any]


def manifest(write: Write, namespace: str, gateway: str) -> dict[str, Any]:
    """Return the ConfigMap of a write. A shard is immutable, as its name is the hash of its content."""
    is_shard = write.part == "shard"
    labels = {GATEWAY_LABEL: gateway, PART_LABEL: "shard" if is_shard else "index"}
    metadata = {"name": write.name, "namespace": namespace, "labels": labels}
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": write.data}
    return whole | {"immutable": True} if is_shard else whole


def is_spoiled(stored: Manifest, gateway: str, *, is_index: bool) -> bool:
    """Return whether a ConfigMap is not as the operator leaves it, whatever its content is.

    An immutable index cannot change again, an owner takes the ConfigMap with it when it is deleted, labels are how the
    operator finds it, and one that is being deleted is gone once its finalizers are.
    """
    metadata = stored["metadata"]
    labels = metadata.get("labels") or {}
    expected = {GATEWAY_LABEL: gateway, PART_LABEL: "index" if is_index else "shard"}
    return (
        bool(stored.get("immutable")) == is_index
        or not expected.items() <= labels.items()
        or bool(metadata.get("ownerReferences"))
        or is_terminating(stored)
    )


def must_be_replaced(stored: Manifest, write: Write) -> bool:
    """Return whether only a deletion makes room for this write of an index: apply cannot remove what others own."""
    has_more = bool(stored.get("binaryData")) or not (stored.get("data") or {}).keys() <= write.data.keys()
    return bool(stored.get("immutable")) or bool(stored["metadata"].get("ownerReferences")) or has_more


def is_written(stored: Manifest, wanted: Manifest) -> bool:
    """Return whether a shard is stored as wanted, by an attempt whose response was lost or by another operator."""
    is_same = stored.get("data") == wanted["data"] and stored.get("immutable")
    metadata = stored["metadata"]
    return bool(
        is_same and metadata.get("labels") == wanted["metadata"]["labels"] and not metadata.get("ownerReferences")
    )


def is_terminating(stored: Manifest) -> bool:
    """Return whether it was deleted and only its finalizers keep it."""
    return stored["metadata"].get("deletionTimestamp") is not None
