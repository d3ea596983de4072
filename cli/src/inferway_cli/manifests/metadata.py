"""`metadata`, as far as Inferway and the API server care about it."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final

from inferway_contract import values
from inferway_contract.field_errors import FieldError

DEFAULT_NAMESPACE: Final = "default"

# ObjectMeta of Kubernetes: what `kubectl get -o yaml` prints is read back without a complaint.
_FIELDS: Final = (
    "name",
    "namespace",
    "labels",
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
_LABEL: Final = re.compile(values.LABEL_PATTERN[:-1] + r"\Z")
_SUBDOMAIN: Final = re.compile(values.SUBDOMAIN_PATTERN[:-1] + r"\Z")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def complaints(kind: str, metadata: Any) -> Iterator[FieldError]:
    """What is wrong with the metadata of a manifest."""
    if not isinstance(metadata, Mapping):
        yield FieldError(("metadata",), "is required" if metadata is None else "must be a mapping")
        return
    for field in metadata:
        if field == "generateName":
            yield FieldError(("metadata", field), "names are not generated here; write metadata.name")
        elif field not in _FIELDS:
            near = get_close_matches(field[:80], _FIELDS, n=1)
            yield FieldError(("metadata", field), "unknown field" + (f"; did you mean {near[0]}?" if near else ""))
    yield from _name(kind, metadata)
    yield from _namespace(metadata.get("namespace"))
    yield from _words("labels", metadata.get("labels"))
    yield from _words("annotations", metadata.get("annotations"))
    yield from _time(metadata.get("creationTimestamp"))


def _name(kind: str, metadata: Mapping[str, Any]) -> Iterator[FieldError]:
    name = metadata.get("name")
    path = ("metadata", "name")
    if name is None:
        yield FieldError(path, "is required")
    elif not isinstance(name, str):
        yield FieldError(path, f"{name!r}: must be a string; put it in quotes")
    elif kind == "Service":
        if len(name) > 63 or not _LABEL.match(name):
            yield FieldError(path, f"{_cut(name)} is not a name: lower-case letters, digits and '-', at most 63")
    elif len(name) > 253 or not _SUBDOMAIN.match(name):
        yield FieldError(path, f"{_cut(name)} is not a name: lower-case letters, digits, '-' and '.', at most 253")


def _namespace(namespace: Any) -> Iterator[FieldError]:
    path = ("metadata", "namespace")
    if isinstance(namespace, str) and namespace:
        if len(namespace) > 63 or not _LABEL.match(namespace):
            yield FieldError(path, f"{_cut(namespace)} is not a name: lower-case letters, digits and '-', at most 63")
    elif namespace:
        yield FieldError(path, f"{namespace!r}: must be a string; put it in quotes")


def _words(field: str, words: Any) -> Iterator[FieldError]:
    if words is None:
        return
    if not isinstance(words, Mapping):
        yield FieldError(("metadata", field), "must be a mapping")
        return
    for key, value in words.items():
        if not isinstance(value, str):
            yield FieldError(("metadata", field, key), f"{_cut(value)}: must be a string; put it in quotes")


def _time(time: Any) -> Iterator[FieldError]:
    # `kubectl create --dry-run` prints null.
    if time is None:
        return
    try:
        if isinstance(time, str) and _TIME.fullmatch(time):
            datetime.fromisoformat(time)
            return
    except ValueError:
        pass
    yield FieldError(("metadata", "creationTimestamp"), f"{_cut(time)}: write it like 2026-01-31T12:00:00Z")


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
