"""Validation of `metadata`: identity, labels, annotations and creation time."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final

from inferway_contract.field_errors import FieldError, name_error, shown

DEFAULT_NAMESPACE: Final = "default"

# ObjectMeta of Kubernetes: the output of `kubectl get -o yaml` is valid input.
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
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def errors(kind: str, metadata: Any) -> Iterator[FieldError]:
    """Yield the errors in the metadata of a manifest."""
    if not isinstance(metadata, Mapping):
        yield FieldError(("metadata",), "is required" if metadata is None else "must be a mapping")
        return
    for field in metadata:
        if field == "generateName":
            yield FieldError(("metadata", field), "names are not generated; write metadata.name")
        elif field not in _FIELDS:
            near = get_close_matches(field[:80], _FIELDS, n=1)
            yield FieldError(("metadata", field), "unknown field" + (f"; did you mean {near[0]}?" if near else ""))
    yield from _name(kind, metadata)
    yield from _namespace(metadata.get("namespace"))
    yield from _texts("labels", metadata.get("labels"))
    yield from _texts("annotations", metadata.get("annotations"))
    yield from _time(metadata.get("creationTimestamp"))


def _name(kind: str, metadata: Mapping[str, Any]) -> Iterator[FieldError]:
    name = metadata.get("name")
    if name is None:
        yield FieldError(("metadata", "name"), "is required")
    elif (message := name_error(name, is_label=kind == "Service")) is not None:
        yield FieldError(("metadata", "name"), message)


def _namespace(namespace: Any) -> Iterator[FieldError]:
    if namespace and (message := name_error(namespace, is_label=True)) is not None:
        yield FieldError(("metadata", "namespace"), message)


def _texts(field: str, texts: Any) -> Iterator[FieldError]:
    if texts is None:
        return
    if not isinstance(texts, Mapping):
        yield FieldError(("metadata", field), "must be a mapping")
        return
    for key, value in texts.items():
        if not isinstance(value, str):
            yield FieldError(("metadata", field, key), f"{shown(value)}: must be text; put it in quotes")


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
    yield FieldError(("metadata", "creationTimestamp"), f"{shown(time)}: write it like 2026-01-31T12:00:00Z")
