"""Take the defaults out of a structural schema: the API server stores what users wrote, and adds nothing.

Almost every field is below `spec.rules`, a list that is replaced as a whole. A tool that compares lists, such as Argo CD, reports a
default that the API server adds there as a change (docs/decisions/0019-definitions-have-no-defaults.md). The models have all defaults;
here each becomes part of the field's description, and rules get it where the field is absent.
"""

import json
import re
from typing import Any, Final

from inferway_contract.generate.structural_schema import Schema

_QUOTED: Final = re.compile(r'r""".*?"""', re.DOTALL)
"""Patterns in a rule, which contain no field."""


def of(node: Schema) -> Schema:
    """Return the schema without defaults, for a CRD."""
    stored = {name: value for name, value in node.items() if name != "default"}
    fields = node.get("properties", {})
    defaults = {name: field["default"] for name, field in fields.items() if "default" in field}
    if fields:
        stored["properties"] = {name: _described(of(field), defaults.get(name)) for name, field in fields.items()}
    if "items" in node:
        stored["items"] = of(node["items"])
    if rules := node.get("x-kubernetes-validations"):
        stored["x-kubernetes-validations"] = [{**rule, "rule": with_defaults(rule["rule"], defaults)} for rule in rules]
    return stored


def with_defaults(rule: str, defaults: dict[str, Any]) -> str:
    """Replace `self.FIELD` by a CEL expression with the field's default, unless the rule asks for the field by `has`."""
    for name, value in defaults.items():
        if f"has(self.{name})" not in rule:
            literal = f"(has(self.{name}) ? self.{name} : {json.dumps(value)})"
            outside = [re.sub(rf"\bself\.{name}\b(?!\()", literal, part) for part in _QUOTED.split(rule)]
            rule = "".join(part for pair in zip(outside, [*_QUOTED.findall(rule), ""], strict=True) for part in pair)
    return rule


def _described(field: Schema, default: Any) -> Schema:
    """Add the default to the description, which `kubectl explain` prints."""
    text = field.get("description", "")
    if default is None or "Default:" in text:
        return field
    shown = ", ".join(map(_shown, default)) if isinstance(default, list) else _shown(default)
    # First, so that readers find the meaning first.
    return {"description": f"{text} Default: {shown}.".strip()} | {
        key: value for key, value in field.items() if key != "description"
    }


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)
