"""What a data-plane pod says of itself: annotations of its own Lease, renewed all the time."""

from collections.abc import Mapping
from typing import Final

from inferway_contract.document import DocumentModel

GATEWAY_LABEL: Final = "inferway.dev/gateway"
"""On every object that belongs to a gateway: its name. The operator finds Leases and shards by it."""

LEASE_SECONDS: Final = 15
"""A Lease that was not renewed for so long speaks of a pod that hangs, or cannot be heard."""
RENEW_SECONDS: Final = 5
"""Between two renewals; a swap or a refusal is told at once."""

MAX_ERROR: Final = 1_000
"""Characters of an error that are told."""

_PREFIX: Final = "inferway.dev/"
_ANNOTATIONS: Final = {
    "config": "config-revision",
    "endpoints": "endpoints-revision",
    "refused": "refused-revision",
    "error": "error",
}


class Acknowledgement(DocumentModel):
    """What a pod serves, and what it refused. "" = nothing."""

    config: str = ""
    """Revision of the config that is live."""
    endpoints: str = ""
    """Revision of the endpoints that are live."""
    refused: str = ""
    """Revision of the config that was refused since."""
    error: str = ""
    """Why."""


def annotations(said: Acknowledgement) -> dict[str, str]:
    """The Lease's annotations; all of them always, so that what is over is overwritten."""
    texts = {_PREFIX + name: str(getattr(said, field)) for field, name in _ANNOTATIONS.items()}
    texts[_PREFIX + "error"] = said.error[:MAX_ERROR]
    return texts


def from_annotations(found: Mapping[str, object]) -> Acknowledgement:
    """What a Lease says. Whoever may write it is a pod and no friend: anything but text counts as nothing."""
    texts = {field: found.get(_PREFIX + name) for field, name in _ANNOTATIONS.items()}
    return Acknowledgement(**{field: text[:MAX_ERROR] for field, text in texts.items() if isinstance(text, str)})
