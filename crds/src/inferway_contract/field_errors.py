"""Errors in resources as their authors read them: the place, the error and the fix."""

import re
from collections.abc import Iterable, Mapping, Sized
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from inferway_contract import values

# Gateway API features with their own error, so that an author of a pasted HTTPRoute knows which parts to remove.
_UNSUPPORTED: Final = {
    "extensionRef": "ExtensionRef is not supported: remove the filter",
    "externalAuth": "ExternalAuth is not supported: remove the filter",
    "requestMirror": "RequestMirror is not supported: remove the filter",
    "sessionPersistence": "sessionPersistence is not supported: remove it",
    "parentRefs": "a GatewayRoute has no parentRefs: every data plane serves it; remove them",
}
_UNSUPPORTED_FILTERS: Final = ("ExtensionRef", "ExternalAuth", "RequestMirror")

_LONGEST: Final = 80  # longest part of a value in a message, and longest word to look for similar ones, in characters

Path = tuple[str | int, ...]


class FieldError(NamedTuple):
    """One error. `path` is the location inside the resource, as keys and list indexes."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


def dotted(path: Iterable[str | int]) -> str:
    """Return `("spec", "rules", 0, "name")` as `spec.rules[0].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def printable(text: str) -> str:
    """Return the text in one line of printable characters: a key may hold anything, even half a surrogate pair."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def from_validation(
    error: ValidationError, prefix: Path = (), model: type[BaseModel] | None = None
) -> list[FieldError]:
    """Return the errors of pydantic with messages for authors, the first one for each place.

    `model`: the one that rejected the value, whose fields are compared with unknown ones.
    """
    errors: dict[Path, FieldError] = {}
    for item in error.errors(include_url=False):
        kind, value, context = item["type"], item["input"], item.get("ctx", {})
        if kind == "too_short" and len(value) >= context["min_length"]:
            continue  # pydantic counts only the valid items, and reports the others
        path = prefix + item["loc"]
        if kind == "invalid_key":
            path = (*path[:-1], str(path[-1]))  # a key, not an index of a list
        known = _fields_at(model, item["loc"][:-1]) if kind == "extra_forbidden" and model is not None else ()
        errors.setdefault(path, FieldError(path, _message(kind, value, context, path, known)))
    return list(errors.values())


def _fields_at(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """Return the fields that a model has at a path, as authors write them; () where it has none."""
    for step in path:
        if isinstance(step, int):
            continue  # of a list, whose annotation names the model of its items
        field = next((field for name, field in model.model_fields.items() if step in (field.alias, name)), None)
        inner = _model_in(field.annotation) if field is not None else None
        if inner is None:
            return ()
        model = inner
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that an annotation names, also within a list, an optional or an `Annotated`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)


def near(word: str, words: Iterable[str]) -> str | None:
    """Return the most similar of these words, or None. Case does not count, as it is the most common error."""
    folded = {name.lower(): name for name in words}
    nearest = get_close_matches(word[:_LONGEST].lower(), list(folded), n=1)
    return folded[nearest[0]] if nearest else None


def _message(kind: str, value: object, context: Mapping[str, Any], path: Path, known: tuple[str, ...]) -> str:
    match kind:
        case "rule":
            return str(context["broken"])
        case "missing":
            return "is required"
        case "extra_forbidden":
            return _unknown(path, known)
        case "invalid_key":
            return "unknown field; keys must be text"
        case _ if value is None:
            return "is empty: give it a value or remove it"
        case _ if kind in _BOUNDS:
            size = len(value) if isinstance(value, Sized) else 0
            return _BOUNDS[kind].format(value=shown(value), size=size, **context)
        case "literal_error":
            return _none_of(value, context["expected"])
        case "string_pattern_mismatch":
            return (
                f"{shown(value)} {FORMS.get(context['pattern'], 'has characters or a form that are not allowed here')}"
            )
        case "duration":
            return f"{shown(value)} {FORMS[values.DURATION_PATTERN]}"
        case "quantity":
            return f"{shown(value)} {FORMS[values.QUANTITY_PATTERN]}"
        case _:
            return _wanted(kind, value)


def _unknown(path: Path, known: tuple[str, ...]) -> str:
    name = str(path[-1])
    if name == "filters" and path[-3:-2] == ("backendRefs",):
        return "filters inside a backendRef are not supported: move them to the rule"
    nearest = near(name, known)
    return _UNSUPPORTED.get(
        name,
        f"unknown field; did you mean {nearest}?" if nearest else "unknown field; remove it or correct its spelling",
    )


def _none_of(value: object, expected: str) -> str:
    if value in _UNSUPPORTED_FILTERS:
        return f"{value} is not supported: remove the filter"
    words = re.findall(r"'[^']*'|[^\s,']+", expected.replace(" or ", ", "))
    if len(words) == 1:
        return f"{shown(value)}: must be {_YAML.get(words[0], words[0])}"
    return f"{shown(value)} is not one of {', '.join(words)}{_hint(value, words)}"


def _hint(value: object, words: list[str]) -> str:
    if str(value) in words:
        return "; write it without quotes"
    folded = {word.strip("'").lower(): word.strip("'") for word in words}
    if isinstance(value, bool):
        meant = [folded[word] for word in _YAML_BOOLEANS[value] if word in folded]
        return f"; write '{meant[0]}': without quotes YAML reads it as {shown(value)}" if meant else ""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return ""
    # The most common error is letter case, which must not count once for each letter.
    near = get_close_matches(value.lower(), list(folded), n=1)
    return f"; did you mean {folded[near[0]]}?" if near else ""


def _wanted(kind: str, value: object) -> str:
    want = _KINDS.get(kind, "has no place here")
    hint = ""
    if kind == "tuple_type":
        hint = ": put '- ' in front of each entry"
    elif (kind == "int_type" and str(value).isdecimal()) or (kind == "bool_type" and value in ("true", "false")):
        hint = "; write it without quotes"
    elif kind == "string_type" and not isinstance(value, _CONTAINERS):
        hint = "; put it in quotes"
    return f"{want}, not {shown(value)}{hint}" if isinstance(value, _CONTAINERS) else f"{shown(value)}: {want}{hint}"


def name_error(name: object, *, is_label: bool) -> str | None:
    """Return the error of a Kubernetes object's name, or None. Namespaces and Services have labels as names."""
    pattern, most = (values.LABEL_PATTERN, 63) if is_label else (values.SUBDOMAIN_PATTERN, 253)
    if not isinstance(name, str):
        return _wanted("string_type", name)
    is_valid = len(name) <= most and re.fullmatch(pattern[1:-1], name) is not None
    return None if is_valid else f"{shown(name)} {FORMS[pattern]}"


def shown(value: object) -> str:
    """Return the value as an author would write it, cut when it is long."""
    # Of a container only the type is wrong, not its content.
    if isinstance(value, _CONTAINERS):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    # repr keeps control characters out of logs and terminals.
    text = repr(value) if isinstance(value, str | bytes) else str(value)
    if isinstance(value, bool):
        text = _YAML[text]
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


_CONTAINERS: Final = (Mapping, list, tuple)

# YAML's spelling of values that Python prints differently.
_YAML: Final = {"True": "true", "False": "false", "''": "empty"}
_YAML_BOOLEANS: Final = {True: ("on", "yes", "true"), False: ("off", "no", "false")}

_BOUNDS: Final = {
    "too_short": "must have at least {min_length}, not {size}",
    "too_long": "may have at most {max_length}, not {size}",
    "string_too_short": "must not be empty",
    "string_too_long": "may have at most {max_length} characters, not {size}",
    "greater_than_equal": "{value}: must be at least {ge}",
    "less_than_equal": "{value}: must be at most {le}",
}
"""The bound that is broken, by the kind of pydantic's error."""
_KINDS: Final = {
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "model_type": "must be a mapping",
    "string_type": "must be text",
    "string_unicode": "must be text",
    "tuple_type": "must be a list",
}
"""The expected type, by the kind of pydantic's error."""

FORMS: Final = {
    values.DURATION_PATTERN: "is not a duration: write it like 500ms, 30s or 1h30m",
    values.QUANTITY_PATTERN: "is not a size: write it like 64Ki, 10Mi or 1048576",
    values.TOKEN_PATTERN: "is not a header name: letters, digits and !#$%&'*+-.^_`|~ only",
    values.FIELD_VALUE_PATTERN: "is not a header value: no control characters, no spaces at either end",
    values.HOSTNAME_PATTERN: "is not a hostname: lower case, no port, `*.` only in front",
    values.LABEL_PATTERN: "is not a name: lower-case letters, digits and '-', at most 63",
    # Also the pattern of a hostname without a wildcard.
    values.SUBDOMAIN_PATTERN: "is not a name: lower-case letters, digits, '-' and '.' only",
    values.REPLACEMENT_PATH_PATTERN: "is not a path: '/' in front, no spaces, '?', '#' or '\\', other letters as %XX",
    values.URL_PATTERN: "is not the URL of an upstream: write it like https://models.example.net:8443/v1, without a query",
    values.CHECK_PATH_PATTERN: "is not the path of a check: '/' in front, no spaces, '#' or '\\', other letters as %XX",
    values.FILE_NAME_PATTERN: "is not the name of a file: letters, digits, '.', '_' and '-' only, no '.' in front",
    values.PREFIX_PATTERN: "is not a prefix: ASCII without control characters, no space in front",
    values.ORIGIN_PATTERN: "is not an origin: write it like https://app.example.com, https://*.example.com or *",
}
"""The message for each pattern, which the API server returns too. A test compares the keys with the models' patterns."""
