"""Validation of a manifest of a known kind, as an API server would do it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from inferway_cli.manifests import metadata
from inferway_contract import resources
from inferway_contract.field_errors import FieldError, Path, from_validation
from inferway_contract.kubernetes_kinds import EndpointSlice, ReferenceGrant, Service

_TOP: Final = ("apiVersion", "kind", "metadata", "spec", "status")
_KUBERNETES_MODELS: Final[dict[str, type[BaseModel]]] = {
    "Service": Service,
    "EndpointSlice": EndpointSlice,
    "ReferenceGrant": ReferenceGrant,
}


def errors(kind: str, manifest: dict[str, Any]) -> Iterator[FieldError]:
    """Yield the errors that an API server would report. apiVersion and kind are known."""
    yield from metadata.errors(kind, manifest.get("metadata"))
    if kind not in resources.SPECS:
        if manifest.get("addressType") != "FQDN":  # endpoints by host name are valid, but not used
            yield from _validate(_KUBERNETES_MODELS[kind], manifest, ())
        return
    for field in manifest:
        if field not in _TOP:
            yield FieldError((field,), f"unknown field; a {kind} has apiVersion, kind, metadata and spec")
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
        yield from from_validation(error, path)
