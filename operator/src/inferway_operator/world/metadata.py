"""Metadata of any manifest, read without trust: no API server has checked a manifest in a file."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from inferway_contract.field_errors import FieldError, name_error
from inferway_operator.world.objects import Meta


def read(manifest: Mapping[str, Any]) -> tuple[Meta, list[FieldError]]:
    """Read identity, generation and creation time; a missing namespace is `default`.

    An object with errors must not be published: ids are made of these names.
    """
    raw = manifest.get("metadata")
    errors: list[FieldError] = []
    if not isinstance(raw, dict):
        errors.append(FieldError(("metadata",), "is required, with a name"))
        raw = {}
    name, namespace = raw.get("name"), raw.get("namespace")
    if raw and name is None:
        errors.append(FieldError(("metadata", "name"), "is required"))
    elif raw and (message := name_error(name, is_label=False)) is not None:
        errors.append(FieldError(("metadata", "name"), message))
    if namespace is None or namespace == "":
        namespace = "default"
    elif (message := name_error(namespace, is_label=True)) is not None:
        errors.append(FieldError(("metadata", "namespace"), message))
    generation = raw.get("generation")
    meta = Meta(
        kind=str(manifest.get("kind", "")),
        namespace=namespace if isinstance(namespace, str) else "",
        name=name if isinstance(name, str) else "",
        generation=generation if type(generation) is int else 0,
        created=_created(raw.get("creationTimestamp")),
    )
    return meta, errors


def _created(value: object) -> str:
    if isinstance(value, datetime):  # YAML parses an unquoted timestamp
        try:
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        except (OverflowError, ValueError):
            return ""
    return value if isinstance(value, str) else ""
