"""Matches: paths as the data plane compares them, names in lower case, patterns that compile.

An invalid match becomes a broader one, for which its rule refuses every request that the match may have meant.
"""

from collections.abc import Iterable, Iterator

from inferway_contract import document, paths, patterns, protection
from inferway_contract.field_errors import FieldError
from inferway_contract.resources import matches as written
from inferway_operator.compiler import messages
from inferway_operator.compiler.draft import Draft, Path, RuleDraft
from inferway_operator.world.objects import PartialMatch, RuleObject


def normalise(draft: Draft) -> None:
    """Translate the matches of every rule."""
    for _, rule in draft.new_rules():
        for index, source in rule.source.matches:
            at = ("matches", index)
            match = _partial_match(rule, source, at) if isinstance(source, PartialMatch) else _match(rule, source, at)
            rule.matches.append(protection.protected(match))


def unread(rule: RuleObject) -> Iterator[document.Match]:
    """Yield the matches of a rule that is refused for its size; no pattern of it is compiled."""
    draft = RuleDraft(rule, [], checks_patterns=False)
    for index, source in rule.matches:
        at = ("matches", index)
        match = _partial_match(draft, source, at) if isinstance(source, PartialMatch) else _match(draft, source, at)
        yield protection.unread(match)


def _match(rule: RuleDraft, match: written.Match, at: Path) -> document.Match:
    path = _path(rule, match.path, (*at, "path", "value"))
    headers = _values(rule, match.headers, (*at, "headers"), ignores_case=True)
    query = _values(rule, match.query_params, (*at, "queryParams"))
    is_whole = (path.type, len(headers), len(query)) == (match.path.type, len(match.headers), len(match.query_params))
    if is_whole:
        return document.Match(path=path, method=match.method, headers=headers, query=query)
    place = document.Precedence(
        path_type=match.path.type,
        path_length=len(match.path.value.encode()),
        has_method=match.method is not None,
        headers=len(match.headers),
        query=len(match.query_params),
    )
    return document.Match(path=path, method=match.method, headers=headers, query=query, precedence=place)


def _partial_match(rule: RuleDraft, match: PartialMatch, at: Path) -> document.Match:
    if match.path is not None:
        path, path_type, value = _path(rule, match.path, (*at, "path", "value")), match.path.type, match.path.value
    else:
        is_pattern = match.path_type not in ("Exact", "PathPrefix")
        # At most: of an unknown type the one that comes first.
        value, path_type = match.path_value, match.path_type or "Exact"
        path = (protection.beginning if is_pattern else protection.beginning_of_path)(value)
    place = document.Precedence(
        path_type=path_type,
        path_length=len(value.encode(errors="surrogatepass")),
        has_method=match.has_method,
        headers=match.header_count,
        query=match.query_count,
    )
    headers = _values(rule, match.headers, (*at, "headers"), ignores_case=True)
    query = _values(rule, match.query_params, (*at, "queryParams"))
    return document.Match(path=path, method=match.method, headers=headers, query=query, precedence=place)


def _path(rule: RuleDraft, path: written.PathMatch, at: Path) -> document.PathMatch:
    """Return the path as it is compared; for an ambiguous one a pattern of its beginning."""
    value = path.value
    if path.type == "RegularExpression":
        _check_pattern(rule, value, at)
        return document.PathMatch(type=path.type, value=value)
    errors_before = len(rule.errors)
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
    if len(rule.errors) > errors_before:
        return protection.beginning_of_path(path.value)
    _advise(rule, path, at)
    return document.PathMatch(type=path.type, value=value)


def _advise(rule: RuleDraft, path: written.PathMatch, at: Path) -> None:
    """Warn of a wildcard: in these types an asterisk is an ordinary character."""
    if "*" not in path.value:
        return
    before = path.value[: path.value.index("*")]
    fix = f"write PathPrefix {before.rstrip('/') or '/'}" if path.value.rstrip("*") == before else ""
    advice = f"{fix}, which has everything below it, or use a RegularExpression" if fix else "use a RegularExpression"
    message = f"{messages.quoted(path.value)}: '*' is not a wildcard here, it matches only itself: {advice}"
    rule.advice.append(FieldError((*rule.path, *at), message))


def _values(
    rule: RuleDraft,
    entries: Iterable[written.HeaderMatch | written.QueryParamMatch],
    at: Path,
    *,
    ignores_case: bool = False,
) -> tuple[document.ValueMatch, ...]:
    """Translate conditions, without those of a name that is there twice."""
    by_name: dict[str, list[document.ValueMatch]] = {}
    for index, entry in enumerate(entries):
        if entry.type == "RegularExpression":
            _check_pattern(rule, entry.value, (*at, index, "value"))
        name = entry.name.lower() if ignores_case else entry.name
        if name in by_name:
            # Gateway API ignores the second one silently, which is never the intention.
            rule.add_error(f"duplicate name {messages.quoted(name)}: all conditions must hold", *at, index, "name")
        condition = document.ValueMatch(name=name, value=entry.value, type=entry.type)
        by_name.setdefault(name, []).append(condition)
    return tuple(conditions[0] for conditions in by_name.values() if len(conditions) == 1)


def _check_pattern(rule: RuleDraft, pattern: str, at: Path) -> None:
    error = patterns.error_of(pattern) if rule.checks_patterns else None
    if error is not None:
        rule.add_error(f"{messages.quoted(pattern)}: {error} (RE2)", *at)
