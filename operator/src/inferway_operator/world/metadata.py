"""The metadata of any manifest, read without trust: a manifest in a file was seen by no API server."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from inferway_contract import values
from inferway_contract.field_errors import FieldError
from inferway_operator.world.objects import Meta

_NAMESPACE = re.compile(values.LABEL_PATTERN[1:-1])
_NAME = re.compile(values.SUBDOMAIN_PATTERN[1:-1])


def read(manifest: Mapping[str, Any]) -> tuple[Meta, list[FieldError]]:
    """Who the object is, and what is wrong with that. A missing namespace is `default`.

    With any complaint the object must not be published: ids are made of these names.
    """
    raw = manifest.get("metadata")
    complaints: list[FieldError] = []
    if not isinstance(raw, dict):
        complaints.append(FieldError(("metadata",), "is required, with a name"))
        raw = {}
    name, namespace = raw.get("name"), raw.get("namespace")
    if raw and name is None:
        complaints.append(FieldError(("metadata", "name"), "is required"))
    elif raw and not _is_form(name, _NAME, 253):
        complaints.append(FieldError(("metadata", "name"), "is not a name: lower-case letters, digits, '-' and '.'"))
    if namespace is None or namespace == "":
        namespace = "default"
    elif not _is_form(namespace, _NAMESPACE, 63):
        complaints.append(FieldError(("metadata", "namespace"), "is not a name: lower-case letters, digits and '-'"))
    generation = raw.get("generation")
    meta = Meta(
        kind=str(manifest.get("kind", "")),
        namespace=namespace if isinstance(namespace, str) else "",
        name=name if isinstance(name, str) else "",
        generation=generation if type(generation) is int else 0,
        created=_created(raw.get("creationTimestamp")),
    )
    return meta, complaints


def _is_form(value: object, form: re.Pattern[str], most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and form.fullmatch(value) is not None


def _created(value: object) -> str:
    if isinstance(value, datetime):  # YAML reads an unquoted timestamp as a time
        try:
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        except (OverflowError, ValueError):
            return ""
    return value if isinstance(value, str) else ""
