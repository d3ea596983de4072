"""Lists and watch events as the API server sends them. Pure; no answer is trusted to have the right shape."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from inferway_kube import errors

Manifest = Mapping[str, Any]

_CHANGES: Final = ("ADDED", "MODIFIED", "DELETED")


@dataclass(frozen=True, slots=True)
class Page:
    """A list, or one page of it."""

    version: str
    """The resourceVersion from which a watch continues."""
    items: list[dict[str, Any]]
    continuation: str
    """What the next page is asked with; "" = this is the last one."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change that a watch reports."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    manifest: dict[str, Any]
    """The object; of a bookmark only its version counts."""
    version: str
    """The resourceVersion from which a watch continues."""


def page(call: str, body: bytes) -> Page:
    """Parse a list's answer. Raises `ApiError` when it is anything else."""
    answer = json_object(call, body)
    metadata, items = answer.get("metadata"), answer.get("items") or []
    if not isinstance(metadata, dict) or not str(answer.get("kind")).endswith("List") or not isinstance(items, list):
        raise errors.unusable(call, "the answer is not a list")
    version = metadata.get("resourceVersion")
    if not isinstance(version, str) or not all(map(is_object, items)):
        raise errors.unusable(call, "the list is incomplete")
    for item in items:
        # No code reads them, and they are often more than half of an object.
        item["metadata"].pop("managedFields", None)
    return Page(version, items, str(metadata.get("continue") or ""))


def event(call: str, line: bytes) -> Event:
    """Parse a line of a watch. Raises `Gone` when the watch fell behind, `ApiError` for anything that is not an event."""
    answer = json_object(call, line)
    kind, manifest = answer.get("type"), answer.get("object")
    if kind == "ERROR":
        raise errors.of_status(call, manifest)
    if kind == "BOOKMARK" and isinstance(manifest, dict) and _version(manifest):
        return Event("BOOKMARK", manifest, _version(manifest))
    if kind not in _CHANGES or not isinstance(manifest, dict) or not is_object(manifest):
        raise errors.unusable(call, "the watch sent something that is not an event")
    return Event(kind, manifest, _version(manifest))


def json_object(call: str, body: bytes) -> dict[str, Any]:
    """Parse a JSON object; an empty body is an empty one. Raises `ApiError`."""
    try:
        answer = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        answer = None  # a proxy's page, half an answer, or one that is nested too deeply
    if not isinstance(answer, dict):
        raise errors.unusable(call, "the answer is not a JSON object")
    return answer


def is_object(manifest: Any) -> bool:
    """Whether it has the metadata that every stored object has."""
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    return isinstance(metadata, dict) and all(
        isinstance(metadata.get(field), str) for field in ("name", "uid", "resourceVersion")
    )


def _version(manifest: dict[str, Any]) -> str:
    metadata = manifest.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else ""
