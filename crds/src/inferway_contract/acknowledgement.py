"""The state that a data-plane pod reports: annotations of its own Lease."""

from collections.abc import Mapping
from typing import Final

from inferway_contract.document import DocumentModel

GATEWAY_LABEL: Final = "inferway.dev/gateway"
"""Label with the gateway's name on every object that belongs to it. The operator finds Leases and shards by it."""

LEASE_SECONDS: Final = 15
"""After this time without a renewal the pod counts as hanging or unreachable."""
RENEW_SECONDS: Final = 5
"""Time between two renewals. A swap or a rejection is reported at once."""

MAX_ERROR: Final = 1_000
"""Longest error in characters; the rest is cut off."""

_PREFIX: Final = "inferway.dev/"
_ANNOTATIONS: Final = {
    "config": "config-revision",
    "endpoints": "endpoints-revision",
    "refused": "refused-revision",
    "error": "error",
}


class Acknowledgement(DocumentModel):
    """Revisions that a pod serves and rejected. "" = none."""

    config: str = ""
    """Live config revision."""
    endpoints: str = ""
    """Live endpoints revision."""
    refused: str = ""
    """Config revision that was rejected after the live one."""
    error: str = ""
    """Reason of the rejection."""


def annotations(acknowledgement: Acknowledgement) -> dict[str, str]:
    """Return all annotations of the Lease, also empty ones, so that old values are overwritten."""
    texts = {_PREFIX + name: str(getattr(acknowledgement, field)) for field, name in _ANNOTATIONS.items()}
    texts[_PREFIX + "error"] = acknowledgement.error[:MAX_ERROR]
    return texts


def from_annotations(annotations: Mapping[str, object]) -> Acknowledgement:
    """Read the annotations of a Lease. Pods are not trusted: a value that is not text counts as empty."""
    texts = {field: annotations.get(_PREFIX + name) for field, name in _ANNOTATIONS.items()}
    return Acknowledgement(**{field: text[:MAX_ERROR] for field, text in texts.items() if isinstance(text, str)})
