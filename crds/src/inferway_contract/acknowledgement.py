"""The state that a data-plane pod reports: annotations of its own Lease."""

import re
from collections.abc import Mapping
from typing import Final, get_args

from inferway_contract.document import DocumentModel, Format

GATEWAY_LABEL: Final = "inferway.dev/gateway"
"""Label with the gateway's name on every object that belongs to it. The operator finds Leases and shards by it."""

LEASE_SECONDS: Final = 15
"""After this time without a renewal the pod counts as hanging or unreachable."""
RENEW_SECONDS: Final = 5
"""Time between two renewals. A swap or a rejection is reported at once."""

MAX_ERROR: Final = 1_000
"""Longest error in characters; the rest is cut off."""

FORMATS: Final[tuple[int, ...]] = get_args(Format)
"""Formats of the documents that this version reads, ascending."""
UNREPORTED_FORMATS: Final = (1,)
"""What a pod reads that does not report it: the versions before that report read format 1."""

_NUMBERS: Final = re.compile(r"[1-9][0-9]{0,3}(,[1-9][0-9]{0,3}){0,31}")
_PREFIX: Final = "inferway.dev/"
_ANNOTATIONS: Final = {
    "config": "config-revision",
    "endpoints": "endpoints-revision",
    "refused": "refused-revision",
    "error": "error",
}
_FORMATS: Final = f"{_PREFIX}formats"


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
    formats: tuple[int, ...] = UNREPORTED_FORMATS
    """Formats of the documents that the pod reads, ascending; also those that this version does not know."""


def annotations(acknowledgement: Acknowledgement) -> dict[str, str]:
    """Return all annotations of the Lease, also empty ones, so that old values are overwritten."""
    texts = {_PREFIX + name: str(getattr(acknowledgement, field)) for field, name in _ANNOTATIONS.items()}
    texts[_PREFIX + "error"] = acknowledgement.error[:MAX_ERROR]
    texts[_FORMATS] = ",".join(map(str, acknowledgement.formats))
    return texts


def from_annotations(annotations: Mapping[str, object]) -> Acknowledgement:
    """Read the annotations of a Lease. Pods are not trusted: a value that is not text counts as empty.

    Formats that are not numbers separated by commas count as not reported.
    """
    texts = {field: annotations.get(_PREFIX + name) for field, name in _ANNOTATIONS.items()}
    read = {field: text[:MAX_ERROR] for field, text in texts.items() if isinstance(text, str)}
    return Acknowledgement(**read, formats=_formats(annotations.get(_FORMATS)))


def _formats(text: object) -> tuple[int, ...]:
    if not isinstance(text, str) or not _NUMBERS.fullmatch(text):
        return UNREPORTED_FORMATS
    return tuple(sorted({int(number) for number in text.split(",")}))
