"""Validation of a manifest of a known kind and its `metadata`, as an API server would do it."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from inferway_contract import resources
from inferway_contract.field_errors import FieldError, Path, from_validation, name_error, near, shown
from inferway_contract.kubernetes_kinds import EndpointSlice, ReferenceGrant, Service

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
_TOP: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_KUBERNETES_MODELS: Final = {model.__name__: model for model in (Service, EndpointSlice, ReferenceGrant)}


def errors(kind: str, manifest: dict[str, Any]) -> Iterator[FieldError]:
    """Yield the errors that an API server would report. apiVersion and kind are known."""
    yield from _metadata(kind, manifest.get("metadata"))
    if kind not in resources.SPECS:
        if manifest.get("addressType") != "FQDN":  # endpoints by host name are valid, but not used
            yield from _validate(_KUBERNETES_MODELS[kind], manifest, ())
        return
    for field in manifest:
        if field not in _TOP:
            hint = f"did you mean {nearest}?" if (nearest := near(field, _TOP)) else ""
            yield FieldError((field,), f"unknown field; {hint or f'a {kind} has apiVersion, kind, metadata and spec'}")
    spec = manifest.get("spec")
    if isinstance(spec, dict):
        yield from _validate(resources.SPECS[kind], spec, ("spec",))
    else:
        yield FieldError(("spec",), "is required" if spec is None else "must be a mapping")


def _validate(model: type[BaseModel], value: Mapping[str, Any], path: Path) -> Iterator[FieldError]:
    try:
        # by_name: the API server knows backendRefs, and rejects backend_refs.
        model.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        yield from from_validation(error, path, model)


def _metadata(kind: str, metadata: Any) -> Iterator[FieldError]:
    if not isinstance(metadata, Mapping):
        yield FieldError(("metadata",), "is required" if metadata is None else "must be a mapping")
        return
    for field in metadata:
        if field == "generateName":
            yield FieldError(("metadata", field), "names are not generated; write metadata.name")
        elif field not in _FIELDS:
            hint = f"; did you mean {nearest}?" if (nearest := near(field, _FIELDS)) else ""
            yield FieldError(("metadata", field), f"unknown field{hint}")
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if name is None:
        yield FieldError(("metadata", "name"), "is required")
    elif (message := name_error(name, is_label=kind == "Service")) is not None:
        yield FieldError(("metadata", "name"), message)
    if namespace and (message := name_error(namespace, is_label=True)) is not None:
        yield FieldError(("metadata", "namespace"), message)
    yield from _texts("labels", metadata.get("labels"))
    yield from _texts("annotations", metadata.get("annotations"))
    yield from _time(metadata.get("creationTimestamp"))


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
