"""Bounds that an object must keep before the compiler sees it: its size and the lengths of its lists. Pure.

The API server has checked the schema of the objects that it sends. Any other client may send anything, so a review must not
depend on that: reading ten thousand invalid rules takes seconds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from inferway_contract.field_errors import FieldError, Path
from inferway_contract.resources import SPECS
from inferway_operator.world.resources import MAX_SPEC_BYTES, size_of

_MOST_UNKNOWN: Final = 16
"""Fields of one object beyond those of its schema: a mistake has few."""
_MOST_ERRORS: Final = 20


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a part of a schema bounds."""

    most: int | None = None
    """Items of a list."""
    items: "_Shape | None" = None
    fields: dict[str, "_Shape"] = field(default_factory=dict)


def exceeded(kind: str, spec: object) -> tuple[FieldError, ...]:
    """Return an error for each bound that the spec exceeds; () also for what is not a mapping."""
    if not isinstance(spec, dict):
        return ()
    size = size_of(spec)
    if size is not None and size > MAX_SPEC_BYTES:
        return (FieldError(("spec",), f"too large: {size} bytes as JSON, the limit is {MAX_SPEC_BYTES}; split it"),)
    errors = []
    for error in _excess(spec, _SHAPES[kind], ("spec",)):
        errors.append(error)
        if len(errors) == _MOST_ERRORS:
            break
    return tuple(errors)


def _excess(value: object, shape: _Shape, path: Path) -> Iterator[FieldError]:
    if isinstance(value, list):
        if shape.most is not None and len(value) > shape.most:
            yield FieldError(path, f"may have at most {shape.most}, not {len(value)}")
        elif shape.items is not None:
            for index, item in enumerate(value):
                yield from _excess(item, shape.items, (*path, index))
    elif isinstance(value, dict):
        most = len(shape.fields) + _MOST_UNKNOWN
        if len(value) > most:
            yield FieldError(path, f"may have at most {most} fields, not {len(value)}")
        else:
            for name, part in shape.fields.items():
                if name in value:
                    yield from _excess(value[name], part, (*path, name))


def _shape(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> _Shape:
    """Read the bounds of a JSON schema of pydantic. Of alternatives the one that is not `null` counts."""
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].rpartition("/")[2]], **schema}
    for option in schema.get("anyOf", ()):
        if option.get("type") != "null":
            return _shape(option, definitions)
    items = schema.get("items")
    return _Shape(
        most=schema.get("maxItems"),
        items=_shape(items, definitions) if isinstance(items, dict) else None,
        fields={name: _shape(part, definitions) for name, part in schema.get("properties", {}).items()},
    )


def _shape_of(schema: Mapping[str, Any]) -> _Shape:
    return _shape(schema, schema.get("$defs", {}))


_SHAPES: Final = {kind: _shape_of(model.model_json_schema()) for kind, model in SPECS.items()}
