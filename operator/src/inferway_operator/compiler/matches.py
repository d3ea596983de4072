"""Matches: paths as the data plane sees them, names in lower case, patterns that compile.

A match that cannot be read protects nothing and is left out; its rule refuses for the matches that can.
"""

from collections.abc import Iterable

from inferway_contract import document, paths
from inferway_contract.resources import matches as written
from inferway_operator.compiler import messages, patterns
from inferway_operator.compiler.draft import Draft, Path, RuleDraft


def normalise(draft: Draft) -> None:
    """Give every rule its matches."""
    for _, rule in draft.rules():
        for index, match in rule.source.matches:
            known = len(rule.complaints)
            made = _match(rule, match, ("matches", index))
            if len(rule.complaints) == known:
                rule.matches.append(made)


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
        rule.complain(f"{messages.quoted(value)}: {error}: no request with such a path is accepted", *at)
    except UnicodeDecodeError:
        rule.complain(f"{messages.quoted(value)} is not UTF-8 when decoded: use a RegularExpression", *at)
    if path.type == "PathPrefix" and value != "/":
        # Gateway API: "/abc" and "/abc/" are the same prefix. Only one slash: empty segments are significant.
        value = value.removesuffix("/")
        if value == "/":
            rule.complain("'//' cannot be told from '/' as a prefix: write '/', or use another type", *at)
    return document.PathMatch(type=path.type, value=value)


def _values(
    rule: RuleDraft, entries: Iterable[written.HeaderMatch | written.QueryParamMatch], at: Path
) -> tuple[document.ValueMatch, ...]:
    found: dict[str, document.ValueMatch] = {}
    for index, entry in enumerate(entries):
        if entry.name in found:
            # Gateway API would pass over the second one silently; nobody writes it to be passed over.
            rule.complain(f"{messages.quoted(entry.name)} is named twice: all conditions must hold", *at, index, "name")
        if entry.type == "RegularExpression":
            _check_pattern(rule, entry.value, (*at, index, "value"))
        found[entry.name] = document.ValueMatch(name=entry.name, value=entry.value, type=entry.type)
    return tuple(found.values())


def _check_pattern(rule: RuleDraft, pattern: str, at: Path) -> None:
    mistake = patterns.mistake(pattern)
    if mistake is not None:
        rule.complain(f"{messages.quoted(pattern)}: {mistake} (RE2)", *at)
