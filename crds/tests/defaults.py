"""What the API server should make of a resource: the defaults of the schema filled in."""

from typing import Any


def filled(value: Any, node: dict[str, Any]) -> Any:
    """The value as the API server keeps it, by the schema of its place."""
    if isinstance(value, dict) and "properties" in node:
        known = {name: field["default"] for name, field in node["properties"].items() if "default" in field}
        return {name: filled(field, node["properties"][name]) for name, field in {**known, **value}.items()}
    if isinstance(value, list):
        return [filled(item, node["items"]) for item in value]
    return value
