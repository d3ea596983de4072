"""The form of a manifest of a known kind: what a cluster's API server would check before anybody sees it."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError

from inferway_cli.manifests import kubernetes_kinds, metadata
from inferway_contract import resources
from inferway_contract.field_errors import FieldError, from_validation

_TOP: Final = ("apiVersion", "kind", "metadata", "spec", "status")


def complaints(kind: str, value: dict[str, Any]) -> Iterator[FieldError]:
    """What the API server would have against the manifest. Its apiVersion and kind are known."""
    yield from metadata.complaints(kind, value.get("metadata"))
    if kind not in resources.SPECS:
        yield from kubernetes_kinds.check(kind, value)
        return
    for field in value:
        if field not in _TOP:
            yield FieldError((field,), f"unknown field; a {kind} has apiVersion, kind, metadata and spec")
    spec = value.get("spec")
    if not isinstance(spec, dict):
        yield FieldError(("spec",), "is required" if spec is None else "must be a mapping")
        return
    try:
        # by_name: the API server knows backendRefs, and no backend_refs.
        resources.SPECS[kind].model_validate(spec, by_alias=True, by_name=False)
    except ValidationError as error:
        yield from from_validation(error, ("spec",))
