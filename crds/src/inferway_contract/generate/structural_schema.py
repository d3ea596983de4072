"""Convert models to Kubernetes' structural schemas: pydantic's JSON Schema, reduced to the part that a CRD may use.

A structural schema has a type at every node and no references; the API server prunes or rejects fields that it does not
have. The rest comes from the models: validations and the messages of patterns become CEL, docstrings become descriptions.
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

# In this order, so that readers find the meaning first. Other keys are not copied to the CRD.
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
    """Return the model's structural schema."""
    schema = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    return _node(schema, schema.get("$defs", {}))


class _Generator(GenerateJsonSchema):
    """pydantic's generator, which adds the descriptions and validations of the models."""

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        generated = super().model_schema(schema)
        model = schema["cls"]
        for field, text in _texts(model).items():
            generated["properties"][model.model_fields[field].alias or field]["description"] = text
        if rules := model.validations:
            generated["x-kubernetes-validations"] = [{"rule": rule.cel, "message": rule.message} for rule in rules]
        return generated


def _texts(model: type[SpecModel]) -> dict[str, str]:
    """Return the docstring of each field. pydantic could collect them too, but at every start of every process."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - a model is a class
    texts = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                texts[name] = inspect.cleandoc(words)
    return texts


def _node(raw: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """Convert a node and all below it. Keys next to a reference win over those of its target."""
    if "$ref" in raw:
        referred = definitions[raw["$ref"].removeprefix("#/$defs/")]
        return _node({**referred, **{key: value for key, value in raw.items() if key != "$ref"}}, definitions)
    if len(members := [member for member in raw.get("anyOf", ()) if member != {"type": "null"}]) == 1:
        # Optional: an absent field is null.
        return _node({**members[0], **{key: value for key, value in raw.items() if key != "anyOf"}}, definitions)
    node = dict(raw)
    if "const" in node:
        node["enum"] = [node["const"]]
    # Objects have no default: the API server fills in those of their fields, but only where the object exists.
    # The models have all defaults; those here are for the reference (docs/api.md) and for `stored_schema`.
    default = raw.get("default") if isinstance(raw.get("default"), str | int | float) else None
    node["default"] = raw.get(SCHEMA_DEFAULT, default)
    # A default of null and a minimum of no items are the same as none.
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


# The API server estimates the cost of a rule from the longest text in every entry of the longest list, and these patterns
# exceed its budget. The cheaper rules find the most common errors, and hold for every match of the pattern.
CHEAPER: Final = {
    values.FIELD_VALUE_PATTERN: "!self.startsWith(' ') && !self.endsWith(' ')",
    values.ORIGIN_PATTERN: "self in ['*', 'null'] || self.startsWith('http://') || self.startsWith('https://')",
    values.TOKEN_PATTERN: "!self.contains(' ') && !self.endsWith(':')",
    values.URL_PATTERN: "self.startsWith('http://') || self.startsWith('https://')",
}


def form_rule(pattern: str, *, is_text: bool = True) -> Schema:
    """Repeat the pattern as a rule. Of a pattern the API server shows the expression, of a rule the message."""
    matches = CHEAPER.get(pattern, f'self.matches(r"""{pattern}""")')
    return {
        "rule": matches if is_text else f"type(self) != string || {matches}",
        "message": field_errors.FORMS[pattern],
    }
