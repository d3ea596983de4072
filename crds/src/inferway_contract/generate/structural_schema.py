"""Models as Kubernetes' structural schemas: what pydantic says in JSON Schema, in the part of it that a CRD may use.

A structural schema has a type at every node and no references, and is closed without saying so: the API server prunes
or refuses what it does not name. What pydantic cannot say comes from the models themselves: rules between fields
become CEL, so do the words for a pattern, and the text below a field becomes its description.
"""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from inferway_contract import field_errors, values
from inferway_contract.resources.model import SCHEMA_DEFAULT, SpecModel

Schema = dict[str, Any]

# In this order, so that the reader meets the meaning first. What is not here does not reach the CRD.
_KEPT: Final = (
    "description",
    "type",
    "format",
    "x-kubernetes-int-or-string",
    "anyOf",
    "enum",
    "default",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "required",
    "properties",
    "items",
    "x-kubernetes-validations",
)


def of(model: type[SpecModel]) -> Schema:
    """The model's structural schema."""
    found = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    return _node(found, found.get("$defs", {}))


class _Generator(GenerateJsonSchema):
    """pydantic's own, which also takes along what only the class knows."""

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        found = super().model_schema(schema)
        model = schema["cls"]
        for field, text in _texts(model).items():
            found["properties"][model.model_fields[field].alias or field]["description"] = text
        if rules := model.validations:
            found["x-kubernetes-validations"] = [{"rule": rule.cel, "message": rule.message} for rule in rules]
        return found


def _texts(model: type[SpecModel]) -> dict[str, str]:
    """The text below each field. pydantic can collect it too, but at every start of every process."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - a model is a class
    found = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                found[name] = inspect.cleandoc(words)
    return found


def _node(raw: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """One node and all below it. What stands beside a reference wins over what it refers to."""
    if "$ref" in raw:
        referred = definitions[raw["$ref"].removeprefix("#/$defs/")]
        return _node({**referred, **{key: value for key, value in raw.items() if key != "$ref"}}, definitions)
    if len(members := [member for member in raw.get("anyOf", ()) if member != {"type": "null"}]) == 1:
        # Optional: whoever leaves a field out has said null.
        return _node({**members[0], **{key: value for key, value in raw.items() if key != "anyOf"}}, definitions)
    node = dict(raw)
    if "const" in node:
        node["enum"] = [node["const"]]
    node["default"] = _default(raw)
    # In a schema null is no default of ours, and a least number of 0 says nothing.
    node = {key: value for key, value in node.items() if (key, value) not in (("default", None), ("minItems", 0))}
    if node.get("type") == "array":
        node.setdefault("x-kubernetes-list-type", "atomic")
        node["items"] = _node(raw["items"], definitions)
    if "properties" in node:
        node["properties"] = {name: _node(field, definitions) for name, field in raw["properties"].items()}
    if rules := node.get("x-kubernetes-validations"):
        node["x-kubernetes-validations"] = [{"rule": rule["rule"], "message": rule["message"]} for rule in rules]
    if pattern := node.get("pattern"):
        node["x-kubernetes-validations"] = [form_rule(pattern, is_text=node.get("type") == "string")]
    return {key: node[key] for key in _KEPT if key in node}


# The API server reckons with the longest text in every entry of the longest list, and comparing these patterns costs more
# than it allows. What it allows finds the commonest slips, and is true of whatever the pattern matches.
CHEAPER: Final = {
    values.FIELD_VALUE_PATTERN: "!self.startsWith(' ') && !self.endsWith(' ')",
    values.ORIGIN_PATTERN: "self in ['*', 'null'] || self.startsWith('http://') || self.startsWith('https://')",
    values.TOKEN_PATTERN: "!self.contains(' ') && !self.endsWith(':')",
    values.URL_PATTERN: "self.startsWith('http://') || self.startsWith('https://')",
}


def form_rule(pattern: str, *, is_text: bool = True) -> Schema:
    """The pattern once more, as a rule: of a pattern alone the API server shows the expression, of a rule our words."""
    matches = CHEAPER.get(pattern, f'self.matches(r"""{pattern}""")')
    return {
        "rule": matches if is_text else f"type(self) != string || {matches}",
        "message": field_errors.FORMS[pattern],
    }


def _default(raw: Mapping[str, Any]) -> Any:
    # Of objects none: the API server fills in the defaults of their fields, but only where the object is there.
    # A model knows its defaults anyway; those in the CRD are for people who read resources back.
    if SCHEMA_DEFAULT in raw:
        return raw[SCHEMA_DEFAULT]
    value = raw.get("default")
    return value if isinstance(value, str | int | float) else None
