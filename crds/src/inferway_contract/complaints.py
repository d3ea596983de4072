"""What is wrong with an input, in words for the person who wrote it: where, what, and how to mend it."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import ValidationError

from inferway_contract import values

# Gateway API features that are refused by name, so that a pasted HTTPRoute says what has to go.
_UNSUPPORTED = {
    "requestMirror": "RequestMirror is not supported: remove the filter",
    "extensionRef": "ExtensionRef is not supported: remove the filter",
    "sessionPersistence": "sessionPersistence is not supported: remove it",
    "parentRefs": "a GatewayRoute has no parentRefs: every data plane serves it; remove them",
}


class Complaint(NamedTuple):
    """One mistake. `path` is the location inside the resource, as keys and list indexes."""

    path: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


def dotted(path: Iterable[str | int]) -> str:
    """`("spec", "rules", 0, "name")` as `spec.rules[0].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def from_validation(error: ValidationError, prefix: tuple[str | int, ...] = ()) -> list[Complaint]:
    """Every mistake that pydantic found, in our words; unions are told as one mistake, not one for each member."""
    found: dict[tuple[str | int, ...], Complaint] = {}
    for item in error.errors(include_url=False):
        path = prefix + tuple(step for step in item["loc"] if not _is_union_tag(step))
        found.setdefault(path, Complaint(path, _message(item["type"], item.get("ctx", {}), item, path)))
    return list(found.values())


def _is_union_tag(step: int | str) -> bool:
    # pydantic names the member of a union it tried; no field of ours is called like a type of Python.
    return isinstance(step, str) and (step in ("int", "str") or step.startswith("constrained-"))


def _message(kind: str, context: Mapping[str, Any], item: Any, path: tuple[str | int, ...]) -> str:
    value = item.get("input")
    match kind:
        case "rule":
            return str(context["broken"])
        case "missing":
            return "is required"
        case "extra_forbidden":
            name = str(path[-1])
            return _UNSUPPORTED.get(name, "unknown field; remove it or correct its spelling")
        case "literal_error":
            expected = context["expected"].replace(" or ", ", ")
            hint = get_close_matches(str(value), [word.strip("'") for word in expected.split(", ")], n=1)
            if value in ("RequestMirror", "ExtensionRef"):
                return f"{value} is not supported: remove the filter"
            return f"{_shown(value)} is none of {expected}" + (f"; did you mean {hint[0]}?" if hint else "")
        case "string_pattern_mismatch":
            return f"{_shown(value)} {_FORMS.get(context['pattern'], 'has characters or a form that are not allowed here')}"
        case _:
            text = item["msg"].removeprefix("Input should be ").removeprefix("Value should ")
            return f"{_shown(value)}: must be {text}" if item["msg"].startswith("Input should be ") else item["msg"]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


_FORMS = {
    values.DURATION_PATTERN: "is not a duration: write it like 500ms, 30s or 1h30m",
    values.QUANTITY_PATTERN: "is not a size: write it like 64Ki, 10Mi or 1048576",
    values.TOKEN_PATTERN: "is not a header name: letters, digits and !#$%&'*+-.^_`|~ only",
    values.FIELD_VALUE_PATTERN: "is not a header value: no control characters, no blanks at either end",
    values.HOSTNAME_PATTERN: "is not a hostname: lower case, no port, `*.` only in front",
    values.PRECISE_HOSTNAME_PATTERN: "is not a hostname: lower case, no port, no wildcard",
    values.LABEL_PATTERN: "is not a name: lower-case letters, digits and '-', at most 63",
    values.SUBDOMAIN_PATTERN: "is not a name: lower-case letters, digits, '-' and '.'",
}
