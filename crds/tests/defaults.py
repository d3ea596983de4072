"""A resource with the documented defaults filled in."""

from typing import Any


def with_defaults(value: Any, node: dict[str, Any]) -> Any:
    """The value with the defaults of the schema of its place."""
    if isinstance(value, dict) and "properties" in node:
        known = {name: field["default"] for name, field in node["properties"].items() if "default" in field}
        return {name: with_defaults(field, node["properties"][name]) for name, field in {**known, **value}.items()}
    if isinstance(value, list):
        return [with_defaults(item, node["items"]) for item in value]
    return value
