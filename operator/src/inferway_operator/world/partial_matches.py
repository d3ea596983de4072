"""The readable parts of the matches of an invalid rule. What they fit is refused, so nothing readable is left out.

An invalid rule must not leave its requests to a broader rule: a part that cannot be read fits everything.
"""

from os.path import commonprefix
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from inferway_contract.resources.matches import HeaderMatch, Match, Method, PathMatch, PathType, QueryParamMatch
from inferway_operator.world.objects import PartialMatch

_FIELDS: Final = frozenset(("path", "method", "headers", "queryParams"))
_PATH: TypeAdapter[PathMatch] = TypeAdapter(PathMatch)
_PATH_TYPE: TypeAdapter[PathType] = TypeAdapter(PathType)
_METHOD: TypeAdapter[Method] = TypeAdapter(Method)
_HEADER: TypeAdapter[HeaderMatch] = TypeAdapter(HeaderMatch)
_QUERY_PARAM: TypeAdapter[QueryParamMatch] = TypeAdapter(QueryParamMatch)


def read(raw: object) -> tuple[tuple[int, Match | PartialMatch], ...]:
    """Return every match with its index, as far as it can be read."""
    # A mapping is a list without its dash; anything else may have meant any request, as no matches do.
    items = raw if isinstance(raw, list) and raw else [raw if isinstance(raw, dict) else {}]
    return tuple((index, _match(item)) for index, item in enumerate(items))


def common_path(rules: object) -> str:
    """Return the text that all paths of a list of rules begin with, without reading anything else; "" = any path.

    A pattern may mean any path, and so may what cannot be read.
    """
    common: str | None = None
    for rule in rules if isinstance(rules, list) else [None]:
        matches = rule.get("matches") if isinstance(rule, dict) else None
        for match in matches if isinstance(matches, list) and matches else [None]:
            path = match.get("path") if isinstance(match, dict) else None
            if not isinstance(path, dict) or path.get("type", "PathPrefix") not in ("Exact", "PathPrefix"):
                return ""
            value = path.get("value")
            if not isinstance(value, str):
                return ""
            common = value if common is None else commonprefix((common, value))  # noqa: RUF071 - of characters
    return common or ""


def _match(raw: object) -> Match | PartialMatch:
    try:
        return Match.model_validate(raw)
    except ValidationError:
        fields = raw if isinstance(raw, dict) else {}
    path = fields.get("path", {} if fields.keys() <= _FIELDS else None)  # an unknown field may be a misspelled `path`
    headers, header_count = _entries(_HEADER, fields.get("headers"))
    query_params, query_count = _entries(_QUERY_PARAM, fields.get("queryParams"))
    readable = _parsed(_PATH, path)
    value, path_type = ("", None) if readable is not None else _path_parts(path)
    return PartialMatch(
        path=readable,
        path_value=value,
        path_type=path_type,
        method=_parsed(_METHOD, fields.get("method")),
        has_method="method" in fields,
        headers=headers,
        query_params=query_params,
        header_count=header_count,
        query_count=query_count,
    )


def _path_parts(path: object) -> tuple[str, PathType | None]:
    """Return value and type of an invalid path; "" and None for those that cannot be read."""
    parts = path if isinstance(path, dict) else {"value": path, "type": None}  # its value alone
    value = parts.get("value")
    # An unknown field may be a misspelled `type`.
    path_type = _parsed(_PATH_TYPE, parts.get("type", "PathPrefix")) if parts.keys() <= {"type", "value"} else None
    return value if isinstance(value, str) else "", path_type


def _entries(form: TypeAdapter[Any], raw: object) -> tuple[tuple[Any, ...], int]:
    """Return the valid entries of a list, and the number of all."""
    items = raw if isinstance(raw, list) else []
    parsed = (_parsed(form, item) for item in items)
    return tuple(entry for entry in parsed if entry is not None), len(items)


def _parsed(form: TypeAdapter[Any], raw: object) -> Any:
    try:
        return form.validate_python(raw)
    except ValidationError:
        return None
