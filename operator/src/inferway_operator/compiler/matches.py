"""Matches: paths as the data plane compares them, names in lower case, patterns that compile.

An invalid match is left out and matches nothing; its rule refuses the requests of its valid matches.
"""

from collections.abc import Iterable
from functools import lru_cache

import re2

from inferway_contract import document, paths, patterns
from inferway_contract.resources import matches as written
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import Draft, Path, RuleDraft


def normalise(draft: Draft) -> None:
    """Translate the matches of every rule."""
    for _, rule in draft.rules():
        for index, source in rule.source.matches:
            errors_before = len(rule.errors)
            match = _match(rule, source, ("matches", index))
            if len(rule.errors) == errors_before:
                rule.matches.append(match)


def _match(rule: RuleDraft, match: written.Match, at: Path) -> document.Match:
    headers = [entry.model_copy(update={"name": entry.name.lower()}) for entry in match.headers]
    return document.Match(
        path=_path(rule, match.path, (*at, "path", "value")),
        method=match.method,
        headers=_values(rule, headers, (*at, "headers")),
        query=_values(rule, match.query_params, (*at, "queryParams")),
    )


def _path(rule: RuleDraft, path: written.PathMatch, at: Path) -> document.PathMatch:
    value = path.value
    if path.type == "RegularExpression":
        _check_pattern(rule, value, at)
        return document.PathMatch(type=path.type, value=value)
    try:
        value = paths.match_path(value.encode()).decode()
    except paths.AmbiguousPath as error:
        rule.add_error(f"{messages.quoted(value)}: {error}: requests with such a path are rejected", *at)
    except UnicodeDecodeError:
        rule.add_error(f"{messages.quoted(value)} is not UTF-8 when decoded: use a RegularExpression", *at)
    if path.type == "PathPrefix" and value != "/":
        # Gateway API: "/abc" and "/abc/" are the same prefix. Only one slash: empty segments are significant.
        value = value.removesuffix("/")
        if value == "/":
            rule.add_error("'//' is the same prefix as '/': write '/', or use another type", *at)
    return document.PathMatch(type=path.type, value=value)


def _values(
    rule: RuleDraft, entries: Iterable[written.HeaderMatch | written.QueryParamMatch], at: Path
) -> tuple[document.ValueMatch, ...]:
    by_name: dict[str, document.ValueMatch] = {}
    for index, entry in enumerate(entries):
        if entry.name in by_name:
            # Gateway API ignores the second one silently, which is never the intention.
            rule.add_error(
                f"duplicate name {messages.quoted(entry.name)}: all conditions must hold", *at, index, "name"
            )
        if entry.type == "RegularExpression":
            _check_pattern(rule, entry.value, (*at, index, "value"))
        by_name[entry.name] = document.ValueMatch(name=entry.name, value=entry.value, type=entry.type)
    return tuple(by_name.values())


def _check_pattern(rule: RuleDraft, pattern: str, at: Path) -> None:
    error = pattern_error(pattern)
    if error is not None:
        rule.add_error(f"{messages.quoted(pattern)}: {error} (RE2)", *at)


# Every change compiles the whole world, with mostly the same patterns.
@lru_cache(maxsize=8192)
def pattern_error(pattern: str) -> str | None:
    """Return RE2's error message for the pattern, or None for a valid one."""
    try:
        patterns.compiled(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    return None
