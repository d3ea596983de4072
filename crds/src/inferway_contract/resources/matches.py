"""Matches select the requests of a rule. Names, types and defaults are Gateway API's (HTTPRouteMatch)."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from inferway_contract.resources.model import HeaderName, SpecModel, Validation, bounded

PathType = Literal["PathPrefix", "Exact", "RegularExpression"]
ValueType = Literal["Exact", "RegularExpression"]
# Gateway API's methods, without CONNECT and TRACE, which the gateway rejects.
Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]


class PathMatch(SpecModel):
    """A path, compared by whole segments (PathPrefix), exactly, or by an RE2 pattern that must match all of it."""

    type: PathType = "PathPrefix"
    """PathPrefix compares whole segments; a RegularExpression (RE2) must match all of the path."""
    value: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = "/"
    """Compared after percent-decoding. A pattern may have at most 512 characters."""

    validations = (
        Validation(
            cel="self.type == 'RegularExpression' || self.value.startsWith('/')",
            message="path.value must start with '/'",
            holds=lambda path: path.type == "RegularExpression" or path.value.startswith("/"),
        ),
        Validation(
            cel="self.type == 'RegularExpression' || !(self.value.contains('?') || self.value.contains('#'))",
            message="path.value must not contain '?' or '#': match the query with queryParams",
            holds=lambda path: path.type == "RegularExpression" or not ("?" in path.value or "#" in path.value),
        ),
        Validation(
            cel="self.type == 'RegularExpression' || !self.value.matches('(^|/)[.][.]?(/|$)')",
            message="path.value must not contain the segments '.' or '..': requests with such paths are rejected",
            holds=lambda path: path.type == "RegularExpression" or not {".", ".."} & set(path.value.split("/")),
        ),
        Validation(
            cel="self.type != 'RegularExpression' || size(self.value) <= 512",
            message="path.value of type RegularExpression may have at most 512 characters",
            holds=lambda path: path.type != "RegularExpression" or len(path.value) <= 512,
        ),
    )


def _pattern_rule(field: str) -> Validation:
    return Validation(
        cel="self.type != 'RegularExpression' || size(self.value) <= 512",
        message=f"{field}.value of type RegularExpression may have at most 512 characters",
        holds=lambda match: match.type != "RegularExpression" or len(match.value) <= 512,
    )


class HeaderMatch(SpecModel):
    """A request header; the case of its name is ignored. Repeated fields are joined by `, ` before the comparison."""

    type: ValueType = "Exact"
    """A RegularExpression (RE2) must match all of the value."""
    name: HeaderName
    value: Annotated[str, StringConstraints(min_length=1, max_length=4096)]

    validations = (_pattern_rule("headers"),)


class QueryParamMatch(SpecModel):
    """A query parameter; the first one of that name counts."""

    type: ValueType = "Exact"
    """A RegularExpression (RE2) must match all of the value."""
    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    value: Annotated[str, StringConstraints(min_length=1, max_length=1024)]

    validations = (_pattern_rule("queryParams"),)


class Match(SpecModel):
    """All fields that are set must match. An empty match fits every path."""

    path: PathMatch = PathMatch()
    method: Method | None = None
    headers: Annotated[tuple[HeaderMatch, ...], bounded(16)] = ()
    query_params: Annotated[tuple[QueryParamMatch, ...], bounded(16)] = ()
