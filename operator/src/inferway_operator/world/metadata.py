"""Metadata of any manifest, read without trust: no API server has checked a manifest in a file."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from inferway_contract import values
from inferway_contract.field_errors import FORMS, FieldError
from inferway_operator.world.objects import Meta

_NAMESPACE = re.compile(values.LABEL_PATTERN[1:-1])
_NAME = re.compile(values.SUBDOMAIN_PATTERN[1:-1])


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
    elif raw and not _is_form(name, _NAME, 253):
        errors.append(FieldError(("metadata", "name"), FORMS[values.SUBDOMAIN_PATTERN]))
    if namespace is None or namespace == "":
        namespace = "default"
    elif not _is_form(namespace, _NAMESPACE, 63):
        errors.append(FieldError(("metadata", "namespace"), FORMS[values.LABEL_PATTERN]))
    generation = raw.get("generation")
    meta = Meta(
        kind=str(manifest.get("kind", "")),
        namespace=namespace if isinstance(namespace, str) else "",
        name=name if isinstance(name, str) else "",
        generation=generation if type(generation) is int else 0,
        created=_created(raw.get("creationTimestamp")),
    )
    return meta, errors


def _is_form(value: object, form: re.Pattern[str], most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and form.fullmatch(value) is not None


def _created(value: object) -> str:
    if isinstance(value, datetime):  # YAML parses an unquoted timestamp
        try:
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        except (OverflowError, ValueError):
            return ""
    return value if isinstance(value, str) else ""
