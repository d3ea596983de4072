"""What the API server should make of a resource: the defaults of the schema filled in."""

from typing import Any


def with_defaults(value: Any, node: dict[str, Any]) -> Any:
    """The value as the API server keeps it, by the schema of its place."""
    if isinstance(value, dict) and "properties" in node:
        known = {name: field["default"] for name, field in node["properties"].items() if "default" in field}
        return {name: with_defaults(field, node["properties"][name]) for name, field in {**known, **value}.items()}
    if isinstance(value, list):
        return [with_defaults(item, node["items"]) for item in value]
    return value
